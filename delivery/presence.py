"""Presence: which node holds which device's WebSocket, as a lease in Redis; and the streams that reach a node.

`nh:p:<device>` holds the node starts that hold the device, separated by spaces; it expires
unless its node renews it. `nh:nodes` is a sorted set of live node starts by their last sign of
life. Each node start has two bounded streams, urgent and rest. All of it can be lost: a device
that is not found has its entry in the log.
"""

import time
from collections.abc import Sequence
from functools import cache
from typing import Any, cast
from uuid import UUID

import msgspec
from redis.commands.core import Script

from delivery.lanes import URGENT
from delivery.redis_client import client

PRESENCE_SECONDS = 90
NODE_SECONDS = 15
STREAM_ENTRIES = 2_000
REPLY_SECONDS = 60
NODES = "nh:nodes"

PRESENT = """
local held = redis.call('GET', KEYS[1])
if held and string.find(' ' .. held .. ' ', ' ' .. ARGV[1] .. ' ', 1, true) then
  redis.call('EXPIRE', KEYS[1], ARGV[2]) return 0
end
redis.call('SET', KEYS[1], held and (held .. ' ' .. ARGV[1]) or ARGV[1], 'EX', ARGV[2]) return 1
"""
"""KEYS: a device's presence; ARGV: node start, seconds. Adds the node and renews the lease."""

ABSENT = """
local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local left = {}
for node in string.gmatch(held, '%S+') do if node ~= ARGV[1] then left[#left + 1] = node end end
if #left == 0 then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], table.concat(left, ' '), 'KEEPTTL') end
return 1
"""
"""KEYS: a device's presence; ARGV: node start. Takes only that node out: another's entry stays."""


WHERE = """
local found, devices = {}, ARGV[1]
for at = 1, #devices, 16 do
  local held = redis.call('GET', 'nh:p:' .. string.sub(devices, at, at + 15))
  if held then found[#found + 1] = (at - 1) / 16 found[#found + 1] = held end
end
return found
"""
"""ARGV: devices, 16 bytes each. Returns index and node starts of those that are held: a fifth of what MGET costs us."""


def key(device: bytes) -> bytes:
    """Return the presence key of a device (its 16 bytes)."""
    return b"nh:p:" + device


def stream(node: str, *, urgent: bool) -> str:
    """Return the name of one of a node start's two streams."""
    return f"nh:node:{node}:{'urgent' if urgent else 'rest'}"


class Pair(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry for one device, as JSON text ready for a frame; `place` is its position (16 bytes)."""

    device: bytes
    notification: bytes
    place: bytes
    entry: bytes


class Delivery(msgspec.Struct, frozen=True, array_like=True, tag="delivery"):
    """Up to 500 pairs for one node; it answers on the list `reply` with an `Answer`."""

    parcel: int
    fence: int
    reply: str
    pairs: list[Pair]


class Recall(msgspec.Struct, frozen=True, array_like=True, tag="recall"):
    """Tell the devices of an application that a run was taken back."""

    application: str
    run: str


class Revoke(msgspec.Struct, frozen=True, array_like=True, tag="revoke"):
    """Close a subscriber's sockets whose tokens were issued before an instant (epoch seconds)."""

    subscriber: bytes
    before: float


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a node did with a delivery: the indexes of the pairs whose device it no longer holds."""

    parcel: int
    fence: int
    node: str
    gone: list[int]


Order = Delivery | Recall | Revoke
encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def where(devices: Sequence[bytes]) -> list[list[str]]:
    """Return, for each device, the node starts that hold it; one round trip."""
    if not devices:
        return []
    held = cast(list[Any], _where()(args=[b"".join(devices)], client=client()))
    nodes: list[list[str]] = [[] for _ in devices]
    for at in range(0, len(held), 2):
        nodes[held[at]] = held[at + 1].decode().split()
    return nodes


@cache
def _where() -> Script:
    return client().register_script(WHERE)


def hand_over(deliveries: dict[str, Delivery], lane: str) -> None:
    """Put one entry per node on its stream for the lane; one round trip."""
    with client().pipeline(transaction=False) as pipe:
        for node, delivery in deliveries.items():
            name = stream(node, urgent=lane in URGENT)
            pipe.xadd(name, {b"d": encode(delivery)}, maxlen=STREAM_ENTRIES, approximate=True)
            pipe.expire(name, PRESENCE_SECONDS)
        pipe.execute()


def answers(reply: str, count: int, *, seconds: float) -> list[Answer]:
    """Wait for up to `count` answers of nodes; return those that came within `seconds`."""
    got: list[Answer] = []
    until = time.monotonic() + seconds
    while len(got) < count and (left := until - time.monotonic()) > 0:
        item = cast(tuple[bytes, bytes] | None, client().blpop([reply], timeout=max(left, 0.01)))
        if item is not None:
            got.append(decode_answer(item[1]))
    return got


def leave(node: str, devices: Sequence[bytes]) -> None:
    """Take a node out of devices' presence (compare and delete)."""
    if not devices:
        return
    script = client().register_script(ABSENT)
    with client().pipeline(transaction=False) as pipe:
        for device in devices:
            script(keys=[key(device)], args=[node], client=pipe)
        pipe.execute()


def nodes() -> list[str]:
    """Return the node starts that gave a sign of life lately."""
    alive = client().zrangebyscore(NODES, time.time() - NODE_SECONDS, "+inf")
    return [name.decode() for name in cast(list[bytes], alive)]


def recall(application: UUID, run: UUID) -> None:
    """Tell every node that a run was taken back."""
    _tell(Recall(str(application), str(run)))


def revoke(subscriber: UUID, before: float) -> None:
    """Have every node close a subscriber's older sockets."""
    _tell(Revoke(subscriber.bytes, before))


def _tell(order: Recall | Revoke) -> None:
    with client().pipeline(transaction=False) as pipe:
        for node in nodes():
            name = stream(node, urgent=True)
            pipe.xadd(name, {b"d": encode(order)}, maxlen=STREAM_ENTRIES, approximate=True)
            pipe.expire(name, PRESENCE_SECONDS)
        pipe.execute()
