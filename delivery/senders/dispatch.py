"""From an envelope to one result for every message: the course of a batch, the same for every provider of HTTP/2.

A request is made for each message and its answer judged. One refused provider token is renewed once and what it
spoiled sent again; after a verdict on the gate, or when the provider cannot be reached, nothing more is started.
"""

import logging
import time
from collections.abc import Callable, Iterator

from delivery.senders.contract import (
    NOT_STARTED,
    CredentialError,
    Envelope,
    GoOn,
    Message,
    Result,
    UnreachableError,
    Verdict,
)
from delivery.senders.engine import Answer, Engine, Request

log = logging.getLogger(__name__)

UNKNOWN_ANSWER = "unknown_answer"
"""The provider, or something between, answered in a way that its documents do not know."""
DIED_IN_FLIGHT = "died_in_flight"
UNREACHABLE = "unreachable"

Build = Callable[[int, Message, str], Request | Result]
"""(index, message, provider token) → the request with the index as its key, or the result of a message
that cannot be sent."""
Judge = Callable[[Answer], Result]
"""What an HTTP answer says of the message."""
Authorize = Callable[[str], str]
"""Returns the provider token; given the refused one, another. Raises `CredentialError`."""


class Batch:
    """One envelope on its way."""

    def __init__(
        self,
        envelope: Envelope,
        *,
        engine: Engine,
        build: Build,
        judge: Judge,
        authorize: Authorize,
        renewable: frozenset[str],
        deadline: float | None,
        streams: int,
        go_on: GoOn | None = None,
    ) -> None:
        self._messages = envelope.messages
        self._engine = engine
        self._build = build
        self._judge = judge
        self._authorize = authorize
        self._renewable = renewable
        self._deadline = deadline
        self._streams = streams
        self._go_on = go_on
        self._unsent: Iterator[int] = iter(range(len(envelope.messages)))
        self._unsendable: list[Result] = []
        self._spoiled: list[int] = []
        self._end: Result | None = None
        self._halted = False

    def results(self) -> Iterator[Result]:
        """Yield one result for every message."""
        token = ""
        try:
            token = self._authorize("")
            yield from self._round(token, renews=True)
            if self._spoiled:
                spoiled = self._spoiled
                left = list(self._unsent)
                self._unsent = iter(spoiled + left)
                if self._end is None:
                    self._halted = False
                    token = self._authorize(token)
                    yield from self._round(token, renews=False)
        except UnreachableError as error:
            self._end = Result(0, Verdict.RETRY, error.code, retry_after=error.retry_after)
        except CredentialError as error:
            self._end = Result(0, Verdict.SHUT, error.code)
        end = self._end or Result(0, Verdict.RETRY, NOT_STARTED)
        for index in self._unsent:
            yield Result(index, end.verdict, end.reason, "", end.retry_after, left=False)

    def _round(self, token: str, *, renews: bool) -> Iterator[Result]:
        answers = self._engine.run(self._requests(token), deadline=self._deadline, streams=self._streams)
        for answer in answers:
            result = self._judged(answer) if not answer.error else _of_broken(answer)
            verdict = result.verdict
            if verdict is Verdict.SHUT and renews and result.reason in self._renewable:
                self._spoiled.append(answer.key)
                self._halted = True
                continue
            if verdict >= Verdict.SHUT or result.reason == UNREACHABLE:
                self._halted = True
                self._end = self._end or result
            yield result
        yield from self._unsendable
        self._unsendable.clear()

    def _judged(self, answer: Answer) -> Result:
        try:
            return self._judge(answer)
        except RecursionError:  # brackets without end
            return unknown_answer(answer)
        except Exception:
            # Whatever an answer holds, it must not take the others' results with it.
            log.exception("an answer with status %s cannot be judged: %r", answer.status, answer.body[:200])
            return unknown_answer(answer)

    def _requests(self, token: str) -> Iterator[Request]:
        messages, build = self._messages, self._build
        while not self._halted:
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return
            if self._go_on is not None and not self._go_on():
                return
            index = next(self._unsent, -1)
            if index < 0:
                return
            made = build(index, messages[index], token)
            if isinstance(made, Result):
                self._unsendable.append(made)
            else:
                yield made


def _of_broken(answer: Answer) -> Result:
    """Return the result of a request without an answer."""
    if answer.unknown:
        return Result(answer.key, Verdict.RETRY, DIED_IN_FLIGHT, unknown=True)
    return Result(answer.key, Verdict.RETRY, UNREACHABLE, left=False)


def unknown_answer(answer: Answer) -> Result:
    """Return the result of an answer that cannot be read: the provider may have taken the message."""
    return Result(
        answer.key,
        Verdict.RETRY,
        UNKNOWN_ANSWER,
        retry_after=float(answer.retry_after) or None,
        unknown=True,
    )
