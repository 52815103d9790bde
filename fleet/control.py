"""The control API: make credentials and devices, break things, ask what arrived; see README.md."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from fleet.asking import ArrivedQuery, Asker, read_query
from fleet.breaking import Breaker, NewFaults
from fleet.http import Reply, Request, json_reply
from fleet.making import Maker, NewCertificate, NewDevices, NewKey, NewProject
from fleet.pulling import Puller, Pullers
from fleet.sockets import Manner, Pair, Sockets
from fleet.world import World


class _NewSockets(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    tokens: list[Pair]
    manner: Manner = "normal"


class _HowMany(msgspec.Struct, forbid_unknown_fields=True):
    count: int | None = None


class Control:
    """One method a call; the table in `__init__` names them all."""

    def __init__(
        self,
        world: World,
        *,
        maker: Maker,
        breaker: Breaker,
        asker: Asker,
        sockets: Sockets,
        pullers: Pullers,
    ) -> None:
        self._world = world
        self._maker = maker
        self._breaker = breaker
        self._asker = asker
        self._sockets = sockets
        self._pullers = pullers
        self._calls: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("POST", "/fcm/projects"): self._make_project,
            ("POST", "/apns/keys"): lambda request: maker.key(_read(request, NewKey)),
            ("POST", "/apns/certificates"): lambda request: maker.certificate(_read(request, NewCertificate)),
            ("POST", "/devices"): lambda request: maker.devices(_read(request, NewDevices)),
            ("POST", "/sockets"): self._open_sockets,
            ("GET", "/sockets"): lambda request: sockets.report(),
            ("DELETE", "/sockets"): self._close_sockets,
            ("POST", "/sockets/cut"): lambda request: {"cut": sockets.cut(_read(request, _HowMany).count)},
            ("POST", "/pullers"): self._start_pullers,
            ("GET", "/pullers"): lambda request: pullers.report(),
            ("DELETE", "/pullers"): self._stop_pullers,
            ("GET", "/arrived"): asker.arrived,
            ("POST", "/arrived/query"): lambda request: asker.arrived_for(_read(request, ArrivedQuery)),
            ("GET", "/arrivals"): asker.arrivals,
            ("GET", "/instants"): asker.instants,
            ("GET", "/ages"): asker.ages,
            ("GET", "/screen"): asker.screen,
            ("GET", "/messages"): asker.messages,
            ("GET", "/answers"): lambda request: asker.answers(),
            ("GET", "/wait"): asker.wait,
            ("POST", "/faults"): lambda request: breaker.set(_read(request, NewFaults)),
            ("DELETE", "/faults"): lambda request: breaker.heal(),
            ("POST", "/reset"): lambda request: asker.forget(),
        }

    async def handle(self, request: Request) -> Reply:
        """Answer one call; errors are `{"error": text}` with 400, 404 or 405."""
        call = self._calls.get((request.method, request.path))
        if call is None:
            known = any(path == request.path for _, path in self._calls)
            return json_reply(405 if known else 404, {"error": f"no call {request.method} {request.path}"})
        try:
            answer = call(request)
            if inspect.isawaitable(answer):
                answer = await answer
        except (msgspec.MsgspecError, ValueError) as error:
            return json_reply(400, {"error": str(error)})
        return answer if isinstance(answer, Reply) else json_reply(200, {} if answer is None else answer)

    async def _make_project(self, request: Request) -> Any:
        account = await self._maker.project(_read(request, NewProject))
        return {"project": account.project, "service_account": self._maker.document(account)}

    async def _open_sockets(self, request: Request) -> Any:
        wish = _read(request, _NewSockets)
        started = await self._sockets.open(wish.url, wish.tokens, manner=wish.manner)
        self._world.keep()
        return {"started": started}

    async def _close_sockets(self, request: Request) -> Any:
        count = read_query(request).get("count")
        wish = _read(request, _HowMany) if count is None else _HowMany(int(count))
        return {"closed": await self._sockets.close(wish.count)}

    async def _start_pullers(self, request: Request) -> Any:
        started = await self._pullers.start(_read(request, Puller))
        self._world.keep()
        return {"started": started}

    async def _stop_pullers(self, request: Request) -> Any:
        return {"stopped": await self._pullers.stop()}


def _read(request: Request, shape: type[Any]) -> Any:
    return msgspec.json.decode(request.body or b"{}", type=shape)
