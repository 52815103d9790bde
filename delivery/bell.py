"""The bell: tells workers that a lane has work. It rings in the background and may fail; the truth is in the database.

Bells carry a stage and a lane, nothing else. A ring that is lost is made good by `ring_due`,
which the clock calls. A publisher thread of its own keeps a slow or absent broker away from
whoever rings, and rings the same lane once however often it was asked meanwhile. A broker that
hangs is left after `PUBLISH_SECONDS`, and the next bell finds a connection of its own.

A worker answers its own bell (`answer_with`) when it is free to: the broker is for what others can do as well.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

from delivery import dbclock, lanes
from devices.statements import fetch

log = structlog.get_logger(__name__)

TASKS = {
    "decide": "campaigns.decide",
    "plan": "delivery.plan",
    "count": "delivery.count",
    "alert": "delivery.alert",
    "import": "campaigns.import",
}
SHARED = {"count": ("plan", "bulk"), "alert": ("plan", "normal"), "import": ("plan", "bulk")}
"""Stages without queues of their own, which have little to do: the stage and lane whose queue they share."""
SEND = "delivery.send"
PUBLISH_SECONDS = 5.0
"""The longest that a publish may take; a broker that is only slow, as on a busy machine, is not left."""
LIMITS = {
    "read_timeout": PUBLISH_SECONDS,
    "write_timeout": PUBLISH_SECONDS,
    "socket_timeout": PUBLISH_SECONDS,
}
"""The same for each exchange before it, as RabbitMQ's transport and then Redis's name it."""
OVERDUE = 2.0
"""Seconds after which work that nobody has taken is rung for again; a lease that ended needs no such patience."""
PUT_OFF = 0.5
"""Seconds between being made and being due from which work counts as put off."""


class _Publisher:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.due: dict[tuple[str, str], None] = {}
        self.changed = threading.Condition()
        threading.Thread(target=self._publish, name="bell", daemon=True).start()

    def ring(self, stage: str, lane: str) -> None:
        with self.changed:
            self.due[(stage, lane)] = None
            self.changed.notify()

    def _publish(self) -> None:
        connection = current_app.connection_for_write(transport_options=LIMITS)
        while True:
            with self.changed:
                while not self.due:
                    self.changed.wait()
                rings, self.due = self.due, {}
            for stage, lane in rings:
                try:
                    # waits here for a broker that is away
                    _send(connection.Producer(), stage, lane)
                except (OperationalError, OSError) as error:
                    log.warning("bell.unheard", stage=stage, lane=lane, error=str(error))
                    connection.collect()  # without a word to the broker, which may not listen


def task_of(stage: str, lane: str) -> tuple[str, list[str]]:
    """Return the Celery task that does the work of a stage and lane, and its arguments."""
    return (TASKS[stage], [lane]) if stage in TASKS else (SEND, [stage, lane])


def queue_of(stage: str, lane: str) -> str:
    """Return the name of the queue that rings for a stage and lane."""
    return lanes.queue(*SHARED.get(stage, (stage, lane)))


def _send(producer: Any, stage: str, lane: str) -> None:
    name, arguments = task_of(stage, lane)
    current_app.send_task(
        name,
        args=arguments,
        queue=queue_of(stage, lane),
        producer=producer,
        retry=False,
        ignore_result=True,
        timeout=PUBLISH_SECONDS,
        confirm_timeout=PUBLISH_SECONDS,
    )


Answer = Callable[[str, str], bool]
"""Begins the work of a stage and lane in this process; returns False when it is not for it, or is going on already."""

_answer: Answer | None = None
_publisher: _Publisher | None = None
_making = threading.Lock()


def answer_with(answer: Answer | None) -> None:
    """Let a worker hear the bells that ring in its own process first; None: all go to the broker."""
    global _answer
    _answer = answer


def ring(stage: str, lane: str) -> None:
    """Tell the workers of a stage (`lanes.STAGES`) that a lane has work. Never blocks, never raises."""
    global _publisher
    answer = _answer
    if answer is not None and answer(stage, lane):
        return
    publisher = _publisher
    if publisher is None or publisher.pid != os.getpid():
        with _making:
            if _publisher is None or _publisher.pid != os.getpid():
                _publisher = _Publisher()
            publisher = _publisher
    publisher.ring(stage, lane)


DUE = """
FROM {table} AS piece JOIN delivery_run AS run ON run.id = piece.run_id
WHERE run.state = 'running' AND piece.state IN ('waiting', 'claimed') AND piece.lease_until < %s
AND (piece.due_at < %s OR (piece.due_at <= %s AND piece.due_at > piece.created_at + %s))
AND NOT EXISTS (SELECT 1 FROM delivery_hold AS hold
                WHERE hold.application_id = piece.application_id AND (hold.lane = '' OR hold.lane = piece.lane))
"""
"""Work that is overdue; what was put off is rung for as soon as it is due, because nobody rang when it was made."""


def ring_due(*, at_once: bool = False) -> int:
    """Ring for what is overdue or was to wait until now, `at_once` for all that is due; return how many lanes."""
    now, patience = dbclock.now(), 0.0 if at_once else OVERDUE
    values = [now, now - patience, now, PUT_OFF]
    pages = fetch("SELECT DISTINCT 'plan', piece.lane" + DUE.format(table="delivery_page"), values)
    parcels = fetch(
        "SELECT DISTINCT piece.provider, piece.lane" + DUE.format(table="delivery_parcel"), values
    )
    for stage, lane in [*pages, *parcels]:
        ring(stage, lane)
    return len(pages) + len(parcels)
