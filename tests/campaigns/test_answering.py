"""`why` answers in sentences, whatever became of it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns import engine, launching, why
from campaigns.intake import Sender, accept
from campaigns.models import Campaign
from delivery import holds, runs
from delivery.log.store import OutcomeRow, ReceiptRow
from delivery.models import Page, Run, Shard, Stopped
from delivery.positions import notification_id
from devices.models import ApiKey, Application, Category, Device, Preference, Segment, Subscriber
from tests.delivery.log.writing import write_outcomes, write_receipts

pytestmark = pytest.mark.django_db(databases="__all__")


def phone(owner: Subscriber, **values: Any) -> Device:
    fields = {"platform": "android", "provider": "fcm", "token": "t", **values}
    return Device.objects.create(application=owner.application, subscriber=owner, **fields)


def launched(campaign: Campaign, *, planned: bool = True) -> Run:
    run = launching.launch(campaign, by="eve")
    assert isinstance(run, Run)
    if planned:
        for shard in Shard.objects.filter(run=run):
            Shard.objects.filter(pk=shard.pk).update(cursor=shard.last, exhausted=True)
    return run


def fresh(campaign: Campaign) -> Campaign:
    return Campaign.objects.select_related("application", "segment", "category").get(pk=campaign.pk)


def ask(subscriber: Subscriber, campaign: Campaign | None, **values: Any) -> dict[str, Any]:
    """Ask why, and see that it took six reads at most."""
    person = Subscriber.objects.select_related("application").get(pk=subscriber.pk)
    asked = fresh(campaign) if campaign is not None else None
    default, log = (CaptureQueriesContext(connections[alias]) for alias in ("default", "log"))
    with default, log:
        told = why.compose(person.application, person, asked, **values)
    assert len(default) + len(log) <= 6, [query["sql"] for query in default.captured_queries]
    return told


def said(told: dict[str, Any]) -> str:
    return " ".join(told["answer"]["sentences"])


def test_a_campaign_that_never_began_says_so_and_its_state(anna: Subscriber, campaign: Campaign) -> None:
    told = ask(anna, campaign)
    assert "No run of “Shipped” has begun" in said(told) and "is approved" in said(told)
    assert told["answer"]["told"] is False


def test_who_is_not_in_the_audience_hears_which_condition_fails_and_when_that_was_found(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    anna.attributes = {"plan": "free"}
    anna.save()
    campaign.segment = Segment.objects.create(
        application=application,
        name="Pros",
        predicate={"all": [{"attribute": "plan", "is": "pro"}, {"locale": "en"}]},
    )
    campaign.save()
    for planned in (False, True):
        if planned:
            launched(campaign)
        told = ask(anna, campaign)
        assert 'not in the audience, because “plan” is "pro" is asked for, and it is "free"' in said(told)
        assert "Evaluated now, " in said(told) and told["answer"]["told"] is False
        assert [one["met"] for one in told["audience"]["conditions"]] == [False, True]
        assert datetime.fromisoformat(told["audience"]["evaluated_at"]) > timezone.now() - timedelta(
            minutes=1
        )


def test_the_run_is_asked_with_the_segment_it_was_launched_with(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    segment = Segment.objects.create(application=application, name="Germans", predicate={"locale": "de"})
    campaign.segment = segment
    campaign.save()
    launched(campaign)
    segment.predicate = {"locale": "en"}
    segment.save()
    assert 'the language is "de" is asked for' in said(ask(anna, campaign))


def test_who_came_after_the_launch_was_not_in_its_audience(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    launched(campaign)
    late = Subscriber.objects.create(application=application, external_id="late")
    told = ask(late, campaign)
    assert "became a subscriber after the run began" in said(told) and told["answer"]["told"] is False


def test_whose_turn_has_not_come_hears_that(anna: Subscriber, campaign: Campaign) -> None:
    phone(anna)
    launched(campaign, planned=False)
    told = ask(anna, campaign)
    assert "Their turn has not come yet" in said(told) and told["answer"]["told"] is None


def test_who_has_no_device_of_the_runs_platforms_hears_what_they_have(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    run = launched(campaign)
    assert "because they have no device. It stands in their log" in said(ask(anna, campaign))
    phone(anna)
    Run.objects.filter(pk=run.pk).update(snapshot={**run.snapshot, "platforms": ["ios", "tv"]})
    assert "it is for ios, tv only, and they have android" in said(ask(anna, campaign))
    Device.objects.update(state=Device.State.RETIRED, retired_reason="dead_token")
    answered = said(ask(anna, campaign))
    assert (
        "because their devices are retired. It stands in their log. Its provider takes the token no"
        in answered
    )
    assert "dead_token" not in answered


def test_who_waits_hears_that_and_what_holds_it_up(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    phone(anna)
    run = launched(campaign)
    assert ask(anna, campaign)["answer"] == {
        "told": None,
        "sentences": [
            f"The run “Shipped” began {run.created_at:%Y-%m-%d %H:%M:%S} UTC.",
            "It waits to be sent to them.",
        ],
    }
    holds.stop(application, lane=run.lane)
    assert "All of this lane is stopped" in said(ask(anna, campaign))
    holds.resume(application)
    runs.pause(run)
    assert "The run is paused" in said(ask(anna, campaign))
    runs.cancel(run, reason="wrong price")
    told = ask(anna, campaign)
    assert "The run was cancelled (wrong price)" in said(told) and told["answer"]["told"] is False
    Run.objects.update(recalled_at=timezone.now())
    assert "The run was recalled" in said(ask(anna, campaign))


def test_who_was_stopped_hears_the_reason_with_its_values(anna: Subscriber, campaign: Campaign) -> None:
    run = launched(campaign)
    Stopped.objects.create(
        run=run,
        page=Page.objects.filter(run=run)[0],
        subscriber_id=anna.pk,
        reason="expired",
        detail={"expired_at": 1_800_000_000},
    )
    assert (
        "They were stopped: The notification was past its time when its turn came. "
        "(expired at: 2027-01-15 08:00:00 UTC)" in said(ask(anna, campaign))
    )


def test_who_wants_none_of_it_now_hears_that(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    campaign.category = category = Category.objects.create(application=application, key="news", name="News")
    campaign.save()
    phone(anna)
    Preference.objects.create(subscriber=anna, category=category, allowed=False)
    assert "They switched the category “news” off" in said(ask(anna, campaign))
    Preference.objects.all().delete()
    category.opt_in = True
    category.save()
    assert "“news” reaches only who asked for it" in said(ask(anna, campaign))
    anna.consent = False
    anna.save()
    assert "They want no notifications at all" in said(ask(anna, campaign))


def test_who_got_it_hears_on_which_device_and_what_they_did(anna: Subscriber, campaign: Campaign) -> None:
    first, second = phone(anna), phone(anna, platform="ios", provider="apns")
    run = launched(campaign)
    note, at = notification_id(run.uid, anna.uid), time.time()
    write_outcomes(
        [
            OutcomeRow(anna.uid, note, first.uid, run.uid, "sent", "accepted", "p", 1, at),
            OutcomeRow(
                anna.uid, note, second.uid, run.uid, "failed", "invalid_argument:message.token", "", 1, at
            ),
        ]
    )
    write_receipts([ReceiptRow(anna.uid, note, first.uid, "opened", at + 60)])
    told = ask(anna, campaign)
    when = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    assert told["answer"]["told"] is True
    assert f"Android {str(first.uid)[:8]}: sent, {when}. The provider accepted the message." in said(told)
    assert f"iOS {str(second.uid)[:8]}: failed, {when}. FCM does not accept the message;" in said(told)
    assert "(field: message.token)" in said(told)
    assert f"Android {str(first.uid)[:8]} opened it, " in said(told)


def test_what_waits_in_the_log_is_neither_told_nor_lost(anna: Subscriber, campaign: Campaign) -> None:
    run = launched(campaign)
    note = notification_id(run.uid, anna.uid)
    write_outcomes([OutcomeRow(anna.uid, note, uuid4(), run.uid, "stored", "offline", "", 1, time.time())])
    told = ask(anna, campaign)
    assert told["answer"]["told"] is None and "waits in the log" in said(told)


def test_an_event_that_no_rule_forwarded_is_the_answer(
    application: Application, key: ApiKey, anna: Subscriber, campaign: Campaign, make_rule: Any, event: Any
) -> None:
    make_rule(condition="event.data.order > 5")
    accept(application, [event("1", data={"order": 1})], Sender.key(key))
    engine.decide("high")
    told = ask(anna, campaign)
    assert "rule “Tell the buyer”: The rule's condition is false for this event." in said(told)


def test_events_that_name_people_by_an_expression_are_found_for_those_people_only(
    application: Application,
    key: ApiKey,
    anna: Subscriber,
    ben: Subscriber,
    campaign: Campaign,
    make_rule: Any,
    event: Any,
) -> None:
    make_rule(recipients="ids", recipient_ids="event.data.watchers")
    sent = [event("1", data={"watchers": ["ben", "carl"]}), event("2", data={"watchers": ["anna"]})]
    accept(application, sent, Sender.key(key))
    engine.decide("high")
    for person, id in ((ben, "1"), (anna, "2")):
        told = ask(person, campaign)
        assert len(told["decisions"]) == 1 and told["decisions"][0]["forwarded"], id
        assert told["run"]["uid"] == told["decisions"][0]["run"]
    carl = Subscriber.objects.create(application=application, external_id="dora")
    assert ask(carl, campaign)["decisions"] == []


def test_one_run_is_asked_about_by_itself(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    from delivery.snapshot import Named, Snapshot, Text

    phone(anna)
    snapshot = Snapshot(texts={"en": Text(title="Your code")})
    direct = runs.launch(
        application=application,
        origin="notification:x",
        title="Your code",
        lane="high",
        snapshot=snapshot,
        people=[Named(anna.pk)],
    )
    told = ask(anna, None, run=direct)
    assert told["campaign"] is None and told["run"]["title"] == "Your code"
    assert "it did not name them, or has not come to them yet" in said(told)
    older = launched(campaign)
    launching.end_finished()
    assert ask(anna, campaign, run=older)["run"]["uid"] == str(older.uid)
