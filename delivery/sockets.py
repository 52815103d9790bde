"""The sender to WebSockets: presence names the node, its stream takes the entries, its answer is the outcome."""

import os
import secrets
import threading
import time

import structlog
from redis.exceptions import RedisError

from delivery import positions, presence
from delivery.content import Content
from delivery.log import body as bodies
from delivery.log.store import NewEntry, log_store
from delivery.models import Parcel
from delivery.outgoing import Outgoing

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 2.0
SILENT_SECONDS = 15.0
"""For how long a node that did not answer is handed entries without waiting for it."""
LATE_SECONDS = positions.COMMIT_WINDOW - positions.CLOCK_SKEW
"""A parcel that waited longer (its run was paused, its lane busy) has its entries in the log once more, stamped now:
the cursors of connected devices may have passed their first places, and who is offline now would never read them."""

_silent: dict[str, float] = {}
_local = threading.local()

Written = tuple[str, str]
"""An outcome and its reason."""


def _reply() -> str:
    name = getattr(_local, "reply", None)
    if name is None or _local.pid != os.getpid():
        name = _local.reply = f"nh:reply:{secrets.token_hex(8)}"
        _local.pid = os.getpid()
    return str(name)


def send(parcel: Parcel, outgoing: Outgoing) -> list[Written]:
    """Hand the messages to the nodes that hold their devices; return what came of each, in order.

    `sent` is what a node says it wrote; everything else is `stored`: the entry stands in the log
    and the device reads it when it connects or pulls.
    """
    written: list[Written] = [("stored", "offline")] * outgoing.size
    try:
        return _send(parcel, outgoing, written)
    except RedisError as error:
        log.warning("sockets.no_redis", parcel=parcel.pk, error=str(error))
        return written


def _send(parcel: Parcel, outgoing: Outgoing, written: list[Written]) -> list[Written]:
    category = parcel.run.category.key if parcel.run.category else ""
    sent_at = int(outgoing.stamp * 1000)
    if (now := time.time()) - outgoing.stamp > LATE_SECONDS:
        _log_again(parcel, outgoing, category, now)
    reply = _reply()
    indexes: dict[str, list[int]] = {}
    for index, nodes in enumerate(presence.where([target.device_uid for target in outgoing.targets])):
        for node in nodes:
            indexes.setdefault(node, []).append(index)
    if not indexes:
        return written
    run = str(parcel.run.uid)
    held = {index for mine in indexes.values() for index in mine}
    pairs = _pairs(outgoing, held, run, category, sent_at)
    full = presence.hand_over(
        {
            node: presence.Delivery(parcel.pk, parcel.fence, reply, [pairs[index] for index in mine])
            for node, mine in indexes.items()
        },
        parcel.lane,
    )
    began = time.monotonic()
    waiting = {node for node in indexes if node not in full and _silent.get(node, 0.0) < began}
    for index in held:
        written[index] = ("stored", "node_silent")
    until = began + ANSWER_SECONDS
    while waiting and (left := until - time.monotonic()) > 0:
        for answer in presence.answers(reply, 1, seconds=left):
            if (answer.parcel, answer.fence) != (parcel.pk, parcel.fence):
                continue  # a late answer to an earlier parcel
            waiting.discard(answer.node)
            _enter(answer, indexes[answer.node], written)
    for node in waiting:
        _silent[node] = time.monotonic() + SILENT_SECONDS
        log.warning("sockets.node_silent", node=node, parcel=parcel.pk)
    return written


def _log_again(parcel: Parcel, outgoing: Outgoing, category: str, now: float) -> None:
    """Give late entries a second place, for the platforms they are for, before presence is asked; readers drop ids."""
    shown: dict[bytes, dict[str, Content]] = {}
    for target in outgoing.targets:
        shown.setdefault(target.notification, {})[target.platform] = outgoing.contents[target.content]
    subscribers = {target.notification: target.subscriber_uid for target in outgoing.targets}
    sent_at = int(outgoing.stamp * 1000)
    entries = [
        NewEntry(
            subscribers[notification],
            notification,
            bodies.encode(
                bodies.Body(
                    next(iter(by_platform.values())), category, sent_at, by_platform, list(by_platform)
                )
            ),
        )
        for notification, by_platform in shown.items()
    ]
    log_store().append(entries, run=parcel.run.uid, stamp=now)
    outgoing.stamp = now


def _enter(answer: presence.Answer, mine: list[int], written: list[Written]) -> None:
    gone = set(answer.gone)
    for at, index in enumerate(mine):
        if at not in gone:
            written[index] = ("sent", "written")
        elif written[index][0] != "sent":
            written[index] = ("stored", "offline")


def _pairs(
    outgoing: Outgoing, held: set[int], run: str, category: str, milliseconds: int
) -> dict[int, presence.Pair]:
    """Return the entries as frames hold them, by index."""
    place_of = positions.of_page(outgoing.stamp)
    sent_at = bodies.instant(milliseconds)
    pairs = {}
    for index in held:
        target = outgoing.targets[index]
        content = outgoing.contents[target.content]
        place = place_of(target.notification)
        entry = bodies.Shown(
            positions.text_of(target.notification),
            positions.encode(place),
            "notification",
            run,
            content.title,
            content.body,
            content.subtitle,
            content.image,
            content.link,
            category,
            content.data,
            sent_at,
        )
        pairs[index] = presence.Pair(target.device_uid, target.notification, place, bodies.to_json(entry))
    return pairs
