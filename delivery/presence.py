"""Presence: which node holds which device's line, as a lease in Redis; and the streams that reach a node.

`nh:p:<device>` holds the node starts that hold the device, each as `name@since` (epoch seconds), separated by spaces;
it expires unless its node renews it. `nh:nodes` is a sorted set of live node starts by their last sign of life, and
`nh:node:<name>` holds a node's figures. Each node start has two bounded streams, urgent and rest. One that is full
takes nothing more: the node is told that it missed something, and reads its devices' logs. All of it can be lost: a
device that is not found has its entry in the log.
"""

import time
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, cast
from uuid import UUID

import msgspec
from redis.commands.core import Script

from delivery.lanes import URGENT
from delivery.redis_client import client

PRESENCE_SECONDS = 90
NODE_SECONDS = 15
STREAM_ENTRIES = {True: 2_000, False: 300}
"""Orders that may wait for a node, urgent or not; one of the rest lanes has up to 500 entries in it."""
REPLY_SECONDS = 60
FIGURES_SECONDS = 60
NODES = "nh:nodes"

PRESENT = """
local kept = ARGV[1] .. '@' .. ARGV[3]
local held = redis.call('GET', KEYS[1])
if not held then redis.call('SET', KEYS[1], kept, 'EX', ARGV[2]) return 1 end
for node in string.gmatch(held, '([^ @]+)@') do
  if node == ARGV[1] then redis.call('EXPIRE', KEYS[1], ARGV[2]) return 0 end
end
redis.call('SET', KEYS[1], held .. ' ' .. kept, 'EX', ARGV[2]) return 1
"""
"""KEYS: a device's presence; ARGV: node start, seconds, since. Adds the node and renews the lease."""

ABSENT = """
local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local left = {}
for whole, node in string.gmatch(held, '(([^ @]+)@%S+)') do
  if node ~= ARGV[1] then left[#left + 1] = whole end
end
if #left == 0 then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], table.concat(left, ' '), 'KEEPTTL') end
return 1
"""
"""KEYS: a device's presence; ARGV: node start. Takes only that node out: another's entry stays."""

PUT = """
local bound, seconds, taken = tonumber(ARGV[1]), ARGV[2], {}
for at = 1, #KEYS / 2 do
  local stream, missed = KEYS[at * 2 - 1], KEYS[at * 2]
  if redis.call('XLEN', stream) >= bound then
    redis.call('SET', missed, 1, 'EX', seconds)
    taken[at] = 0
  else
    redis.call('XADD', stream, '*', 'd', ARGV[at + 2])
    redis.call('EXPIRE', stream, seconds)
    taken[at] = 1
  end
end
return taken
"""
"""KEYS: of each node its stream, its mark of having missed something; ARGV: the streams' bound, seconds, the order for
each node. One script for all of them: a pipeline of scripts asks first whether Redis knows them."""


ONLINE = """
local names, found = {}, {redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], '+inf')}
for first = 0, #ARGV[1] / 16 - 1, 1000 do
  local last = math.min(first + 999, #ARGV[1] / 16 - 1)
  for i = first, last do names[i - first + 1] = 'nh:p:' .. string.sub(ARGV[1], i * 16 + 1, i * 16 + 16) end
  local held = redis.call('MGET', unpack(names, 1, last - first + 1))
  for i = first, last do
    if held[i - first + 1] then
      found[#found + 1] = i
      found[#found + 1] = held[i - first + 1]
    end
  end
end
return found
"""
"""KEYS: the nodes; ARGV: the devices (16 bytes each), since when a node must have given a sign of life. Returns those
nodes, then index and presence of the devices that have one: most phones have none, and to name each as a key costs ten
times as much."""


def key(device: bytes) -> bytes:
    """Return the presence key of a device (its 16 bytes)."""
    return b"nh:p:" + device


def stream(node: str, *, urgent: bool) -> str:
    """Return the name of one of a node start's two streams."""
    return f"nh:node:{node}:{'urgent' if urgent else 'rest'}"


def missed(node: str) -> str:
    """Return the key that stands when a node start's stream was full."""
    return f"nh:node:{node}:missed"


def figures(node: str) -> str:
    """Return the key of a node start's figures."""
    return f"nh:node:{node}"


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


class Marked(msgspec.Struct, frozen=True, array_like=True, tag="marked"):
    """Tell some devices of a subscriber that notifications were read or archived on another one."""

    devices: list[bytes]
    ids: list[str]
    state: str


class Said(msgspec.Struct, frozen=True, array_like=True, tag="said"):
    """Give some devices what another device of their subscriber says; `data` is JSON text."""

    source: str
    devices: list[bytes]
    data: bytes


class Leave(msgspec.Struct, frozen=True, array_like=True, tag="leave"):
    """Let nobody else in, and have the devices move to other nodes within some seconds; or take part again."""

    seconds: float
    back: bool = False


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a node did with a delivery: the indexes of the pairs whose device it no longer holds."""

    parcel: int
    fence: int
    node: str
    gone: list[int]


class Held(msgspec.Struct, frozen=True):
    """A live node start that holds a device, since an instant (epoch seconds)."""

    node: str
    since: float


Order = Delivery | Recall | Marked | Said | Leave
encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


@cache
def _script(text: str) -> Script:
    return client().register_script(text)


def where(devices: Sequence[bytes]) -> list[list[str]]:
    """Return, for each device, the live node starts that hold it; one round trip."""
    return [[held.node for held in one] for one in online(devices)]


def online(devices: Sequence[bytes]) -> list[list[Held]]:
    """Return, for each device, the live node starts that hold it and since when; one round trip."""
    if not devices:
        return []
    found: list[list[Held]] = [[]] * len(devices)
    since = time.time() - NODE_SECONDS
    answer = _script(ONLINE)(keys=[NODES], args=[b"".join(devices), since], client=client())
    alive, *held = cast(list[Any], answer)
    live = {name.decode() for name in alive}
    for index, text in zip(held[::2], held[1::2], strict=True):
        found[index] = _held(text, live)
    return found


def _held(text: bytes, live: Container[str]) -> list[Held]:
    parts = [one.partition("@") for one in text.decode().split()]
    return [Held(node, float(since or 0)) for node, _, since in parts if node in live]


def hand_over(deliveries: Mapping[str, Delivery], lane: str) -> set[str]:
    """Put one entry per node on its stream for the lane; return the nodes whose stream is full. One round trip."""
    return _put(deliveries, urgent=lane in URGENT)


def _put(orders: Mapping[str, Order], *, urgent: bool) -> set[str]:
    keys = [name for node in orders for name in (stream(node, urgent=urgent), missed(node))]
    args: list[Any] = [
        STREAM_ENTRIES[urgent],
        PRESENCE_SECONDS,
        *(encode(order) for order in orders.values()),
    ]
    taken = cast(list[int], _script(PUT)(keys=keys, args=args, client=client()))
    return {node for node, took in zip(orders, taken, strict=True) if not took}


def answers(reply: str, count: int, *, seconds: float) -> list[Answer]:
    """Wait for up to `count` answers of nodes; return those that came within `seconds`."""
    got: list[Answer] = []
    until = time.monotonic() + seconds
    while len(got) < count and (left := until - time.monotonic()) > 0:
        item = cast(tuple[bytes, bytes] | None, client().blpop([reply], timeout=max(left, 0.01)))
        if item is not None:
            got.append(decode_answer(item[1]))
    return got


def nodes() -> list[str]:
    """Return the node starts that gave a sign of life lately."""
    alive = client().zrangebyscore(NODES, time.time() - NODE_SECONDS, "+inf")
    return [name.decode() for name in cast(list[bytes], alive)]


def recall(application: UUID, run: UUID) -> None:
    """Tell every node that a run was taken back."""
    _tell(Recall(str(application), str(run)), nodes())


def marked(devices: Sequence[bytes], ids: Sequence[UUID], state: str) -> None:
    """Tell the open lines of some devices that notifications were read or archived elsewhere."""
    holding = {node for nodes in where(devices) for node in nodes}
    _tell(Marked(list(devices), [str(one) for one in ids], state), holding)


def say(source: UUID, devices: Sequence[bytes], data: bytes, holders: Sequence[Sequence[str]]) -> None:
    """Give devices, on the nodes that hold each, what another device of their subscriber says."""
    _tell(Said(str(source), list(devices), data), {node for nodes in holders for node in nodes})


def leave(node: str, seconds: float, *, back: bool = False) -> None:
    """Ask a node to let nobody else in and to have its devices move; `back`: to take part again."""
    _tell(Leave(seconds, back), [node])


def _tell(order: Order, to: Iterable[str]) -> None:
    orders = dict.fromkeys(to, order)
    if orders:
        _put(orders, urgent=True)


def read_figures() -> dict[str, dict[str, float]]:
    """Return what each live node start last said of itself."""
    names = nodes()
    with client().pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(figures(name))
        found = cast(list[dict[bytes, bytes]], pipe.execute())
    return {
        name: {what.decode(): float(value) for what, value in one.items()}
        for name, one in zip(names, found, strict=True)
    }
