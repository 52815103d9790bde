"""What a campaign hands down at launch: its content and policy, frozen."""

import hashlib
from collections.abc import Container
from typing import Any

import msgspec

AUTO_BADGE = "auto"
WHOLE = 10_000
"""What the shares of an audience are counted in."""


class Text(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said, as Liquid templates; an empty field of an override leaves the field below it as it is.

    `badge` is the number on the app's icon, in digits, or `AUTO_BADGE`: how much the person has not read.
    """

    title: str = ""
    body: str = ""
    subtitle: str = ""
    image: str = ""
    link: str = ""
    sound: str = ""
    badge: str = ""
    data: dict[str, str] = {}
    android: dict[str, Any] = {}
    ios: dict[str, Any] = {}
    web: dict[str, Any] = {}


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Under which policy a campaign is told; wall times are HH:MM.

    `transactional`: no frequency cap counts it or stops it. `override`: in the lane critical,
    preferences and quiet hours do not hold it, as long as its category allows that; only those who
    may launch with it can set it. `capped` is `drop` or `defer`: what becomes of somebody who is over a cap.
    `local_time`: told at that time of each person's own clock, on `local_date` (ISO; empty: the day of
    the launch in the application's zone); where that is past it is told at once, or at that time of the next day
    (`late`: `now` or `tomorrow`). `rate`: at most so many people a `rate_per` (`second` or `minute`; 0: as
    fast as it goes), rising over the first `ramp` seconds. `window_start`, `window_end`: nobody outside these
    times of day of the application's clock, on each day anew; one that ends before it begins goes over
    midnight, without a beginning it begins at the launch's time of day. `jitter`: spread over so many seconds.
    `best`: told at each person's best hour, in the hours of their day from `best_from` to before
    `best_until`; the number is the hour (0 to 23) for those of whom nothing is known, -1: not so.
    `begun`: the instant (epoch seconds) for which a run was planned: people's own times count from it,
    however much later the clock came; 0: from when the run begins.
    """

    transactional: bool = False
    override: bool = False
    capped: str = "drop"
    local_time: str = ""
    local_date: str = ""
    late: str = "now"
    rate: int = 0
    rate_per: str = "second"
    ramp: int = 0
    window_start: str = ""
    window_end: str = ""
    jitter: int = 0
    best: int = -1
    best_from: int = 0
    best_until: int = 24
    begun: float = 0.0

    @property
    def own_times(self) -> bool:
        """Whether everybody is told at an instant of their own."""
        return bool(self.local_time) or self.best >= 0


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of an audience by a stable hash: who falls from `low` to below `high` of 10,000; `salt` mixes anew."""

    low: int
    high: int
    salt: str = ""

    def holds(self, subscriber: bytes) -> bool:
        """Return whether a subscriber (the UUID's 16 bytes) belongs to this part."""
        digest = hashlib.blake2b(subscriber, digest_size=8, key=self.salt.encode()[:64]).digest()
        return self.low <= int.from_bytes(digest, "big") % WHOLE < self.high


class Goal(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a campaign is to bring about: an event of this type, within so many seconds after somebody was told."""

    event_type: str
    seconds: int = 86_400


class Variant(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the texts that an experiment tries; `texts` maps a locale to the fields that differ there."""

    key: str
    weight: int = 1
    texts: dict[str, Text] = {}


class Experiment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which variants are tried, frozen at launch.

    `key` makes the draw another one for each experiment; `control` is the share, in hundredths of a per cent
    (0 to 10,000), that is told nothing. `metric` is `opened` or `converted`. `winner` is a variant's key when it is
    decided: all but the control are told that one. `automatic`: it is decided by the rule of
    `delivery.statistics` when the evidence is there.
    """

    key: str
    variants: list[Variant]
    control: int = 0
    metric: str = "opened"
    automatic: bool = False
    winner: str = ""


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """A campaign version as delivery knows it.

    `texts` maps a locale (BCP 47) to its text and always holds `locale`, the fallback of all;
    `overrides` maps a platform to the fields that differ there. `predicate` is a segment's
    (`devices.segments`), None for everybody; `platforms` is empty for all. `ttl` is in seconds.
    `variables` are known to every text, as `event` of a rule whose recipients are an audience.
    `silence_across_devices`: who was shown it on one device is not pushed to on another. `share`: only this part
    of the audience is told (None: all).
    """

    texts: dict[str, Text]
    locale: str = "en"
    overrides: dict[str, Text] = {}
    predicate: Any = None
    platforms: list[str] = []
    category: str = ""
    ttl: int = 86_400
    tag: str = ""
    variables: dict[str, Any] = {}
    policy: Policy = Policy()
    silence_across_devices: bool = False
    share: Share | None = None
    goal: Goal | None = None
    experiment: Experiment | None = None


class Named(msgspec.Struct, frozen=True, array_like=True):
    """A subscriber of a page of named people: by primary key, with what made them one.

    `occurrence` tells several notifications of one standing run to one subscriber apart (the
    event's uid); `variables` are known to their text; `expires_at` and `accepted_at` (when what made
    them one was accepted) are in epoch seconds. `since` is when what they are told was begun, for those
    whom policy put off (None: it begins now).
    """

    subscriber: int
    occurrence: str = ""
    variables: dict[str, Any] | None = None
    expires_at: float | None = None
    since: float | None = None
    accepted_at: float | None = None


def digest(snapshot: Snapshot) -> str:
    """Return a hash of what a snapshot says, the same wherever its values came from.

    Written out whole: what `omit_defaults` leaves out depends on which object an equal text is.
    """
    return hashlib.sha256(msgspec.json.encode(_whole(snapshot), order="deterministic")).hexdigest()


def _whole(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _whole(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return value


def best_locale(wanted: str, locales: Container[str], fallback: str) -> str:
    """Return the best of `locales` (in lower case): `pt-BR`, else `pt`, else the fallback (RFC 4647 lookup)."""
    found = wanted.lower().replace("_", "-")
    while found and found not in locales:
        found = found.rpartition("-")[0]
    return found or fallback


def to_json(snapshot: Snapshot) -> Any:
    """Return the snapshot as plain JSON values, for a database field."""
    return msgspec.to_builtins(snapshot)


def from_json(value: Any) -> Snapshot:
    """Return the snapshot of `to_json`; raises `msgspec.ValidationError` for anything else."""
    return msgspec.convert(value, Snapshot)


def encode_people(people: list[Named]) -> bytes:
    """Return a page's named people as MessagePack."""
    return msgspec.msgpack.encode(people)


_people = msgspec.msgpack.Decoder(list[Named])


def decode_people(body: bytes) -> list[Named]:
    """Return the people of `encode_people`."""
    return _people.decode(body)
