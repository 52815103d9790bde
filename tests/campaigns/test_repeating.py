"""Recurring campaigns: each time once, in the words approved last, until the end."""

from datetime import datetime, time, timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from campaigns import launching
from campaigns.launching import LaunchError
from campaigns.models import Campaign, CampaignVersion
from delivery.models import Run
from devices.models import Application, Subscriber

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def daily(application: Application, anna: Subscriber) -> Campaign:
    made = Campaign.objects.create(
        application=application, name="Daily", title="Good morning", repeat="0 9 * * *"
    )
    launching.launch(made, by="eve")
    return made


def waits_for() -> datetime:
    at = CampaignVersion.objects.get(launched_at=None, launch_at__isnull=False).launch_at
    assert at is not None
    return at


def test_it_waits_for_its_first_time_and_then_for_the_next(daily: Campaign) -> None:
    assert not Run.objects.exists() and daily.state == "live"
    first = waits_for()
    assert first > timezone.now() and f"{first:%H:%M}" == "09:00"
    assert launching.launch_due(first - timedelta(seconds=1)) == 0
    assert launching.launch_due(first) == 1
    assert launching.launch_due(first) == 0
    assert waits_for() == first + timedelta(days=1)
    assert launching.launch_due(first + timedelta(days=1)) == 1
    assert Run.objects.count() == 2 and len(set(Run.objects.values_list("uid", flat=True))) == 2


def test_peoples_own_times_count_from_the_planned_time_however_late_the_clock_comes(daily: Campaign) -> None:
    first = waits_for()
    launching.launch_due(first + timedelta(seconds=90))
    assert Run.objects.get().snapshot["policy"]["begun"] == first.timestamp()


def test_times_missed_for_long_are_not_made_up(daily: Campaign) -> None:
    first = waits_for()
    late = first + timedelta(days=4, hours=1)
    assert launching.launch_due(late) == 1
    assert waits_for() == first + timedelta(days=5) and Run.objects.count() == 1


def test_an_edit_that_is_approved_is_told_from_the_next_time_on(daily: Campaign) -> None:
    daily.title = "Good evening"
    daily.save()
    at = waits_for()
    launching.approve(daily, by="eve")
    assert waits_for() == at
    launching.launch_due(at)
    launching.launch_due(at + timedelta(days=1))
    titles = [run.snapshot["texts"]["en"]["title"] for run in Run.objects.all()]
    assert titles == ["Good evening", "Good evening"]


def test_an_edit_that_nobody_approved_is_not_told(daily: Campaign) -> None:
    daily.title = "Draft of tomorrow"
    daily.save()
    launching.launch_due(waits_for())
    assert Run.objects.get().snapshot["texts"]["en"]["title"] == "Good morning"


def test_each_time_waits_for_the_window(application: Application, anna: Subscriber) -> None:
    made = Campaign.objects.create(
        application=application,
        name="Evenings",
        title="Hi",
        repeat="0 9,19,21 * * *",
        window_start=time(18),
        window_end=time(20),
    )
    launching.launch(made, by="eve")
    seen = []
    for _ in range(3):
        seen.append(waits_for())
        launching.launch_due(seen[-1])
    assert {f"{at:%H:%M}" for at in seen} == {"18:00", "19:00"}
    assert all(timedelta() < after - before <= timedelta(hours=23) for before, after in pairwise(seen))
    day = seen[-1].replace(hour=18)
    made.repeat_until = day + timedelta(days=3, hours=4)
    assert launching._next_time(made, after=day + timedelta(days=3, hours=1, minutes=30)) is None


def test_it_ends_with_its_last_day(application: Application, anna: Subscriber) -> None:
    until = timezone.now() + timedelta(hours=30)
    made = Campaign.objects.create(
        application=application, name="Short", title="Hi", repeat="0 9 * * *", repeat_until=until
    )
    launching.launch(made, by="eve")
    while waiting := CampaignVersion.objects.filter(launched_at=None, launch_at__isnull=False).first():
        assert waiting.launch_at is not None and waiting.launch_at <= until
        launching.launch_due(waiting.launch_at)
    assert 1 <= Run.objects.count() <= 2
    Run.objects.update(state="done")
    assert launching.end_finished() == 1


def test_between_two_times_it_stays_live(daily: Campaign) -> None:
    launching.launch_due(waits_for())
    Run.objects.update(state="done")
    assert launching.end_finished() == 0


def test_it_stops_when_it_is_taken_back_or_ended(daily: Campaign) -> None:
    at = waits_for()
    launching.move(daily, "end")
    assert launching.launch_due(at) == 0
    Campaign.objects.update(state="live")
    launching.unschedule(daily)
    assert launching.launch_due(at + timedelta(days=2)) == 0


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"repeat": "61 * * * *"}, "repeat"),
        ({"repeat": "* * * * *"}, "repeat"),
        ({"repeat": "0 9 * * *", "repeat_zone": "Mars/Olympus"}, "repeat_zone"),
        ({"repeat": "0 9 * * *", "repeat_until": timezone.now() - timedelta(days=1)}, "repeat"),
    ],
)
def test_what_cannot_repeat_is_refused_at_its_field(
    application: Application, values: dict[str, object], field: str
) -> None:
    made = Campaign.objects.create(application=application, name="Never", title="Hi", **values)
    with pytest.raises(LaunchError) as refused:
        launching.launch(made, by="eve")
    assert refused.value.field == field and Campaign.objects.get().state == "draft"
