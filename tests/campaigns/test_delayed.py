"""Told of an event later: once each, when it is due, unless something else happens meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import delayed, launching, reasons, rulebook
from campaigns.engine import decide
from campaigns.intake import Sender, accept
from campaigns.models import Campaign, Decision, Delayed, Event, EventType, Rule
from delivery.models import Page, Run
from delivery.snapshot import Named, decode_people
from devices.models import ApiKey, Application, Subscriber

Make = Callable[..., dict[str, Any]]
MakeRule = Callable[..., Rule]
Take = Callable[..., Event]
HOUR = 3_600


@pytest.fixture
def ordered(application: Application) -> EventType:
    return EventType.objects.create(application=application, name="com.shop.ordered", lane="high")


@pytest.fixture
def take(application: Application, key: ApiKey, shipped: EventType, ordered: EventType, event: Make) -> Take:
    def take(id: str = "1", **attributes: Any) -> Event:
        accepted = accept(application, [event(id, **attributes)], Sender.key(key))
        assert accepted.rejected == []
        found = Event.objects.get(uid=accepted.stored[0])
        decide("high")
        return found

    return take


def people() -> list[Named]:
    return [named for page in Page.objects.order_by("pk") for named in decode_people(bytes(page.people))]


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def reason_of(event: Event) -> str:
    return Decision.objects.get(event=event).reason


def test_who_waits_is_told_when_due_and_only_once(take: Take, make_rule: MakeRule, anna: Subscriber) -> None:
    make_rule(delay=2 * HOUR)
    event = take()
    decision = Decision.objects.get()
    assert (decision.reason, decision.forwarded, decision.recipients) == (reasons.DELAYED, False, 1)
    assert decision.detail.startswith("until 20")
    assert delayed.release(later(2 * HOUR - 60)) == 0 and not Run.objects.exists()
    assert delayed.release(later(2 * HOUR + 1)) == 1
    assert delayed.release(later(2 * HOUR + 1)) == 0
    [named] = people()
    waited = Delayed.objects.get()
    assert (named.subscriber, named.occurrence) == (anna.pk, str(event.uid))
    assert named.variables is not None and named.variables["event"]["data"] == {"order": 7}
    assert named.accepted_at == waited.due_at == event.received_at + 2 * HOUR
    assert named.expires_at == waited.due_at + 86_400
    decision.refresh_from_db()
    assert (decision.reason, decision.forwarded, decision.run) == (
        reasons.FORWARDED,
        True,
        Run.objects.get().uid,
    )
    assert waited.state == Delayed.State.TOLD


def test_another_event_of_the_same_person_ends_the_waiting(
    take: Take, make_rule: MakeRule, ordered: EventType, anna: Subscriber, ben: Subscriber
) -> None:
    make_rule(delay=2 * HOUR, unless=ordered)
    before = take("before", type=ordered.name)
    annas, bens = take("1"), take("2", subject="ben")
    take("3", type=ordered.name)
    again = take("4")
    assert reason_of(annas) == reasons.HAPPENED_MEANWHILE
    assert reason_of(bens) == reason_of(again) == reasons.DELAYED
    assert reason_of(before) == reasons.NO_RULE
    assert delayed.release(later(3 * HOUR)) == 2
    assert [one.subscriber for one in people()] == [ben.pk, anna.pk]
    assert reason_of(annas) == reasons.HAPPENED_MEANWHILE


def test_what_ends_the_waiting_in_the_same_batch_counts(
    application: Application,
    key: ApiKey,
    make_rule: MakeRule,
    shipped: EventType,
    ordered: EventType,
    anna: Subscriber,
    event: Make,
) -> None:
    make_rule(delay=HOUR, unless=ordered)
    accept(application, [event("1"), event("2", type=ordered.name)], Sender.key(key))
    assert decide("high") == 2
    assert delayed.release(later(2 * HOUR)) == 0


def test_each_person_is_let_in_once_in_so_many_days(
    take: Take, make_rule: MakeRule, anna: Subscriber, ben: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule(once_days=7)
    first, second, bens = take("1"), take("2"), take("3", subject="ben")
    assert [reason_of(one) for one in (first, second, bens)] == [
        reasons.FORWARDED,
        reasons.ENTERED_LATELY,
        reasons.FORWARDED,
    ]
    from campaigns.models import Entrance

    entered = Entrance.objects.get(subscriber=anna)
    entered.entered_at -= 7 * 86_400 + 1
    entered.save()
    assert reason_of(take("4")) == reasons.FORWARDED
    assert [one.subscriber for one in people()] == [anna.pk, ben.pk, anna.pk]


def test_of_two_events_in_one_batch_the_first_lets_in(
    application: Application,
    key: ApiKey,
    make_rule: MakeRule,
    anna: Subscriber,
    shipped: EventType,
    event: Make,
) -> None:
    make_rule(once_days=1, delay=60)
    accept(application, [event("1"), event("2")], Sender.key(key))
    assert decide("high") == 2
    found = Decision.objects.order_by("event_id").values_list("reason", "recipients")
    assert list(found) == [(reasons.DELAYED, 1), (reasons.ENTERED_LATELY, 0)]
    assert Delayed.objects.count() == 1


@pytest.mark.parametrize("how", ["off", "ended", "stopped"])
def test_nobody_is_told_of_what_was_taken_out_of_force(
    take: Take, make_rule: MakeRule, campaign: Campaign, anna: Subscriber, how: str
) -> None:
    rule = make_rule(delay=60)
    event = take()
    if how == "off":
        Rule.objects.filter(pk=rule.pk).update(enabled=False)
    elif how == "ended":
        launching.move(campaign, "end")
    else:
        delayed.standing_run(
            rulebook.rulebooks([rule.application_id])[rule.application_id]["com.shop.shipped"][0],
            "high",
            later(61).date(),
        )
        Run.objects.update(state=Run.State.CANCELLED)
    rulebook.forget()
    assert delayed.release(later(61)) == 1
    expected = reasons.RUN_CANCELLED if how == "stopped" else reasons.CAMPAIGN_NOT_LIVE
    assert reason_of(event) == Delayed.objects.get().reason == expected
    assert people() == [] and Delayed.objects.get().state == Delayed.State.CANCELLED


def test_what_ended_long_ago_is_forgotten_and_what_waits_is_not(
    take: Take, make_rule: MakeRule, anna: Subscriber, ben: Subscriber
) -> None:
    make_rule(delay=60, once_days=1)
    take("1")
    delayed.release(later(61))
    take("2", subject="ben")
    assert delayed.forget(later(100 * 86_400).timestamp()) == 1
    assert Delayed.objects.get().subscriber == ben
    assert delayed.forget(later(400 * 86_400).timestamp()) == 2


def test_a_delay_is_for_those_the_event_names(make_rule: MakeRule, ordered: EventType) -> None:
    rule = make_rule(delay=60, recipients="audience")
    assert rule.waiting_problem() == (
        "delay",
        "It is for people whom the event names, not for a whole audience.",
    )
    rule.recipients, rule.delay, rule.unless = "subject", 0, ordered
    assert (rule.waiting_problem() or ("",))[0] == "unless"


def test_a_batch_costs_as_many_queries_with_many_who_wait_as_with_few(
    lasting: None,
    application: Application,
    key: ApiKey,
    make_rule: MakeRule,
    shipped: EventType,
    ordered: EventType,
    event: Make,
) -> None:
    make_rule(delay=HOUR, unless=ordered, once_days=1)
    names = [f"s{number}" for number in range(60)]
    Subscriber.objects.bulk_create(Subscriber(application=application, external_id=name) for name in names)

    def cost(some: list[str], **attributes: Any) -> int:
        for name in some:
            accept(application, [event(f"{attributes}{name}", subject=name, **attributes)], Sender.key(key))
        with CaptureQueriesContext(connection) as seen:
            assert decide("high") == len(some)
        return len(seen)

    cost(names[:1])
    assert cost(names[1:4]) == cost(names[4:30])
    assert cost(names[1:4], type=ordered.name) == cost(names[4:30], type=ordered.name)
    assert Delayed.objects.filter(reason=reasons.HAPPENED_MEANWHILE).count() == 29
