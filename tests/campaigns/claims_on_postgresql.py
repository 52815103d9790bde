"""What only a database with several writers shows; `test_on_postgresql` runs it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from campaigns import engine
from campaigns.intake import Sender, accept
from campaigns.models import EventType
from delivery import dbclock
from devices.models import ApiKey, Application

LONG = 30.0
"""Seconds after which a test gives up."""


@pytest.mark.django_db(transaction=True)
def test_of_two_engines_at_once_the_second_takes_what_the_first_has_left(
    application: Application, key: ApiKey, shipped: EventType, event: Callable[..., dict[str, Any]]
) -> None:
    accept(application, [event(str(number)) for number in range(5)], Sender.key(key))
    lease = dbclock.now() + 60.0

    def claimed(limit: int, claim: str) -> list[str]:
        return [one.event_id for one in engine._claim("high", limit, claim, lease)[0]]

    def second() -> list[str]:
        try:
            return claimed(2, "second")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        first = claimed(2, "first")
        waiting = pool.submit(second)
        try:
            assert (first, waiting.result(LONG)) == (["0", "1"], ["2", "3"])
        finally:
            transaction.set_rollback(True)
