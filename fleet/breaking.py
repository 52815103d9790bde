"""Breaks the providers on purpose and mends them: by a call, or by a scenario at its time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from fleet import google
from fleet.apns_rules import REASONS as APNS_REASONS
from fleet.devices import PUSH_PROVIDERS, Provider
from fleet.endpoint import Endpoint
from fleet.faults import Failure, Faults, Latency, Leaving, Quota, Refusal, Spoilt, StreamReset
from fleet.oauth import TokenEndpoint
from fleet.webpush_rules import REASONS as WEBPUSH_REASONS
from fleet.world import World

_REASONS: dict[str, Collection[str]] = {
    "fcm": google.FCM_ERRORS,
    "apns": APNS_REASONS,
    "webpush": WEBPUSH_REASONS,
}
_FAULTS = [field.name for field in msgspec.structs.fields(Faults)]


class BreakingError(ValueError):
    """A fault that cannot be; the text says why."""


class NewFaults(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Changes of one provider's faults; what is not named stays as it is. `Faults` says what each does."""

    provider: Provider
    latency_ms: float | None = None
    latency: Latency | None = None
    dead_tokens: list[str] = []
    dead_since: int | None = None
    dead_fraction: float | None = None
    refuse_credentials: bool | None = None
    status_5xx: Failure | None = None
    quota_429: Quota | None = None
    answer: Refusal | None = None
    spoil: Spoilt | None = None
    lost_answers: int | None = None
    cut_after: int | None = None
    goaway: Leaving | None = None
    reset_streams: StreamReset | None = None
    most_streams: int | None = None
    slow_read: int | None = None
    silent: bool | None = None
    refuse_connections: bool | None = None
    limit_token_updates: bool | None = None
    streams_at_once: bool | None = None
    expire_tokens: bool = False


class Breaker:
    """Changes faults, and lets the endpoints' doors follow."""

    def __init__(
        self, world: World, *, oauth: TokenEndpoint, doors: Mapping[Provider, Sequence[Endpoint]]
    ) -> None:
        self._world = world
        self._oauth = oauth
        self._doors = doors

    async def set(self, wish: NewFaults) -> Faults:
        """Change faults; return all of that provider that hold now. Raises `ValueError`."""
        if wish.provider not in PUSH_PROVIDERS:
            raise BreakingError(
                f"provider: must be one of {', '.join(PUSH_PROVIDERS)}, got {wish.provider!r}"
            )
        known = _REASONS[wish.provider]
        if wish.answer is not None and wish.answer.reason not in known:
            raise BreakingError(f"answer.reason: must be one of {', '.join(known)}")
        asked = msgspec.structs.asdict(wish)
        changes = {name: asked[name] for name in _FAULTS if asked.get(name) is not None}
        if wish.dead_fraction is not None and wish.dead_since is not None:
            changes["since"] = wish.dead_since
        devices = [self._world.device(token) for token in wish.dead_tokens]
        faults = self._world.break_(wish.provider, **changes)
        for device in devices:
            self._world.devices.bury(device, since=wish.dead_since)
        if wish.expire_tokens:
            self._oauth.expire_all()
        await self._mind_doors()
        return faults

    async def heal(self) -> None:
        """End all faults and revive dead tokens."""
        self._world.heal()
        await self._mind_doors()

    async def _mind_doors(self) -> None:
        for provider, doors in self._doors.items():
            for door in doors:
                await door.suffer(self._world.trouble[provider].faults)
