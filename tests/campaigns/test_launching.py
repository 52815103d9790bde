"""A campaign is launched once, says what it said then, and is refused when it cannot be told."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from campaigns import launching
from campaigns.launching import LaunchError
from campaigns.models import Campaign, CampaignVersion, Rule
from delivery.models import Run
from delivery.snapshot import from_json
from devices import audit
from devices.models import Application, Category, Segment


@pytest.fixture
def draft(application: Application) -> Campaign:
    return Campaign.objects.create(
        application=application,
        name="Spring",
        title="Hello {{ first_name }}",
        body="New things",
        locales={"de": {"title": "Hallo"}},
        overrides={"tv": {"title": "Look"}},
        segment=Segment.objects.create(
            application=application, name="Pro", predicate={"external_id": "anna"}
        ),
        category=Category.objects.create(application=application, key="offers", name="Offers"),
        ttl=3_600,
    )


def test_a_launch_begins_a_run_of_a_new_version(draft: Campaign) -> None:
    run = launching.launch(draft, by="eve")
    assert isinstance(run, Run)
    draft.refresh_from_db()
    version = draft.versions.get()
    snapshot = from_json(run.snapshot)
    assert (draft.state, run.origin, run.lane) == ("live", f"campaign:{draft.uid}:v1", "bulk")
    assert (run.kind, run.category, run.title) == (Run.Kind.AUDIENCE, draft.category, "Spring")
    assert snapshot.texts["de"].title == "Hallo" and snapshot.predicate == {"external_id": "anna"}
    assert snapshot.category == "offers" and snapshot.overrides["tv"].title == "Look"
    assert version.launched_at is not None and run.uid == launching.run_uid(version)
    assert run.expires_at is not None and version.launch_at is not None
    assert run.expires_at - version.launch_at == timedelta(hours=1)


def test_two_people_who_launch_at_once_launch_once(draft: Campaign) -> None:
    same = Campaign.objects.get(pk=draft.pk)
    launching.launch(draft, by="eve")
    with pytest.raises(LaunchError, match="is live") as refused:
        launching.launch(same, by="bob")
    assert refused.value.field == "state"
    assert Run.objects.count() == 1 and CampaignVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"title": "{{ first_name"}, "title", "line 1"),
        ({"body": "one\n{% if %}"}, "body", "line 2"),
        ({"body": "{{ x | shout }}"}, "body", "unknown filter 'shout'"),
        ({"locales": {"de": {"title": "{% endif %}"}}}, "locales.de.title", "line 1"),
        ({"overrides": {"tv": {"body": "{{"}}}, "overrides.tv.body", "line 1"),
        ({"overrides": {"fridge": {}}}, "overrides.fridge", "unknown platform"),
        ({"data": {"n": 5}}, "data.n", "must be a text"),
        ({"title": "", "body": "", "locales": {}}, "title", "write a title or a body"),
    ],
)
def test_what_does_not_render_is_refused_at_its_field(
    draft: Campaign, values: dict[str, Any], field: str, reason: str
) -> None:
    for name, value in values.items():
        setattr(draft, name, value)
    with pytest.raises(LaunchError) as refused:
        launching.launch(draft, by="eve")
    assert refused.value.field == field and reason in refused.value.reason
    draft.refresh_from_db()
    assert draft.state == "draft" and not CampaignVersion.objects.exists()


def test_a_launch_for_later_waits_for_the_clock_and_is_started_once(draft: Campaign) -> None:
    now = timezone.now()
    draft.send_at = now + timedelta(hours=1)
    draft.save()
    version = launching.launch(draft, by="eve")
    assert isinstance(version, CampaignVersion) and version.launched_at is None
    assert launching.launch_due(now) == 0 and not Run.objects.exists()
    due = now + timedelta(hours=1, seconds=1)
    assert launching.launch_due(due) == 1
    assert launching.launch_due(due) == 0
    assert Run.objects.get().uid == launching.run_uid(version)
    [told] = audit.of(draft)
    assert (told.actor, told.origin, told.action) == ("clock", "clock", "launch")


def test_a_launch_waits_for_its_window(draft: Campaign) -> None:
    draft.application.time_zone = "Asia/Tokyo"
    draft.application.save()
    shut = timezone.now().astimezone(ZoneInfo("Asia/Tokyo")) + timedelta(hours=2)
    draft.window_start, draft.window_end = shut.time(), (shut + timedelta(hours=1)).time()
    version = launching.launch(draft, by="eve")
    assert isinstance(version, CampaignVersion) and not Run.objects.exists()
    opens = shut.replace(second=0, microsecond=0)
    assert version.launch_at == opens
    assert launching.rehearse(draft).at == opens.timestamp()
    assert launching.launch_due(opens - timedelta(seconds=1)) == 0
    assert launching.launch_due(opens) == 1
    run = Run.objects.get()
    assert run.expires_at == opens + timedelta(hours=1), "its time to live counts from there"
    assert from_json(run.snapshot).policy.begun == opens.timestamp()


def test_a_launch_while_its_window_is_open_begins_at_once(draft: Campaign) -> None:
    now = timezone.now()
    draft.window_start = (now - timedelta(minutes=5)).time()
    draft.window_end = (now + timedelta(minutes=5)).time()
    assert isinstance(launching.launch(draft, by="eve"), Run)


def test_a_second_clock_that_read_the_same_version_starts_nothing(draft: Campaign) -> None:
    draft.send_at = timezone.now() + timedelta(seconds=1)
    version = launching.launch(draft, by="eve")
    assert isinstance(version, CampaignVersion)
    later = timezone.now() + timedelta(minutes=1)
    launching.launch_due(later)
    CampaignVersion.objects.update(launched_at=None)  # as if the two had read before either wrote
    launching.launch_due(later)
    assert Run.objects.count() == 1


def test_what_is_launched_late_expires_as_if_it_had_been_on_time(draft: Campaign) -> None:
    draft.send_at = timezone.now() + timedelta(minutes=1)
    launching.launch(draft, by="eve")
    launching.launch_due(timezone.now() + timedelta(hours=5))
    assert Run.objects.get().expires_at == draft.send_at + timedelta(hours=1)


def test_a_launch_for_later_says_what_it_said_then(draft: Campaign) -> None:
    draft.send_at = timezone.now() + timedelta(hours=1)
    launching.launch(draft, by="eve")
    draft.title = "Something else"
    draft.save()
    launching.launch_due(timezone.now() + timedelta(hours=2))
    assert from_json(Run.objects.get().snapshot).texts["en"].title == "Hello {{ first_name }}"


def test_a_launch_for_later_can_be_taken_back(draft: Campaign) -> None:
    draft.send_at = timezone.now() + timedelta(hours=1)
    launching.launch(draft, by="eve")
    launching.unschedule(draft)
    assert draft.state == "approved"
    assert launching.launch_due(timezone.now() + timedelta(hours=2)) == 0
    with pytest.raises(LaunchError, match="No launch"):
        launching.unschedule(draft)


def test_saving_the_same_content_again_makes_no_version(draft: Campaign) -> None:
    first = launching.approve(draft, by="eve")
    assert launching.save_version(draft) == first
    draft.title = "Other"
    assert launching.save_version(draft).number == 2


def test_a_live_campaign_goes_on_with_an_approved_edit(draft: Campaign) -> None:
    launching.launch(draft, by="eve")
    draft.title = "Other"
    assert launching.approve(draft, by="eve").number == 2
    assert draft.state == "live"


@pytest.mark.parametrize(
    ("state", "action", "result"),
    [
        ("draft", "submit", "in_review"),
        ("in_review", "withdraw", "draft"),
        ("live", "end", "ended"),
        ("ended", "archive", "archived"),
        ("live", "archive", None),
        ("archived", "launch", None),
        ("archived", "approve", None),
    ],
)
def test_a_campaign_moves_only_along_its_states(
    draft: Campaign, state: str, action: str, result: str | None
) -> None:
    Campaign.objects.update(state=state)
    if result is None:
        with pytest.raises(LaunchError, match=f"to {action} it, it must be"):
            launching.move(draft, action)
        result = state
    else:
        launching.move(draft, action)
    draft.refresh_from_db()
    assert draft.state == result


def test_a_campaign_ends_with_its_runs_unless_a_rule_uses_it(
    draft: Campaign, make_rule: Any, campaign: Campaign
) -> None:
    launching.launch(draft, by="eve")
    launching.launch(campaign, by="eve")
    make_rule()
    assert launching.end_finished() == 0
    Run.objects.update(state=Run.State.DONE)
    assert launching.end_finished() == 1
    draft.refresh_from_db()
    assert draft.state == "ended"
    Rule.objects.update(enabled=False)
    assert launching.end_finished() == 1
