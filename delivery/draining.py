"""What a worker does when a bell rings: it takes due work of one stage and lane until there is none.

Work that raises is given back with what went wrong, to be tried again later, and the next is taken.

One drain per stage and lane runs in a process at a time; a bell that rings meanwhile makes it
look once more. So each stage of each lane has its own thread, and a provider that hangs holds
up none but its own. What an urgent worker's own work leads to it begins itself (`take_up`): nothing urgent goes
through the broker more than once.
"""

import os
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TypeVar

import structlog
from django.db import Error, InterfaceError, OperationalError, close_old_connections
from redis.exceptions import RedisError

from delivery import bell, claims
from delivery.models import Page, Parcel, Run, WorkState
from delivery.outbound import work_parcel
from delivery.planning import work_page
from devices.models import Provider

log = structlog.get_logger(__name__)

BUDGET = 2.0
"""Seconds after which a drain rings for what is left and lets go, so that a worker can be stopped."""

Piece = TypeVar("Piece", Page, Parcel)

WORKER = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(3)}"


class Step(Enum):
    """What a look for due work came to; true when something was worked."""

    IDLE = "idle"
    LAST = "last"
    """worked the only piece that was due"""
    MORE = "more"

    def __bool__(self) -> bool:
        return self is not Step.IDLE


class _Turn:
    """Whether a drain is under way or about to be, and whether it must look again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = self.again = self.asked = False

    def ask(self) -> bool:
        """Return whether a drain has to be begun; one that is under way looks once more."""
        with self.lock:
            if self.running or self.asked:
                self.again = True
                return False
            self.asked = True
            return True

    def begin(self) -> bool:
        with self.lock:
            self.asked = False
            if self.running:
                self.again = True
                return False
            self.running, self.again = True, False
            return True

    def look_again(self) -> bool:
        """Return whether a bell rang since; if not, the turn is over."""
        with self.lock:
            if self.again:
                self.again = False
                return True
            self.running = False
            return False

    def end(self) -> None:
        with self.lock:
            self.running = self.again = False


_turns: dict[tuple[str, str], _Turn] = {}
_making = threading.Lock()


def _turn_of(stage: str, lane: str) -> _Turn:
    found = _turns.get((stage, lane))
    if found is None:
        with _making:
            found = _turns.setdefault((stage, lane), _Turn())
    return found


def take_up(stage: str, lane: str, begin: Callable[[], object]) -> bool:
    """Have a drain begun (`begin` hands it to a thread); return False when one goes on, which others may help with."""
    turn = _turn_of(stage, lane)
    if not turn.ask():
        return False
    try:
        begin()
    except RuntimeError:  # the worker is ending and its threads take nothing more
        return False
    return True


def drain(stage: str, lane: str, step: Callable[[], Step | bool]) -> None:
    """Call `step` until it leaves nothing to do and no bell rang meanwhile, or the budget is spent.

    What is made meanwhile is rung for, so after the last piece nobody looks once more in vain.
    """
    turn = _turn_of(stage, lane)
    if not turn.begin():
        return
    until, left = time.monotonic() + BUDGET, False
    try:
        while not left:
            done = step()
            if done and done is not Step.LAST:
                left = time.monotonic() > until
            elif not turn.look_again():
                return
    finally:
        turn.end()
    bell.ring(stage, lane)


def plan_one(lane: str, *, run: int | None = None) -> Step:
    """Work one due page of a lane, of `run` alone when given."""
    return _one(claims.claim_page(lane, WORKER, run=run), work_page)


def send_one(provider: str, lane: str, *, run: int | None = None) -> Step:
    """Send one due parcel of a provider and lane, of `run` alone when given."""
    return _one(claims.claim_parcel(provider, lane, WORKER, run=run), work_parcel)


def go_straight(run: Run) -> None:
    """Have this process plan a run's pages that are due and write to the nodes, without waiting for a worker.

    A worker that was rung meanwhile shares the work by claims, does what goes to providers, and takes over what is left
    when this process dies.
    """
    for work in (partial(plan_one, run.lane), partial(send_one, Provider.SOCKET, run.lane)):
        while work(run=run.pk) is Step.MORE:
            pass


def _one(piece: Piece | None, work: Callable[[Piece], None]) -> Step:
    if piece is None:
        return Step.IDLE
    _work(piece, work)
    return Step.LAST if claims.was_last(piece) else Step.MORE


def _work(piece: Piece, work: Callable[[Piece], None]) -> None:
    """Work a claimed piece; give it back when that fails.

    What fails because a server is away is not the piece's fault, and its tries are not counted.
    Raises what the database raises when not even that can be written: the lease runs out then.
    """
    kind = type(piece).__name__.lower()
    facts = {kind: piece.pk, "fence": piece.fence, "run": str(piece.run.uid)}
    try:
        work(piece)
    except claims.LeaseLostError:
        log.warning(f"{kind}.lost", **facts)
    except Exception as error:
        away = is_outage(error)
        log.error(f"{kind}.failed", **facts, tries=piece.tries, outage=away, exc_info=True)
        # a connection that broke is replaced; the next statement would find it broken otherwise
        close_old_connections()
        try:
            state = claims.fail(piece, traceback.format_exc(), counts=not away)
        except claims.LeaseLostError:
            log.warning(f"{kind}.lost", **facts)
        else:
            if state == WorkState.DEAD:
                log.error(f"{kind}.dead", **facts, tries=piece.tries)


def is_outage(error: Exception) -> bool:
    """Return whether an error says that a server cannot be used now, rather than that the work is wrong."""
    if isinstance(error, OperationalError) and "sqlite" in type(error.__cause__).__module__:
        # SQLite says so of wrong statements too
        return "locked" in str(error) or "disk" in str(error)
    if isinstance(error, OperationalError | InterfaceError | RedisError | OSError):
        return True
    return not isinstance(error, Error) and type(error).__module__.partition(".")[0] == "cassandra"
