"""Approvals: signed for what was seen, void when it changes, never one's own."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from campaigns import approval, editing, launching
from campaigns.launching import LaunchError
from campaigns.models import Approval, Campaign
from delivery.models import Run
from devices import audit
from devices.models import Application, Segment, Subscriber

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def crowd(application: Application) -> Application:
    """An application of twenty people in which every campaign needs an approval, and from 100 people on two."""
    Application.objects.update(approval_from=0, second_approval_from=100)
    people(application, 20)
    application.refresh_from_db()
    return application


@pytest.fixture
def draft(crowd: Application) -> Campaign:
    made = Campaign(application=crowd, name="Autumn", title="20 % off")
    editing.note(made, "user:eva")
    made.save()
    return made


def people(application: Application, count: int) -> None:
    already = Subscriber.objects.count()
    Subscriber.objects.bulk_create(
        Subscriber(application=application, external_id=f"p{number}")
        for number in range(already, already + count)
    )


def refused(do: Any, *args: Any, **values: Any) -> str:
    with pytest.raises(LaunchError) as error:
        do(*args, **values)
    return error.value.reason


def test_without_an_approval_nothing_is_launched(draft: Campaign) -> None:
    assert "needs 1 approval by people who did not write it; 1 is missing" in refused(
        launching.launch, draft, by="user:otto"
    )
    assert not Run.objects.exists() and Campaign.objects.get().state == "draft"


def test_an_application_that_asks_for_none_launches_as_before(draft: Campaign) -> None:
    Application.objects.update(approval_from=None, second_approval_from=None)
    draft.refresh_from_db()
    launching.launch(draft, by="user:eva")
    assert Run.objects.count() == 1


def test_a_number_of_people_says_whether_one_is_needed(draft: Campaign) -> None:
    Application.objects.update(approval_from=21)
    draft.refresh_from_db()
    launching.launch(draft, by="user:eva")
    assert approval.needed(draft.application, 21) == 1 and approval.needed(draft.application, 20) == 0


def test_one_approval_by_somebody_else_is_enough(draft: Campaign) -> None:
    launching.approve(draft, by="user:anton", numbers={"told": 20})
    launching.launch(draft, by="user:eva")
    kept = Approval.objects.get()
    assert kept.numbers == {"told": 20, "audience": 20} and Run.objects.count() == 1


def test_nobody_approves_their_own(draft: Campaign) -> None:
    assert "Nobody approves their own" in refused(launching.approve, draft, by="user:eva")
    assert not Approval.objects.exists()


def test_whoever_edited_it_is_an_author_too(draft: Campaign) -> None:
    draft.title = "25 % off"
    editing.note(draft, "user:anton")
    draft.save()
    assert "Nobody approves their own" in refused(launching.approve, draft, by="user:anton")
    launching.approve(draft, by="user:olga")


def test_after_an_approval_authors_are_counted_anew(draft: Campaign) -> None:
    launching.approve(draft, by="user:anton")
    draft.title = "25 % off"
    editing.note(draft, "user:anton")
    draft.save()
    assert "Nobody approves their own" in refused(launching.approve, draft, by="user:anton")
    launching.approve(draft, by="user:eva")  # what Anton changed; what Eva wrote was approved by Anton


def test_a_campaign_made_through_the_api_needs_one_like_all_others(crowd: Application) -> None:
    made = Campaign(application=crowd, name="By a service", title="Hi")
    editing.note(made, "key:abc")
    made.save()
    assert "1 is missing" in refused(launching.launch, made, by="key abc")
    assert "Nobody approves their own" in refused(launching.approve, made, by="key abc")
    launching.approve(made, by="key other")
    launching.launch(made, by="key abc")


@pytest.mark.parametrize(
    "change",
    [
        {"title": "30 % off"},
        {"link": "https://shop.example/"},
        {"ttl": 60},
        {"lane": "critical"},
        {"local_time": "09:00:00"},
        {"send_at": timezone.now() + timedelta(days=1)},
        {"repeat": "0 9 * * *"},
        {"rate": 5},
    ],
)
def test_any_edit_voids_it(draft: Campaign, change: dict[str, Any]) -> None:
    launching.approve(draft, by="user:anton")
    Campaign.objects.update(**change)
    draft.refresh_from_db()
    said = refused(launching.launch, draft, by="user:eva")
    assert "An approval by anton is void: the campaign was edited since" in said and not Run.objects.exists()


def test_another_audience_voids_it(draft: Campaign) -> None:
    launching.approve(draft, by="user:anton")
    segment = Segment.objects.create(
        application=draft.application, name="all", predicate={"not": {"locale": "xx"}}
    )
    Campaign.objects.update(segment=segment)
    draft.refresh_from_db()
    assert "edited since" in refused(launching.launch, draft, by="user:eva")


def test_an_audience_that_drifts_by_more_than_a_tenth_voids_it(draft: Campaign) -> None:
    launching.approve(draft, by="user:anton")
    people(draft.application, 2)
    launching.check_approved(draft, launching.snapshot_of(draft))
    people(draft.application, 1)
    assert "the audience was 20 people, now it is 23" in refused(launching.launch, draft, by="user:eva")


def test_above_a_number_two_people_have_to(draft: Campaign) -> None:
    people(draft.application, 80)
    assert launching.approve(draft, by="user:anton") is None
    draft.refresh_from_db()
    assert draft.state == "in_review"
    assert "1 is missing" in refused(launching.launch, draft, by="user:eva")
    assert "somebody else has to approve it too" in refused(launching.approve, draft, by="user:anton")
    assert launching.approve(draft, by="user:olga") is not None
    launching.launch(draft, by="user:eva")


@pytest.mark.parametrize(
    "forged",
    [{"numbers": {"audience": 21}}, {"author": "user:olga"}, {"digest": "0" * 64}, {"signature": "0" * 64}],
)
def test_an_approval_changed_in_the_database_does_not_hold(draft: Campaign, forged: dict[str, Any]) -> None:
    launching.approve(draft, by="user:anton")
    Approval.objects.update(**forged)
    assert "signature does not hold" in refused(launching.launch, draft, by="user:eva")


def test_a_recurring_campaign_stops_before_the_time_at_which_its_audience_is_another(draft: Campaign) -> None:
    draft.repeat = "0 9 * * *"
    draft.save()
    launching.approve(draft, by="user:anton")
    launching.launch(draft, by="user:eva")

    def due() -> datetime:
        at = draft.versions.get(launched_at=None, launch_at__isnull=False).launch_at
        assert at is not None
        return at

    assert launching.launch_due(due()) == 1
    draft.title = "Another text"
    draft.save()
    launching.approve(draft, by="user:anton")  # it stays live
    assert launching.launch_due(due()) == 1
    people(draft.application, 10)
    assert launching.launch_due(due()) == 0
    draft.refresh_from_db()
    assert draft.state == "in_review" and Run.objects.count() == 2
    assert not draft.versions.filter(launched_at=None, launch_at__isnull=False).exists()


def test_a_planned_launch_is_taken_back_when_its_audience_is_another(draft: Campaign) -> None:
    draft.send_at = timezone.now() + timedelta(hours=1)
    draft.save()
    launching.approve(draft, by="user:anton")
    launching.launch(draft, by="user:eva")
    people(draft.application, 10)
    assert launching.launch_due(timezone.now() + timedelta(hours=2)) == 0
    draft.refresh_from_db()
    assert draft.state == "in_review" and not Run.objects.exists()
    [told] = audit.of(draft)
    assert (told.actor, told.origin, told.action) == ("clock", "clock", "take_back")
    assert told.says == "The audience was 20 people when it was approved, now it is 30."
    assert launching.launch_due(timezone.now() + timedelta(hours=3)) == 0


def test_what_nobody_changed_stays_approved_however_it_is_read(draft: Campaign) -> None:
    launching.approve(draft, by="user:anton")
    assert (
        launching.check_approved(Campaign.objects.get(), launching.snapshot_of(Campaign.objects.get())) == 20
    )
    assert launching.save_version(Campaign.objects.get()).number == 1
