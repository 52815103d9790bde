"""The control API: make credentials and devices, break things, ask what arrived; see README.md."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec

from fleet import google
from fleet.apns import Apns
from fleet.apns_keys import ProviderTokens, make_apns_key
from fleet.apns_rules import REASONS as APNS_REASONS
from fleet.devices import PROVIDERS, Environment, Provider
from fleet.faults import Failure, Faults, Latency, Quota, Refusal
from fleet.fcm import Fcm
from fleet.http import Endpoint, Reply, Request, json_reply
from fleet.letters import Letter
from fleet.oauth import TokenEndpoint, make_service_account
from fleet.points import base64url, read_point
from fleet.record import Arrival
from fleet.sockets import Pair, Sockets
from fleet.webpush import WebPush
from fleet.webpush_rules import REASONS as WEBPUSH_REASONS
from fleet.world import World

_LONGEST_WAIT = 300.0
_REASONS: dict[str, Collection[str]] = {
    "fcm": google.FCM_ERRORS,
    "apns": APNS_REASONS,
    "webpush": WEBPUSH_REASONS,
}
_PROJECT = re.compile(r"[a-z][a-z0-9-]{2,62}").fullmatch


class ControlError(ValueError):
    """A call that cannot be done; the text says why."""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _NewProject(_Body):
    project: str | None = None


class _NewKey(_Body):
    topics: Annotated[list[str], msgspec.Meta(min_length=1)]
    team: str | None = None
    environment: Environment | None = None


class _NewDevices(_Body):
    provider: Provider
    count: int = 1
    project: str | None = None
    topic: str | None = None
    environment: Environment = "production"
    application_server_key: str | None = None


class _NewSockets(_Body):
    url: str
    tokens: list[Pair]


class _HowMany(_Body):
    count: int | None = None


class _ArrivedQuery(_Body):
    tokens: list[str]
    run: str | None = None


class _NewFaults(_Body):
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
    lost_answers: int | None = None
    refuse_connections: bool | None = None
    cut_after: int | None = None
    limit_token_updates: bool | None = None
    expire_tokens: bool = False


class Control:
    """One method a call; the table in `__init__` names them all."""

    def __init__(
        self,
        world: World,
        *,
        oauth: TokenEndpoint,
        keys: ProviderTokens,
        fcm: Fcm,
        apns: list[Apns],
        webpush: WebPush,
        sockets: Sockets,
        doors: Mapping[Provider, Sequence[Endpoint]],
    ) -> None:
        self._world = world
        self._oauth = oauth
        self._keys = keys
        self._fcm = fcm
        self._apns = apns
        self._webpush = webpush
        self._sockets = sockets
        self._doors = doors
        self._calls: dict[tuple[str, str], Callable[[Request], Awaitable[Any]]] = {
            ("POST", "/fcm/projects"): self._make_project,
            ("POST", "/apns/keys"): self._make_key,
            ("POST", "/devices"): self._make_devices,
            ("POST", "/sockets"): self._open_sockets,
            ("GET", "/sockets"): self._report_sockets,
            ("DELETE", "/sockets"): self._close_sockets,
            ("POST", "/sockets/cut"): self._cut_sockets,
            ("GET", "/arrived"): self._arrived,
            ("POST", "/arrived/query"): self._arrived_for,
            ("GET", "/arrivals"): self._arrivals,
            ("GET", "/screen"): self._screen,
            ("GET", "/messages"): self._messages,
            ("GET", "/answers"): self._answers,
            ("GET", "/wait"): self._wait,
            ("POST", "/faults"): self._break,
            ("DELETE", "/faults"): self._heal,
            ("POST", "/reset"): self._reset,
        }

    async def handle(self, request: Request) -> Reply:
        """Answer one call; errors are `{"error": text}` with 400, 404 or 405."""
        call = self._calls.get((request.method, request.path))
        if call is None:
            known = any(path == request.path for _, path in self._calls)
            return json_reply(405 if known else 404, {"error": f"no call {request.method} {request.path}"})
        try:
            return json_reply(200, await call(request))
        except (ControlError, msgspec.MsgspecError, ValueError) as error:
            return json_reply(400, {"error": str(error)})

    async def _make_project(self, request: Request) -> Any:
        name = _read(request, _NewProject).project or f"fleet-{secrets.token_hex(4)}"
        if not _PROJECT(name):
            raise ControlError(f"project: must be lower-case letters, digits and hyphens, got {name!r}")
        account = self._world.accounts.get(name)
        if account is None:
            account = await asyncio.to_thread(make_service_account, name)
            account = self._world.accounts.setdefault(name, account)
            self._oauth.enrol(account)
            self._world.keep()
        return {"project": name, "service_account": account.document(self._oauth.url)}

    async def _make_key(self, request: Request) -> Any:
        wish = _read(request, _NewKey)
        key = make_apns_key(wish.topics, team=wish.team, environment=wish.environment)
        self._world.apns_keys[key.key_id] = key
        self._keys.enrol(key)
        self._world.keep()
        return key

    async def _make_devices(self, request: Request) -> Any:
        wish = _read(request, _NewDevices)
        home = wish.project if wish.provider == "fcm" else wish.topic
        if wish.provider == "websocket":
            raise ControlError("provider: websocket devices are made by POST /sockets")
        if wish.provider == "webpush":
            return await self._subscribe(wish)
        if not home:
            raise ControlError(f"{'project' if wish.provider == 'fcm' else 'topic'}: is missing")
        tokens = self._world.devices.make(
            wish.provider, count=wish.count, home=home, environment=wish.environment
        )
        self._world.keep()
        return {"tokens": tokens}

    async def _subscribe(self, wish: _NewDevices) -> Any:
        key = wish.application_server_key or ""
        try:
            home = base64url(read_point(key)) if key else ""
        except ValueError as error:
            raise ControlError(f"application_server_key: {error}") from error
        made = self._webpush.subscribe(wish.count, application_server_key=home)
        self._world.keep()
        return {"tokens": [one.endpoint for one in made], "subscriptions": [one.document() for one in made]}

    async def _open_sockets(self, request: Request) -> Any:
        wish = _read(request, _NewSockets)
        started = await self._sockets.open(wish.url, wish.tokens)
        self._world.keep()
        return {"started": started}

    async def _report_sockets(self, request: Request) -> Any:
        return self._sockets.report()

    async def _close_sockets(self, request: Request) -> Any:
        count = _query(request).get("count")
        wish = _read(request, _HowMany) if count is None else _HowMany(int(count))
        return {"closed": await self._sockets.close(wish.count)}

    async def _cut_sockets(self, request: Request) -> Any:
        return {"cut": self._sockets.cut(_read(request, _HowMany).count)}

    async def _arrived(self, request: Request) -> Any:
        query = parse_qsl(request.query)
        run, provider = _query(request).get("run"), _query(request).get("provider")
        if provider is not None and provider not in PROVIDERS:
            raise ControlError(f"provider: must be one of {', '.join(PROVIDERS)}, got {provider!r}")
        tokens = [value for name, value in query if name == "token"]
        chosen = PROVIDERS if provider is None else (provider,)
        if not tokens:
            totals = {name: self._world.record.totals(run=run, provider=name) for name in chosen}
            return totals | {"total": self._world.record.totals(run=run, provider=provider)}
        by_provider: dict[str, list[int]] = {name: [] for name in chosen}
        for device in map(self._device, tokens):
            batch = self._world.devices.batch(device)
            if batch is not None and batch.provider in by_provider:
                by_provider[batch.provider].append(device)
        counted = {name: self._world.record.totals(run=run, devices=own) for name, own in by_provider.items()}
        everybody = [device for own in by_provider.values() for device in own]
        return counted | {"total": self._world.record.totals(run=run, devices=everybody)}

    async def _arrived_for(self, request: Request) -> Any:
        wish = _read(request, _ArrivedQuery)
        return {
            token: [self._shown(one) for one in self._world.record.of_device(self._device(token), wish.run)]
            for token in wish.tokens
        }

    async def _arrivals(self, request: Request) -> Any:
        query = _query(request)
        limit = min(int(query.get("limit", "10000")), 10_000)
        start = max(0, int(query.get("after", "0")))
        found, after = self._world.record.since(start, run=query.get("run"), limit=limit)
        address = self._world.devices.address
        rows = [[address(one.device), one.notification, one.first_at, one.times] for one in found]
        return {"arrivals": rows, "next": after, "total": len(self._world.record)}

    async def _screen(self, request: Request) -> Any:
        device = self._device(_query(request).get("token", ""))
        arrivals = self._world.record.of_device(device)
        shown = sorted((one for one in arrivals if one.shown), key=lambda one: one.last_at)
        return {
            "accepted": sum(one.times for one in arrivals),
            "refused_dead": self._world.refused_dead[device],
            "notices": [self._shown(one) for one in shown],
        }

    async def _messages(self, request: Request) -> Any:
        letters = self._world.letters.of(self._device(_query(request).get("token", "")))
        return {"messages": [_letter(one) for one in letters]}

    async def _answers(self, request: Request) -> Any:
        apns: Counter[str] = sum((one.answers for one in self._apns), start=Counter())
        return {
            "fcm": self._fcm.answers,
            "apns": apns,
            "webpush": self._webpush.answers,
            "oauth_tokens": self._oauth.issued,
        }

    async def _wait(self, request: Request) -> Any:
        query = _query(request)
        run, provider, token = query.get("run"), query.get("provider"), query.get("token")
        devices = None if token is None else [self._device(token)]
        record = self._world.record

        def have() -> int:
            return record.totals(run=run, provider=provider, devices=devices).distinct_messages

        timeout = min(float(query.get("timeout", "10")), _LONGEST_WAIT)
        at_least = int(query.get("at_least", "1"))
        reached = await record.tallies.wait(have, at_least=at_least, timeout=timeout)
        return {"reached": reached, "distinct_messages": have()}

    async def _break(self, request: Request) -> Any:
        wish = _read(request, _NewFaults)
        if wish.answer is not None:
            known = _REASONS.get(wish.provider, ())
            if wish.answer.reason not in known:
                raise ControlError(f"answer.reason: must be one of {', '.join(known)}")
        current = msgspec.structs.asdict(self._world.faults[wish.provider])
        asked = msgspec.structs.asdict(wish)
        changes = {name: asked[name] for name in current if asked.get(name) is not None}
        if wish.dead_fraction is not None and wish.dead_since is not None:
            changes["since"] = wish.dead_since
        self._world.faults[wish.provider] = msgspec.convert(current | changes, Faults, from_attributes=True)
        for device in map(self._device, wish.dead_tokens):
            self._world.devices.bury(device, since=wish.dead_since)
        if wish.expire_tokens:
            self._oauth.expire_all()
        await self._mind_doors()
        return self._world.faults[wish.provider]

    async def _heal(self, request: Request) -> Any:
        self._world.heal()
        await self._mind_doors()
        return {}

    async def _mind_doors(self) -> None:
        """Take connections, or refuse them, as the faults say."""
        for provider, doors in self._doors.items():
            for door in doors:
                await (door.refuse() if self._world.faults[provider].refuse_connections else door.welcome())

    async def _reset(self, request: Request) -> Any:
        self._world.forget()
        for answers in (self._fcm.answers, self._webpush.answers, *(one.answers for one in self._apns)):
            answers.clear()
        return {}

    def _device(self, token: str) -> int:
        device = self._world.devices.find(token)
        if device is None:
            raise ControlError(f"token: no device of this fleet has {token!r}")
        return device

    def _shown(self, one: Arrival) -> dict[str, Any]:
        screen = {"identity": one.identity, "title": one.title, "body": one.body, "replaced": one.replaced}
        return {
            "notification": one.notification,
            "run": one.run,
            "times": one.times,
            "first_at": one.first_at,
            "last_at": one.last_at,
            "screen": screen if one.shown else None,
        }


def _read(request: Request, shape: type[Any]) -> Any:
    return msgspec.json.decode(request.body or b"{}", type=shape)


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query))


def _letter(one: Letter) -> dict[str, Any]:
    """Show one message; a payload that is no text is shown as base64url."""
    content: dict[str, Any] = {"provider": one.provider, "at": int(one.at * 1000), "asked": one.asked}
    try:
        return content | {"payload": one.content.decode()}
    except UnicodeDecodeError:
        return content | {"payload_base64": base64url(one.content)}
