"""The faults of one provider as they befall its sends, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from fleet.faults import Failure, Faults, Leaving, Quota, Refusal, Spoilt, StreamReset
from fleet.http import JSON, Broken, Goaway, Reply, Request, Reset

_Counted = TypeVar("_Counted", Failure, Quota, Refusal, Spoilt, StreamReset)
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"
_HTML = ("content-type", "text/html")


class Desk(Protocol):
    """A provider's endpoint as its faults see it."""

    def answer(self, request: Request) -> Reply:
        """Answer a send by the provider's rules."""

    def refuse(self, reason: str, *, retry_after: int | None = None) -> Reply:
        """Refuse a send for a reason of the provider's table."""

    def outage(self, status: int) -> str:
        """Return the reason behind a status of 500 and above."""

    def quota(self) -> str:
        """Return the reason of a 429."""


class Trouble:
    """One provider's faults, used up send by send; `cut` closes all its connections."""

    def __init__(self, faults: Faults, cut: Callable[[], None]) -> None:
        self.faults = faults
        self._cut = cut
        self._latency = faults.latency_ms / 1000
        self._dead_below = int(faults.dead_fraction * 2**32)
        self._rare = any(
            (
                faults.status_5xx,
                faults.quota_429,
                faults.answer,
                faults.spoil,
                faults.lost_answers,
                faults.cut_after,
                faults.goaway,
                faults.reset_streams,
            )
        )

    def befall(self, desk: Desk, request: Request) -> Reply:
        """Answer a send: by the desk, unless a fault has it."""
        reply = self._befall(desk, request) if self._rare else desk.answer(request)
        if (self._latency or self.faults.latency) and reply.wait == 0.0:
            return Reply(reply.status, reply.body, reply.headers, self._wait(), reply.mishap)
        return reply

    def strikes(self, device: int) -> bool:
        """Whether this device belongs to the dead fraction."""
        return self._dead_below > 0 and (device * 2654435761 & 0xFFFFFFFF) < self._dead_below

    def _wait(self) -> float:
        """Return how many seconds the next answer is late."""
        latency = self.faults.latency
        return self._latency + (latency.sample() / 1000 if latency else 0.0)

    def _befall(self, desk: Desk, request: Request) -> Reply:
        faults = self.faults
        reset = _take(faults.reset_streams)
        if reset is not None and reset.code == "REFUSED_STREAM":
            return Reply(0, b"", [], 0.0, Reset(reset.code))
        if (failure := _take(faults.status_5xx)) is not None:
            reply = desk.refuse(desk.outage(failure.status), retry_after=failure.retry_after)
        elif (quota := _take(faults.quota_429)) is not None:
            reply = desk.refuse(desk.quota(), retry_after=quota.retry_after)
        elif (chosen := _take(faults.answer)) is not None:
            reply = desk.refuse(chosen.reason, retry_after=chosen.retry_after)
        else:
            reply = self._after(desk.answer(request))
        if reset is not None:
            return reply._replace(mishap=Reset(reset.code))
        return self._on_the_wire(reply)

    def _after(self, reply: Reply) -> Reply:
        """Let the answer to a message that has arrived get lost or spoilt."""
        faults = self.faults
        spoilt = _take(faults.spoil)
        if spoilt is not None:
            return _spoil(reply, spoilt)
        if faults.lost_answers > 0 and reply.status < 300:
            faults.lost_answers -= 1
            return reply._replace(wait=None)
        return reply

    def _on_the_wire(self, reply: Reply) -> Reply:
        faults = self.faults
        if faults.cut_after > 0:
            faults.cut_after -= 1
            if faults.cut_after == 0:
                self._cut()
                return reply._replace(wait=None)
        leaving = faults.goaway
        if leaving is not None and _due(leaving):
            return reply._replace(mishap=Goaway(leaving.reason, leaving.abrupt))
        return reply


def _due(leaving: Leaving) -> bool:
    """Count a send; return whether the connection leaves at it."""
    if not leaving.count:
        return False
    leaving.after -= 1
    if leaving.after > 0:
        return False
    leaving.count -= 1
    leaving.after = leaving.every
    return True


def _take(fault: _Counted | None) -> _Counted | None:
    if fault is None or fault.count <= 0:
        return None
    fault.count -= 1
    return fault


def _spoil(reply: Reply, spoilt: Spoilt) -> Reply:
    body = reply.body or b'{"reason": "a body of its own, where the real answer has none"}'
    match spoilt.how:
        case "truncated":
            return Reply(reply.status, body[: len(body) // 2], [JSON])
        case "html":
            return Reply(spoilt.status, _PAGE, [_HTML])
        case "huge":
            filler = b'{"error": {"message": "' + b"x" * (spoilt.megabytes << 20) + b'"}}'
            return Reply(reply.status, filler, [JSON])
        case "wrong_types":
            return Reply(reply.status, b'{"error": 17, "name": [null], "reason": {}}', [JSON])
        case "broken_off":
            return Reply(reply.status, body, [JSON], 0.0, Broken(len(body) // 2))
        case _:
            return Reply(reply.status, b"", [])
