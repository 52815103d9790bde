"""The bell's publisher and a real broker: one that hangs, is killed or comes back."""

from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest
from celery import Celery
from kombu.connection import Connection

from delivery import bell, lanes
from notifyhub import celery as wiring
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.server

LONG = 60.0
"""Seconds after which a test gives up."""


class Heard:
    """What the publisher said about bells that nobody heard."""

    def __init__(self) -> None:
        self.unheard: Queue[str] = Queue()

    def warning(self, event: str, **values: Any) -> None:
        self.unheard.put(values["stage"])


@pytest.fixture
def heard(rabbitmq_server: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """A publisher that speaks to RabbitMQ."""
    app = Celery("bells", broker=rabbitmq_server.url, amqp=wiring._Amqp, set_as_current=False)
    app.conf.update(
        broker_transport_options=wiring._transport_options("amqp"),
        task_queues=wiring._queues(quorum=True),
        task_create_missing_queues=False,
    )
    said = Heard()
    monkeypatch.setattr(bell, "current_app", app)
    monkeypatch.setattr(bell, "log", said)
    monkeypatch.setattr(bell, "_publisher", None)
    yield said
    rabbitmq_server.resume()


def take(broker: RabbitMQ, stage: str) -> None:
    """Wait for a bell of a stage."""
    with Connection(broker.url) as connection:
        queue = connection.SimpleQueue(
            next(one for one in wiring._queues(quorum=True) if one.name == lanes.queue(stage, "normal"))
        )
        queue.get(timeout=LONG).ack()
        queue.close()


def test_a_bell_is_heard(heard: Heard, rabbitmq_server: RabbitMQ) -> None:
    bell.ring("plan", "normal")
    take(rabbitmq_server, "plan")
    assert heard.unheard.empty()


def test_a_broker_that_hangs_is_left_and_the_next_bell_is_heard(
    heard: Heard, rabbitmq_server: RabbitMQ
) -> None:
    bell.ring("plan", "normal")
    take(rabbitmq_server, "plan")
    rabbitmq_server.pause()
    bell.ring("fcm", "normal")
    # the publisher comes back although the broker never answers
    assert heard.unheard.get(timeout=LONG) == "fcm"
    rabbitmq_server.resume()
    bell.ring("apns", "normal")
    take(rabbitmq_server, "apns")


def test_a_broker_that_hangs_from_the_beginning_is_waited_for(
    heard: Heard, rabbitmq_server: RabbitMQ
) -> None:
    rabbitmq_server.pause()
    bell.ring("socket", "normal")
    rabbitmq_server.resume()
    take(rabbitmq_server, "socket")
