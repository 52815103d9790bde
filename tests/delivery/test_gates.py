"""Gates: one question for all applications, the rows are the truth of the shut, and the loss of Redis opens none."""

import time

import pytest
import redis
from django.db import connection
from django.test.utils import CaptureQueriesContext

from delivery import claims, gates
from delivery.models import Gate
from tests.delivery import world

pytestmark = pytest.mark.django_db(databases=["default", "log"], transaction=True)


def test_without_redis_the_rows_answer() -> None:
    app, other = world.application(), world.application("other")
    gates.shut(app.pk, "fcm", "test")
    gates.slow(other.pk, "fcm", until=time.time() + 60, reason="test")
    assert gates.barred("fcm", "bulk") == [app.pk, other.pk]
    assert gates.barred("apns", "bulk") == []
    gates.open_(app.pk, "fcm")
    gates.open_(other.pk, "fcm")
    assert gates.barred("fcm", "bulk") == []


def test_a_claim_asks_for_the_gates_once_for_all_candidates(provider: world.FakeSender) -> None:
    from delivery.draining import plan_one

    app = world.application()
    world.people(app, 4, "fcm")
    for _ in range(3):
        world.launch(app)
    while plan_one("normal"):
        pass
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert claims.claim_parcel("fcm", "normal", "test") is not None
    asked = [query["sql"] for query in queries if "delivery_gate" in query["sql"]]
    assert len(asked) == 1, "the rows, because there is no Redis here"
    assert "EXISTS" not in asked[0]


@pytest.mark.server
def test_a_shut_gate_survives_the_loss_of_redis(real_redis: redis.Redis) -> None:
    app = world.application()
    gates.shut(app.pk, "fcm", "test")
    assert gates.barred("fcm", "bulk") == [app.pk]
    real_redis.flushall()
    assert gates.barred("fcm", "bulk") == [app.pk]


@pytest.mark.server
def test_a_claim_costs_no_query_for_the_gates_while_the_copy_is_fresh(real_redis: redis.Redis) -> None:
    app = world.application()
    gates.shut(app.pk, "fcm", "test")
    gates.barred("fcm", "bulk")
    with CaptureQueriesContext(connection) as queries:
        assert gates.barred("fcm", "bulk") == [app.pk]
        assert gates.barred("fcm", "critical") == [app.pk]
    assert len(queries) == 0


@pytest.mark.server
def test_a_slowed_gate_opens_by_itself_and_the_latest_instant_holds(
    real_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    now = time.time()
    gates.slow(app.pk, "apns", until=now + 60, reason="Retry-After")
    gates.slow(app.pk, "apns", until=now + 5, reason="an older answer")
    assert gates.barred("apns", "critical") == [app.pk]
    assert Gate.objects.get().until.timestamp() == pytest.approx(now + 60, abs=0.01)  # type: ignore[union-attr]
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert gates.barred("apns", "critical") == []


@pytest.mark.server
def test_a_lane_that_has_to_wait_for_its_quota_holds_up_no_other(real_redis: redis.Redis) -> None:
    app = world.application()
    gates.slow(app.pk, "fcm", until=time.time() + 60, reason="quota", lane="bulk")
    assert gates.barred("fcm", "bulk") == [app.pk]
    assert gates.barred("fcm", "critical") == gates.barred("apns", "bulk") == []
    assert gates.state(app.pk, "fcm").state == Gate.State.OPEN


@pytest.mark.server
def test_opening_a_gate_opens_it_for_everybody_at_once(real_redis: redis.Redis) -> None:
    app = world.application()
    gates.shut(app.pk, "fcm", "test")
    gates.slow(app.pk, "fcm", until=time.time() + 60, reason="quota", lane="bulk")
    assert gates.barred("fcm", "bulk") == [app.pk]
    gates.open_(app.pk, "fcm")
    assert gates.barred("fcm", "bulk") == []


@pytest.mark.server
def test_slowing_does_not_open_a_shut_gate(real_redis: redis.Redis) -> None:
    app = world.application()
    gates.shut(app.pk, "fcm", "credentials")
    gates.slow(app.pk, "fcm", until=time.time() - 1, reason="late")
    assert gates.state(app.pk, "fcm").state == Gate.State.SHUT
    assert gates.barred("fcm", "high") == [app.pk]
