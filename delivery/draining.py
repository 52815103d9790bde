"""What a worker does when a bell rings: it takes due work of one stage and lane until there is none.

One drain per stage and lane runs in a process at a time; a bell that rings meanwhile makes it
look once more. So each stage of each lane has its own thread, and a provider that hangs holds
up none but its own.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable

import structlog

from delivery import bell, claims
from delivery.outbound import work_parcel
from delivery.planning import work_page

log = structlog.get_logger(__name__)

BUDGET = 2.0
"""Seconds after which a drain rings for what is left and lets go, so that a worker can be stopped."""

WORKER = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(3)}"


class _Turn:
    """Whether a drain is under way, and whether it must look again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = self.again = False

    def begin(self) -> bool:
        with self.lock:
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


def drain(stage: str, lane: str, step: Callable[[], bool]) -> None:
    """Call `step` until it finds nothing to do and no bell rang meanwhile, or the budget is spent."""
    with _making:
        turn = _turns.setdefault((stage, lane), _Turn())
    if not turn.begin():
        return
    until = time.monotonic() + BUDGET
    try:
        while True:
            if step():
                if time.monotonic() > until:
                    bell.ring(stage, lane)
                    return
            elif not turn.look_again():
                return
    finally:
        turn.end()


def plan_one(lane: str) -> bool:
    """Work one due page of a lane; return whether there was one."""
    page = claims.claim_page(lane, WORKER)
    if page is None:
        return False
    try:
        work_page(page)
    except claims.LeaseLostError:
        log.warning("page.lost", page=page.pk, fence=page.fence)
    return True


def send_one(provider: str, lane: str) -> bool:
    """Send one due parcel of a provider and lane; return whether there was one."""
    parcel = claims.claim_parcel(provider, lane, WORKER)
    if parcel is None:
        return False
    try:
        work_parcel(parcel)
    except claims.LeaseLostError:
        log.warning("parcel.lost", parcel=parcel.pk, fence=parcel.fence)
    return True
