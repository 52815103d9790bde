"""Socket first, push on silence: who holds a WebSocket is written to at once and pushed to when nothing is heard.

Per device: a phone with both gets its socket, and only if it does not acknowledge in the lane's wait, a push. Across
devices only where the campaign says so, and only after another device showed the notification or had it read: a
TV left on in an empty room must not silence the phone.
"""

from uuid import UUID

import msgspec
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from delivery import presence
from delivery.log.store import log_store
from delivery.outgoing import Outgoing
from delivery.receipts import MARKING
from devices.models import Provider

log = structlog.get_logger(__name__)

WRITTEN, ASKED = "written", "asked"
SEEN = frozenset({"displayed", *MARKING})
"""Receipts of one device that may spare the others a push."""


class Route(msgspec.Struct, frozen=True):
    """Messages of a page that go to one provider together: not before `due`, and `wait` seconds later still."""

    provider: str
    outgoing: Outgoing
    wait: float = 0.0
    due: float = 0.0


def routes(outgoing: dict[tuple[str, float], Outgoing], lane: str, *, across: bool) -> list[Route]:
    """Return where a page's messages go, given by provider and the instant they are due.

    One round trip to presence an instant (most pages have one), none for a page without phones.
    """
    by_instant: dict[float, dict[str, Outgoing]] = {}
    for (provider, due), part in outgoing.items():
        by_instant.setdefault(due, {})[provider] = part
    return [
        msgspec.structs.replace(route, due=due)
        for due, parts in by_instant.items()
        for route in _routes(parts, lane, across=across)
    ]


def _routes(outgoing: dict[str, Outgoing], lane: str, *, across: bool) -> list[Route]:
    online, subscribers = _online(outgoing, across=across)
    if not online:
        return [Route(provider, part) for provider, part in outgoing.items()]
    found: list[Route] = []
    sockets = outgoing.get(Provider.SOCKET) or Outgoing()
    diverted = sockets.only(list(range(sockets.size)))
    for provider, part in outgoing.items():
        if provider == Provider.SOCKET:
            continue
        at_once: list[int] = []
        later: list[int] = []
        for index, target in enumerate(part.targets):
            if target.device_uid in online:
                diverted.add(msgspec.structs.replace(target, then=provider), part.contents[target.content])
            else:
                (later if target.subscriber in subscribers else at_once).append(index)
        if at_once:
            found.append(Route(provider, part.only(at_once)))
        if later:
            waiting = part.only(later)
            waiting.silence = ASKED
            found.append(Route(provider, waiting, wait(lane)))
    return [*found, Route(Provider.SOCKET, diverted)] if diverted.size else found


def wait(lane: str) -> float:
    """Return how many seconds a device has to acknowledge before it is pushed to."""
    return float(settings.SILENCE_SECONDS[lane])


def heard(outgoing: Outgoing, *, across: bool) -> dict[int, tuple[str, str]]:
    """Return outcome and reason of the messages that need no push any more, by index; one read for all."""
    pairs = [(UUID(bytes=one.subscriber_uid), UUID(bytes=one.notification)) for one in outgoing.targets]
    said: dict[tuple[bytes, bytes], list[tuple[bytes, str]]] = {}
    for row in log_store().receipts_of(pairs):
        key = (row.subscriber.bytes, row.notification.bytes)
        said.setdefault(key, []).append((row.device.bytes, row.kind))
    found: dict[int, tuple[str, str]] = {}
    for index, target in enumerate(outgoing.targets):
        for device, kind in said.get((target.subscriber_uid, target.notification), ()):
            if device == target.device_uid:
                found[index] = ("sent", "acknowledged")
                break
            if across and kind in SEEN:
                found[index] = ("stored", "seen_elsewhere")
    return found


def _online(outgoing: dict[str, Outgoing], *, across: bool) -> tuple[set[bytes], set[int]]:
    """Return the devices that hold a WebSocket, and for `across` the subscribers of any that does."""
    targets = [
        target
        for provider, part in outgoing.items()
        if across or provider != Provider.SOCKET
        for target in part.targets
    ]
    if all(provider == Provider.SOCKET for provider in outgoing):
        return set(), set()
    try:
        nodes = presence.where([target.device_uid for target in targets])
    except RedisError as error:
        log.warning("silence.no_redis", error=str(error))
        return set(), set()
    held = [target for target, where in zip(targets, nodes, strict=True) if where]
    return {target.device_uid for target in held}, {target.subscriber for target in held} if across else set()
