"""The Celery app: queues per lane and stage, and a broker that is only a bell.

A message carries a stage and a lane and says that there is work; what the work is stands in the
database, claimed there with a lease. So messages are acknowledged early and never retried: a
lost one is rung again by the clock, a repeated one finds nothing left to claim. Late
acknowledgement would only keep bells ringing for work that is long done.
"""

import os
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from celery.app.amqp import AMQP
from celery.concurrency.thread import TaskPool
from celery.signals import task_prerun, worker_ready
from kombu.connection import Connection
from kombu.entity import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")

import structlog
from django.conf import settings
from django.db import close_old_connections

from delivery import bell, lanes
from notifyhub.collecting import collect_less

log = structlog.get_logger(__name__)

MAX_BELLS = 10_000
"""RabbitMQ drops the oldest bells of a queue beyond these: workers that were away need one, not a million."""

KNOCK_SECONDS = 1.0

HELP_EVERY = 0.25
"""Seconds between two bells for other workers while this one is at it itself."""


def _queues(*, quorum: bool) -> list[Queue]:
    arguments = (
        {"x-queue-type": "quorum", "x-max-length": MAX_BELLS, "x-overflow": "drop-head"} if quorum else None
    )
    exchange = Exchange("notifyhub", type="direct")
    return [
        Queue(name, exchange=exchange, routing_key=name, queue_arguments=arguments)
        for name in lanes.queues(lanes.LANES)
    ]


def _transport_options(scheme: str) -> dict[str, object]:
    if scheme.startswith("amqp"):
        return {"confirm_publish": True}
    if scheme.startswith("redis"):
        return {
            "queue_order_strategy": "priority",  # a worker's first queue first: critical before high
            "priority_steps": [0],  # one Redis list a queue instead of four
            "global_keyprefix": "nh:bell:",
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        }
    return {}


class _Persistent(Connection):
    """Knocks at an absent broker every second: kombu's own pauses grow to half a minute, longer than the lease."""

    def _ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        every = {"interval_start": KNOCK_SECONDS, "interval_step": 0, "interval_max": KNOCK_SECONDS}
        return super()._ensure_connection(*args, **{**kwargs, **every})


class _Amqp(AMQP):
    """Celery's messaging (over whichever broker) with connections that come back soon."""

    Connection = BrokerConnection = _Persistent


_scheme = urlsplit(settings.BROKER_URL).scheme

app = Celery("notifyhub", amqp=_Amqp)
app.conf.update(
    broker_url=settings.BROKER_URL,
    broker_transport_options=_transport_options(_scheme),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # a broker that is away comes back; the worker waits for it
    broker_heartbeat=30 if _scheme.startswith("amqp") else 0,
    task_queues=_queues(quorum=_scheme.startswith("amqp")),
    task_default_queue=lanes.queue("plan", "bulk"),
    task_default_exchange="notifyhub",
    task_create_missing_queues=False,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=False,
    task_send_sent_event=False,
    worker_prefetch_multiplier=1,
    worker_soft_shutdown_timeout=5,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    enable_utc=True,
    # Celery closes each thread's database connection before and after every task, whatever CONN_MAX_AGE says, and a
    # new one costs PostgreSQL more than an event does; `_look_after_connections` takes its place.
    CELERY_DB_REUSE_MAX=sys.maxsize // 2,
)
app.autodiscover_tasks()


@task_prerun.connect
def _look_after_connections(**_: Any) -> None:
    close_old_connections()


@worker_ready.connect
def _ready(sender: Any, **_: Any) -> None:
    collect_less()
    if isinstance(sender.pool, TaskPool):
        bell.answer_with(_Own(app, sender.pool))


class _Own:
    """Answers the bells that ring in a worker whose tasks are threads, for the queues of urgent lanes that it has."""

    def __init__(self, worker: Celery, pool: TaskPool) -> None:
        self._worker = worker
        self._pool = pool
        # a bulk run's pages and parcels are for all workers: who is told of them by the broker takes turns
        self._queues = frozenset(worker.amqp.queues.consume_from) & set(lanes.queues(lanes.URGENT))
        self._asked: dict[tuple[str, str], float] = {}
        from delivery.draining import take_up  # it imports models, which Django has by now

        self._take_up = take_up

    def __call__(self, stage: str, lane: str) -> bool:
        if bell.queue_of(stage, lane) not in self._queues:
            return False
        if self._take_up(
            stage, lane, lambda: self._pool.apply_async(self._work, (stage, lane), callback=_nothing)
        ):
            return True
        now, asked = time.monotonic(), self._asked.get((stage, lane), 0.0)
        if now - asked < HELP_EVERY:
            return True
        self._asked[(stage, lane)] = now
        return False

    def _work(self, stage: str, lane: str) -> None:
        name, arguments = bell.task_of(stage, lane)
        close_old_connections()
        try:
            self._worker.tasks[name](*arguments)
        except Exception:
            # the clock rings again for what is left
            log.exception("bell.unanswered", stage=stage, lane=lane)


def _nothing(_: object) -> None:
    """Celery's pool tells what a task returned, and ours return nothing."""


# `delivery.bell` rings from a thread of its own, which sees the default app and not the current one.
app.set_default()
