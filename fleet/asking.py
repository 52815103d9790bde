"""Answers questions about what arrived: counts, messages, instants, ages and screens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from fleet.devices import PROVIDERS
from fleet.http import Reply, Request
from fleet.letters import Letter
from fleet.oauth import TokenEndpoint
from fleet.points import base64url
from fleet.record import Arrival
from fleet.world import World

_LONGEST_WAIT = 300.0
_MOST_ARRIVALS = 10_000
_MOST_INSTANTS = 100_000
_TEXT = ("content-type", "text/plain; charset=utf-8")
_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


class AskingError(ValueError):
    """A question that cannot be answered; the text says why."""


class ArrivedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Tokens whose messages are asked for."""

    tokens: list[str]
    run: str | None = None


class Asker:
    """One method a question; `answers` counts what each provider's endpoints said."""

    def __init__(
        self, world: World, *, oauth: TokenEndpoint, answers: Mapping[str, Sequence[Counter[str]]]
    ) -> None:
        self._world = world
        self._oauth = oauth
        self._answers = answers

    def forget(self) -> None:
        """Forget what arrived and what was answered."""
        self._world.forget()
        for counters in self._answers.values():
            for counter in counters:
                counter.clear()

    def arrived(self, request: Request) -> dict[str, Any]:
        """Return counts by provider and under `total`, of all, of a run or of some tokens."""
        query = parse_qsl(request.query)
        run, provider = read_query(request).get("run"), read_query(request).get("provider")
        if provider is not None and provider not in PROVIDERS:
            raise AskingError(f"provider: must be one of {', '.join(PROVIDERS)}, got {provider!r}")
        tokens = [value for name, value in query if name == "token"]
        chosen = PROVIDERS if provider is None else (provider,)
        record = self._world.record
        if not tokens:
            totals: dict[str, Any] = {name: record.totals(run=run, provider=name) for name in chosen}
            total = record.totals(run=run, provider=provider)
            return totals | {"total": total, "unrecorded": record.unrecorded}
        by_provider: dict[str, list[int]] = {name: [] for name in chosen}
        for device in map(self._world.device, tokens):
            batch = self._world.devices.batch(device)
            if batch is not None and batch.provider in by_provider:
                by_provider[batch.provider].append(device)
        counted: dict[str, Any] = {
            name: record.totals(run=run, devices=own) for name, own in by_provider.items()
        }
        everybody = [device for own in by_provider.values() for device in own]
        return counted | {"total": record.totals(run=run, devices=everybody)}

    def arrived_for(self, wish: ArrivedQuery) -> dict[str, Any]:
        """Return each token's messages."""
        record = self._world.record
        return {
            token: [_shown(one) for one in record.of_device(self._world.device(token), wish.run)]
            for token in wish.tokens
        }

    def arrivals(self, request: Request) -> dict[str, Any]:
        """Return a page of messages in order of first arrival."""
        query = read_query(request)
        limit = min(_number(query, "limit", _MOST_ARRIVALS), _MOST_ARRIVALS)
        found, after = self._world.record.since(_number(query, "after", 0), run=query.get("run"), limit=limit)
        address = self._world.devices.address
        rows = [[address(one.device), one.notification, one.first_at, one.times] for one in found]
        return {"arrivals": rows, "next": after, "total": len(self._world.record)}

    def instants(self, request: Request) -> Reply:
        """Return a page of `<notification> <first arrival in ms>` lines of a run; the header `next` goes on."""
        query = read_query(request)
        if "run" not in query:
            raise AskingError("run: is missing")
        limit = min(_number(query, "limit", _MOST_INSTANTS), _MOST_INSTANTS)
        found, after = self._world.record.instants(
            query["run"], after=_number(query, "after", 0), limit=limit
        )
        text = "".join([f"{notification} {at}\n" for notification, at in found])
        return Reply(200, text.encode("utf-8", "replace"), [_TEXT, ("next", str(after))])

    def ages(self, request: Request) -> dict[str, Any]:
        """Return percentiles (ms) of how old a run's messages were at first arrival."""
        ages = self._world.record.ages(read_query(request).get("run"))
        if not ages:
            return {"count": 0}
        at = {name: ages[math.ceil(share * len(ages)) - 1] for name, share in _PERCENTILES.items()}
        return {"count": len(ages), **at, "max": ages[-1]}

    def screen(self, request: Request) -> dict[str, Any]:
        """Return what one device has taken and shows."""
        device = self._world.device(read_query(request).get("token", ""))
        arrivals = self._world.record.of_device(device)
        shown = sorted((one for one in arrivals if one.shown), key=lambda one: one.last_at)
        return {
            "accepted": sum(one.times for one in arrivals),
            "refused_dead": self._world.refused_dead[device],
            "notices": [_shown(one) for one in shown],
        }

    def messages(self, request: Request) -> dict[str, Any]:
        """Return the last messages word for word, of one device or of all."""
        token = read_query(request).get("token")
        letters = self._world.letters.of(None if token is None else self._world.device(token))
        return {"messages": [self._letter(one) for one in letters]}

    def answers(self) -> dict[str, Any]:
        """Return how often each answer was given."""
        counted = {name: sum(counters, start=Counter[str]()) for name, counters in self._answers.items()}
        return {**counted, "oauth_tokens": self._oauth.issued}

    async def wait(self, request: Request) -> dict[str, Any]:
        """Answer once enough different messages have arrived, or in time."""
        query = read_query(request)
        run, provider, token = query.get("run"), query.get("provider"), query.get("token")
        devices = None if token is None else [self._world.device(token)]
        record = self._world.record

        def have() -> int:
            if devices is not None:
                return record.totals(run=run, devices=devices).distinct_messages
            return record.distinct(run=run, provider=provider)

        timeout = min(float(query.get("timeout", "10")), _LONGEST_WAIT)
        reached = await record.tallies.wait(have, at_least=_number(query, "at_least", 1), timeout=timeout)
        return {"reached": reached, "distinct_messages": have()}

    def _letter(self, one: Letter) -> dict[str, Any]:
        """Show one message; a payload that is no text is shown as base64url."""
        shown = {
            "provider": one.provider,
            "token": self._world.devices.address(one.device),
            "asked": {name: value for name, value in one.asked.items() if name != "authorization"},
        }
        try:
            return shown | {"payload": one.content.decode()}
        except UnicodeDecodeError:
            return shown | {"payload_base64": base64url(one.content)}


def read_query(request: Request) -> dict[str, str]:
    """Return the query's parameters; of one that stands twice the last."""
    return dict(parse_qsl(request.query))


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal():
        raise AskingError(f"{name}: must be a whole number, got {text!r}")
    return int(text)


def _shown(one: Arrival) -> dict[str, Any]:
    screen = {"identity": one.identity, "title": one.title, "body": one.body, "replaced": one.replaced}
    return {
        "notification": one.notification,
        "run": one.run,
        "times": one.times,
        "first_at": one.first_at,
        "last_at": one.last_at,
        "screen": screen if one.shown else None,
    }
