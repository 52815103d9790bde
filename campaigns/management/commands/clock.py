"""`manage.py clock`: ticks once a second until it is told to stop. Several at once do no harm."""

import logging
import os
import signal
import time
from types import FrameType
from typing import Any, NoReturn

import structlog
from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils import timezone

from campaigns.clock import tick

log = structlog.get_logger(__name__)

INTERVAL = 1.0


class _Stop(BaseException):
    """A signal asked the clock to end; it stops wherever it is, and what it was writing is rolled back."""


class Command(BaseCommand):
    """The clock's loop; a failing tick is logged and the next one comes all the same."""

    help = "Start what is due: launches, schedules, finished runs, bells that were not heard."

    def handle(self, *args: Any, **options: Any) -> NoReturn:
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
        try:
            log.info("clock.started")
            while True:
                _tick()
        except _Stop as stop:
            log.info("clock.stopped", signal=str(stop))
        # nothing is left to tidy up, and taking the interpreter down in order costs a second
        logging.shutdown()
        os._exit(0)


def _tick() -> None:
    begun = time.monotonic()
    try:
        done = {name: count for name, count in tick(timezone.now()).items() if count}
        if done:
            log.info("clock.ticked", **done)
    except Exception as error:
        log.error("clock.tick_failed", error=str(error), kind=type(error).__name__)
    # drops a connection that failed or is past its age; the next tick opens another
    close_old_connections()
    time.sleep(max(0.0, INTERVAL - (time.monotonic() - begun)))


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _Stop(signal.Signals(number).name)
