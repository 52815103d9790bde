"""Why somebody was told or not, in one answer from a few reads."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from campaigns import engine, launching, why
from campaigns.intake import Sender, accept
from campaigns.models import Campaign
from delivery.log.store import OutcomeRow, ReceiptRow
from delivery.models import Page, Run, Stopped
from delivery.positions import notification_id
from devices.models import ApiKey, Application, Subscriber
from tests.delivery.log.writing import write_outcomes, write_receipts

pytestmark = pytest.mark.django_db(databases="__all__")


def test_a_campaign_that_was_never_sent_says_who_it_is_for(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    told = why.compose(application, anna, campaign)
    assert told["audience"]["member"] is True and told["run"] is None and told["outcomes"] == []


def test_decision_policy_outcome_and_receipt_stand_in_one_answer(
    application: Application, key: ApiKey, anna: Subscriber, campaign: Campaign, make_rule: Any, event: Any
) -> None:
    make_rule(condition="event.data.order > 5")
    accept(application, [event("1"), event("2", data={"order": 1})], Sender.key(key))
    engine.decide("high")
    run = Run.objects.get()
    notification, device = notification_id(run.uid, anna.uid, "x"), uuid4()
    Stopped.objects.create(run=run, page=Page.objects.get(), subscriber_id=anna.pk, reason="no_consent")
    write_outcomes([OutcomeRow(anna.uid, notification, device, run.uid, "sent", "accepted", "p", 1, 1.0)])
    write_receipts([ReceiptRow(anna.uid, notification, device, "opened", 2.0)])
    campaign = Campaign.objects.select_related("segment").get()
    default, log = (CaptureQueriesContext(connections[alias]) for alias in ("default", "log"))
    with default, log:
        told = why.compose(application, anna, campaign)
    assert [one["reason"] for one in told["decisions"]] == ["condition_false", "forwarded"]
    assert told["run"]["uid"] == str(run.uid) == told["decisions"][1]["run"]
    assert told["stopped"][0]["sentence"] == "The subscriber wants no notifications."
    assert told["outcomes"][0]["outcome"] == "sent" and told["receipts"][0]["kind"] == "opened"
    assert len(default) + len(log) <= 6


def test_the_newest_run_is_the_one_that_is_shown(
    application: Application, anna: Subscriber, campaign: Campaign
) -> None:
    run = launching.launch(campaign, by="eve")
    assert isinstance(run, Run)
    assert why.compose(application, anna, campaign)["run"]["uid"] == str(run.uid)
