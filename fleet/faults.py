"""What goes wrong at a provider on purpose: the shapes a control call or a scenario may ask for."""

from __future__ import annotations

import math
import random
import time
from typing import Annotated, Literal

import msgspec

_P99_SIGMAS = 2.3263
"""How many standard deviations above its middle a normal distribution has its 99th percentile."""
Count = Annotated[int, msgspec.Meta(ge=0)]
Code = Literal[
    "REFUSED_STREAM", "INTERNAL_ERROR", "CANCEL", "ENHANCE_YOUR_CALM", "NO_ERROR", "PROTOCOL_ERROR"
]
Spoiling = Literal["truncated", "html", "huge", "empty", "wrong_types", "broken_off"]


class Failure(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` sends are answered by `status`."""

    status: Annotated[int, msgspec.Meta(ge=500, le=599)] = 503
    count: Count = 1
    retry_after: Count | None = None


class Quota(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` sends are answered 429; `retry_after` is in seconds."""

    count: Count = 1
    retry_after: Count = 1


class Refusal(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` sends are refused with this reason of the provider's own table."""

    reason: str
    count: Count = 1
    retry_after: Count | None = None


class Latency(msgspec.Struct, forbid_unknown_fields=True):
    """Answers come later, half of them by more than `p50` milliseconds and one in a hundred by more than `p99`.

    In between it is log-normal, as waits for a service are.
    """

    p50: Annotated[float, msgspec.Meta(gt=0, le=600_000)]
    p99: Annotated[float, msgspec.Meta(gt=0, le=600_000)]

    def __post_init__(self) -> None:
        if self.p99 < self.p50:
            raise ValueError(f"p99: must not be less than p50, got {self.p99} and {self.p50}")

    def sample(self) -> float:
        """Return one wait in milliseconds."""
        return random.lognormvariate(math.log(self.p50), math.log(self.p99 / self.p50) / _P99_SIGMAS)


class StreamReset(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` sends end by RST_STREAM instead of an answer (over HTTP/1.1 the connection closes).

    By REFUSED_STREAM the message was not looked at (RFC 9113, section 8.7); by any other code it has arrived.
    """

    code: Code = "INTERNAL_ERROR"
    count: Count = 1


class Leaving(msgspec.Struct, forbid_unknown_fields=True):
    """At that many more sends the connection says GOAWAY and ends; so `count` times, at `every` so many sends.

    Streams up to that send still get their answers, later ones were never looked at; `abrupt`: the connection closes at
    once and owes all answers. `reason` goes along as APNs sends it.
    """

    after: Annotated[int, msgspec.Meta(ge=1)] = 1
    count: Count = 1
    every: Annotated[int, msgspec.Meta(ge=1)] = 1
    reason: str = ""
    abrupt: bool = False


class Spoilt(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` messages arrive, and their answers are spoilt.

    `truncated`: the JSON ends in its middle. `html`: a proxy's page with `status`. `huge`: `megabytes` of JSON.
    `empty`: no body. `wrong_types`: JSON of another shape. `broken_off`: fewer bytes than announced.
    """

    how: Spoiling = "html"
    count: Count = 1
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 502
    megabytes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8


class Faults(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All faults of one provider; a field that is not set changes nothing.

    `dead_fraction` picks devices by their number, always the same ones. `lost_answers`
    sends arrive but are never answered, as when a connection dies in flight. After `cut_after` more
    sends all connections are closed at once, in mid-batch; new ones are taken, unless `refuse_connections`.
    `streams_at_once`: new connections to APNs have all their streams before a good token came.
    `silent`: connections are taken and nothing is ever said on them. `most_streams` (0: 1,000) is announced as
    SETTINGS_MAX_CONCURRENT_STREAMS. `slow_read` is how many bytes a second are read from a connection, 0 for all.
    """

    latency_ms: Annotated[float, msgspec.Meta(ge=0, le=600_000)] = 0.0
    latency: Latency | None = None
    dead_fraction: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    refuse_credentials: bool = False
    status_5xx: Failure | None = None
    quota_429: Quota | None = None
    answer: Refusal | None = None
    spoil: Spoilt | None = None
    lost_answers: Count = 0
    cut_after: Count = 0
    goaway: Leaving | None = None
    reset_streams: StreamReset | None = None
    most_streams: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    slow_read: Count = 0
    silent: bool = False
    refuse_connections: bool = False
    limit_token_updates: bool = False
    streams_at_once: bool = False
    since: int = msgspec.field(default_factory=lambda: int(time.time() * 1000))
