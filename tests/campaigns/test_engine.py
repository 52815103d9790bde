"""Every event ends in a recorded decision with its reason, and the forwarded ones in pages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import delayed, engine, launching, reasons, rulebook
from campaigns.engine import decide
from campaigns.intake import Sender, accept
from campaigns.models import Campaign, Decision, Event, EventType, Rule
from delivery.models import Page, Run
from delivery.snapshot import Named, decode_people
from devices.models import ApiKey, Application, Category, Fact, Segment, Subscriber

Make = Callable[..., dict[str, Any]]
MakeRule = Callable[..., Rule]


def _people() -> list[Named]:
    return [named for page in Page.objects.order_by("pk") for named in decode_people(bytes(page.people))]


def test_a_forwarded_event_reaches_its_subject_through_the_standing_run(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber
) -> None:
    rule = make_rule(platforms=["tv"])
    event = take()
    assert decide("high") == 1
    event.refresh_from_db()
    decision, run = Decision.objects.get(), Run.objects.get()
    assert event.decided
    assert (decision.reason, decision.forwarded, decision.recipients) == (reasons.FORWARDED, True, 1)
    assert (decision.run, decision.rule, decision.rule_version) == (run.uid, rule, 1)
    assert (run.kind, run.lane, run.origin) == (Run.Kind.STANDING, "high", f"rule:{rule.uid}:v1.1")
    assert run.snapshot["platforms"] == ["tv"]
    [named] = _people()
    assert (named.subscriber, named.occurrence) == (anna.pk, str(event.uid))
    assert named.variables is not None and named.variables["event"]["data"] == {"order": 7}
    assert named.expires_at == pytest.approx(event.time.timestamp() + 86_400, abs=1)


def test_the_events_of_a_rule_share_a_run_and_a_page(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber, ben: Subscriber
) -> None:
    make_rule()
    for number in range(6):
        take(str(number), subject=["anna", "ben"][number % 2])
    assert decide("high") == 6
    take("later")
    assert decide("high") == 1
    assert Run.objects.count() == 1 and Page.objects.count() == 2
    assert len({named.occurrence for named in _people()}) == 7


def test_events_that_a_segment_asks_for_are_counted_once_for_their_subject(
    take: Callable[..., Event], application: Application, anna: Subscriber, event: Make
) -> None:
    asked = {"event": event()["type"], "within_days": 3}
    Segment.objects.create(application=application, name="Shipped to", predicate=asked)
    for number in range(3):
        take(str(number))
    take("nobody's", subject="nobody")
    assert decide("high") == 4 and decide("high") == 0
    assert list(Fact.objects.values_list("subscriber_id", "count")) == [(anna.pk, 3)]
    take("later")
    assert decide("high") == 1
    assert list(Fact.objects.values_list("subscriber_id", "count")) == [(anna.pk, 4)]


def test_an_event_without_a_rule_is_decided_too(take: Callable[..., Event], make_rule: MakeRule) -> None:
    make_rule(enabled=False)
    take()
    assert decide("high") == 1
    decision = Decision.objects.get()
    assert (decision.reason, decision.forwarded, decision.rule) == (reasons.NO_RULE, False, None)


@pytest.mark.parametrize(
    ("rule", "attributes", "reason"),
    [
        ({"condition": "event.data.order > 5"}, {}, reasons.FORWARDED),
        ({"condition": "event.time > timestamp('2020-01-01T00:00:00Z')"}, {}, reasons.FORWARDED),
        ({"condition": "event.data.order > 7"}, {}, reasons.CONDITION_FALSE),
        ({"condition": "event.data.missing > 7"}, {}, reasons.CONDITION_ERROR),
        ({"condition": "event.data.order"}, {}, reasons.CONDITION_ERROR),
        ({"condition": "event.data."}, {}, reasons.CONDITION_ERROR),
        ({"max_age": 60}, {"time": "2020-01-01T00:00:00Z"}, reasons.TOO_OLD),
        ({}, {"subject": "nobody"}, reasons.UNKNOWN_SUBSCRIBER),
        ({}, {"subject": None}, reasons.NO_RECIPIENTS),
        (
            {"recipients": "ids", "recipient_ids": "event.data.to"},
            {"data": {"to": ["ben", "x"]}},
            reasons.FORWARDED,
        ),
        (
            {"recipients": "ids", "recipient_ids": "event.data.to"},
            {"data": {"to": []}},
            reasons.NO_RECIPIENTS,
        ),
        (
            {"recipients": "ids", "recipient_ids": "event.data.to"},
            {"data": {"to": "ben"}},
            reasons.CONDITION_ERROR,
        ),
        (
            {"recipients": "ids", "recipient_ids": "event.data.to"},
            {"data": {"to": ["x"]}},
            reasons.UNKNOWN_SUBSCRIBER,
        ),
        (
            {"recipients": "ids", "recipient_ids": "event.data.to"},
            {"data": {"to": list(range(1_001))}},
            reasons.TOO_MANY_RECIPIENTS,
        ),
    ],
)
def test_every_reason_is_recorded(
    take: Callable[..., Event],
    make_rule: MakeRule,
    anna: Subscriber,
    ben: Subscriber,
    rule: dict[str, Any],
    attributes: dict[str, Any],
    reason: str,
) -> None:
    make_rule(**rule)
    take(**attributes)
    assert decide("high") == 1
    decision = Decision.objects.get()
    assert (decision.reason, decision.forwarded) == (reason, reason == reasons.FORWARDED)
    assert bool(decision.detail) or reason not in (reasons.CONDITION_ERROR, reasons.TOO_OLD)
    assert Page.objects.exists() == decision.forwarded
    assert reason in reasons.SENTENCES


@pytest.mark.parametrize("state", ["draft", "in_review", "ended", "archived"])
def test_a_campaign_that_is_not_in_force_tells_nobody(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber, campaign: Campaign, state: str
) -> None:
    make_rule()
    Campaign.objects.filter(pk=campaign.pk).update(state=state)
    take()
    decide("high")
    assert Decision.objects.get().reason == reasons.CAMPAIGN_NOT_LIVE and not Run.objects.exists()


def test_a_faulty_rule_stops_neither_the_others_nor_the_batch(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber
) -> None:
    make_rule("faulty", condition="event.data.order.nothing > 1")
    make_rule("good")
    take("1")
    take("2")
    assert decide("high") == 2
    outcome = sorted(Decision.objects.values_list("event__event_id", "rule__name", "reason"))
    assert outcome == [
        ("1", "faulty", reasons.CONDITION_ERROR),
        ("1", "good", reasons.FORWARDED),
        ("2", "faulty", reasons.CONDITION_ERROR),
        ("2", "good", reasons.FORWARDED),
    ]


def test_an_edited_rule_and_an_approved_edit_begin_new_standing_runs(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber, campaign: Campaign
) -> None:
    rule = make_rule()
    for number, edit in enumerate([lambda: None, lambda: _edit(rule), lambda: _reword(campaign)]):
        edit()
        rulebook.forget()
        take(str(number))
        decide("high")
    origins = list(Run.objects.order_by("pk").values_list("origin", flat=True))
    assert origins == [f"rule:{rule.uid}:{version}" for version in ("v1.1", "v2.1", "v2.2")]


def _edit(rule: Rule) -> None:
    rule.condition = "event.data.order > 1"
    rule.save()


def _reword(campaign: Campaign) -> None:
    campaign.title = "Your order is on its way"
    campaign.save()
    launching.approve(campaign, by="test")


def test_an_edit_that_nobody_approved_is_not_told(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber, campaign: Campaign
) -> None:
    make_rule()
    campaign.title = "Draft of something else"
    campaign.save()
    take()
    decide("high")
    assert Run.objects.get().snapshot["texts"]["en"]["title"] == "Order {{ event.data.order }}"


def test_a_changed_rule_is_in_force_within_a_second(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(rulebook.time, "monotonic", lambda: now[0])
    rule = make_rule()
    take("1")
    decide("high")
    rule.enabled = False
    rule.save()
    now[0] += 1.0
    take("2")
    decide("high")
    assert Decision.objects.latest("pk").reason == reasons.NO_RULE


def test_a_rule_lowers_the_lane_and_never_raises_it(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber
) -> None:
    make_rule("lower", lane="bulk")
    make_rule("higher", lane="critical")
    take()
    decide("high")
    assert dict(Run.objects.values_list("title", "lane")) == {
        "lower: Shipped": "bulk",
        "higher: Shipped": "high",
    }


def test_only_the_lane_that_was_asked_for_is_decided(take: Callable[..., Event], make_rule: MakeRule) -> None:
    take()
    assert decide("normal") == 0 and decide("high") == 1 and decide("high") == 0


def test_an_event_for_an_audience_is_one_run_of_its_own(
    take: Callable[..., Event], make_rule: MakeRule, application: Application, campaign: Campaign
) -> None:
    campaign.segment = Segment.objects.create(
        application=application, name="Pro", predicate={"external_id": "anna"}
    )
    campaign.category = Category.objects.create(application=application, key="orders", name="Orders")
    campaign.save()
    launching.approve(campaign, by="test")
    make_rule(recipients="audience")
    event = take()
    decide("high")
    run = Run.objects.get()
    assert run.kind == Run.Kind.AUDIENCE and run.category == campaign.category
    assert run.snapshot["predicate"] == {"external_id": "anna"}
    assert run.snapshot["variables"]["event"]["data"] == {"order": 7}
    assert Decision.objects.get().run == run.uid
    Event.objects.filter(pk=event.pk).update(decided=False)
    decide("high")
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("rule", "data", "reason", "reached"),
    [
        ({}, None, reasons.FORWARDED, ["anna"]),
        ({"recipients": "audience"}, None, reasons.BEYOND_SENDER, []),
        ({"recipients": "ids", "recipient_ids": "event.data"}, ["ben"], reasons.BEYOND_SENDER, []),
        ({"recipients": "ids", "recipient_ids": "event.data"}, ["ben", "anna"], reasons.FORWARDED, ["anna"]),
        (
            {"recipients": "ids", "recipient_ids": "event.data", "beyond_sender": True},
            ["ben", "anna"],
            reasons.FORWARDED,
            ["ben", "anna"],
        ),
    ],
)
def test_a_clients_event_reaches_that_client_unless_a_rule_allows_more(
    take: Callable[..., Event],
    make_rule: MakeRule,
    shipped: EventType,
    anna: Subscriber,
    ben: Subscriber,
    rule: dict[str, Any],
    data: Any,
    reason: str,
    reached: list[str],
) -> None:
    EventType.objects.filter(pk=shipped.pk).update(senders=["clients"])
    make_rule(**rule)
    take(sender=Sender.client(anna), data=data)
    decide("high")
    assert Decision.objects.get().reason == reason
    names = {anna.pk: "anna", ben.pk: "ben"}
    assert [names[named.subscriber] for named in _people()] == reached


def test_a_subscriber_of_another_application_is_unknown(
    take: Callable[..., Event], make_rule: MakeRule
) -> None:
    other = Application.objects.create(name="Other", slug="other")
    Subscriber.objects.create(application=other, external_id="anna")
    make_rule()
    take()
    decide("high")
    assert Decision.objects.get().reason == reasons.UNKNOWN_SUBSCRIBER


def test_a_standing_run_that_was_cancelled_is_given_no_more(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber
) -> None:
    make_rule()
    take("1")
    decide("high")
    Run.objects.update(state=Run.State.CANCELLED)
    take("2")
    decide("high")
    last = Decision.objects.latest("pk")
    assert (last.reason, last.forwarded, last.run) == (reasons.RUN_CANCELLED, False, None)
    assert Page.objects.count() == 1


def test_the_number_of_queries_does_not_grow_with_the_batch(
    lasting: None, application: Application, key: ApiKey, event: Make, make_rule: MakeRule
) -> None:
    names = [f"person-{number}" for number in range(300)]
    Subscriber.objects.bulk_create(Subscriber(application=application, external_id=name) for name in names)
    make_rule("good")
    make_rule("never", condition="event.data.order > 100")
    counts = []
    for size in (2, 3, 20, 300):
        documents = [event(f"{size}-{number}", subject=names[number]) for number in range(size)]
        accept(application, documents, Sender.key(key))
        rulebook.forget()
        with CaptureQueriesContext(connection) as queries:
            assert decide("high") == size
        # on SQLite a bulk insert is cut by the number of its parameters; on PostgreSQL it is one statement
        counts.append(len([query for query in queries if "INSERT INTO" not in query["sql"]]))
    assert counts[0] >= counts[1] >= counts[2] == counts[3], counts
    assert counts[2] <= 12


def test_a_claim_that_was_taken_over_writes_nothing(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule()
    take("1")
    take("2")

    def slow(judged: Any) -> Any:
        Event.objects.filter(event_id="2").update(claim="another worker")
        return {(event.event.application_id, "anna"): anna.pk for event in judged}

    monkeypatch.setattr(engine, "_subscribers", slow)
    assert decide("high") == 0
    assert not Decision.objects.exists() and not Page.objects.exists()
    assert list(Event.objects.order_by("pk").values_list("decided", flat=True)) == [False, False]


def test_a_claimed_event_is_left_alone_until_its_lease_is_over(
    take: Callable[..., Event], make_rule: MakeRule
) -> None:
    event = take()
    later = datetime.now(UTC) + timedelta(seconds=15)
    Event.objects.filter(pk=event.pk).update(
        claim="another worker", lease_until=later.timestamp(), attempts=1
    )
    assert decide("high") == 0
    Event.objects.filter(pk=event.pk).update(lease_until=0)
    assert decide("high") == 1


def test_what_does_not_fit_one_batch_is_given_back_as_if_unclaimed(
    take: Callable[..., Event],
    make_rule: MakeRule,
    anna: Subscriber,
    ben: Subscriber,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "PEOPLE_A_BATCH", 1)
    make_rule(recipients="ids", recipient_ids="['anna', 'ben']")
    take("1")
    take("2")
    assert decide("high") == 1
    left = Event.objects.get(event_id="2")
    assert (left.decided, left.claim, left.attempts, left.lease_until) == (False, "", 0, 0)
    assert decide("high") == 1 and decide("high") == 0


def test_an_event_that_kills_its_workers_is_closed_and_harms_no_other(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber
) -> None:
    make_rule()
    poison, good = take("1"), take("2")
    Event.objects.update(attempts=engine.CAREFUL)
    Event.objects.filter(pk=poison.pk).update(attempts=engine.ATTEMPTS)
    assert decide("high") == 1
    assert Decision.objects.get(event=poison).reason == reasons.ERROR
    assert decide("high") == 1
    assert Decision.objects.get(event=good).reason == reasons.FORWARDED


def test_a_fault_of_ours_in_one_event_is_recorded_and_the_others_go_on(
    take: Callable[..., Event], make_rule: MakeRule, anna: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule()
    take("1")
    take("2")
    judge = engine.judge

    def faulty(event: Event, *rest: Any) -> Any:
        if event.event_id == "1":
            raise ZeroDivisionError("ours")
        return judge(event, *rest)

    monkeypatch.setattr(engine, "judge", faulty)
    assert decide("high") == 2
    assert dict(Decision.objects.values_list("event__event_id", "reason")) == {
        "1": reasons.ERROR,
        "2": reasons.FORWARDED,
    }


def test_pages_hold_what_people_carry_within_bounds() -> None:
    large = {"event": {"data": "x" * 60_000}}
    people = [Named(number, str(UUID(int=number)), large, None) for number in range(100)]
    pages = delayed.pages(people)
    assert [person for page in pages for person in page] == people
    assert max(len(page) for page in pages) * 60_000 <= delayed.BYTES_A_PAGE
    most = settings.PAGE_PEOPLE
    assert [len(page) for page in delayed.pages([Named(1)] * (2 * most + 1))] == [most, most, 1]
