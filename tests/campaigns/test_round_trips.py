"""What a single event costs: statements of each stage, which are its round trips to the database.

An event alone is dear not for its work but for these (`docs/explanation/performance.md`): raise a figure only for
something that a single event is worth. BEGIN and COMMIT (here a savepoint and its release) count.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import engine
from campaigns.intake import Sender, accept
from campaigns.models import Rule
from delivery import gates, presence, pushing
from delivery.draining import Step, plan_one, send_one
from delivery.senders.contract import Credential
from devices.models import ApiKey, Application, Subscriber
from tests.delivery import world

pytestmark = pytest.mark.django_db(databases=["default", "log"])

STATEMENTS = {"accept": 2, "decide": 9, "plan": 7, "send": 4}


@pytest.mark.parametrize("provider", ["fcm", "socket"])
def test_a_single_event_takes_so_many_statements(
    lasting: None,
    monkeypatch: pytest.MonkeyPatch,
    application: Application,
    key: ApiKey,
    anna: Subscriber,
    event: Callable[..., dict[str, Any]],
    make_rule: Callable[..., Rule],
    provider: str,
) -> None:
    sender = world.FakeSender()
    shown = Credential(uid="c", application=application.pk, secret={})
    monkeypatch.setattr(pushing, "sender_for", lambda name: sender)
    monkeypatch.setattr(pushing, "credential_for", lambda application, name: shown)
    monkeypatch.setattr(gates, "barred", lambda provider, lane: [])
    monkeypatch.setattr(presence, "where", lambda devices: [[] for _ in devices])
    world.device(anna, provider)
    make_rule()

    def cost(work: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert work()
        return len(seen)

    def walked(number: str) -> dict[str, int]:
        return {
            "accept": cost(lambda: accept(application, [event(number)], Sender.key(key)).stored),
            "decide": cost(lambda: engine.step("high") is Step.LAST),
            "plan": cost(lambda: plan_one("high") is Step.LAST),
            "send": cost(lambda: send_one(provider, "high") is Step.LAST),
        }

    walked("the first makes the day's run")
    walked("the second remembers it")
    assert walked("the third") == STATEMENTS
