"""A campaign's policy, from its fields to the run; who may override, and what is refused beside which field."""

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from campaigns import launching, notifications
from campaigns.launching import LaunchError
from campaigns.models import Campaign, EventType
from campaigns.policy import PolicyError, build
from delivery.models import Run
from delivery.snapshot import Policy, from_json
from devices.models import ApiKey, Application, Category, Subscriber


@pytest.fixture
def alarm(application: Application) -> Category:
    return Category.objects.create(
        application=application, key="alarm", name="Alarm", critical_overrides=True
    )


def campaign_of(application: Application, **values: Any) -> Campaign:
    return Campaign.objects.create(application=application, name="Spring", title="Hello", **values)


def test_what_the_campaign_says_is_frozen_in_the_run(application: Application) -> None:
    campaign = campaign_of(
        application,
        transactional=True,
        when_capped="defer",
        local_time=time(9, 30),
        local_date=date(2030, 12, 24),
        local_late="tomorrow",
        rate=90,
        rate_per="minute",
        ramp=60,
        window_start=time(),
        window_end=time(23, 59),
        jitter=30,
        ttl=600,
    )
    run = launching.launch(campaign, by="eve")
    assert isinstance(run, Run)
    assert from_json(run.snapshot).policy == Policy(
        transactional=True,
        capped="defer",
        local_time="09:30",
        local_date="2030-12-24",
        late="tomorrow",
        rate=90,
        rate_per="minute",
        ramp=60,
        window_start="00:00",
        window_end="23:59",
        jitter=30,
        begun=campaign.versions.get().launch_at.timestamp(),
    )
    assert run.expires_at is not None and run.expires_at.date() >= date(2030, 12, 24)


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"critical_override": True}, "critical_override", "lane critical"),
        ({"critical_override": True, "lane": "critical"}, "critical_override", "category"),
        ({"local_date": date(2030, 1, 1)}, "local_date", "local time"),
        ({"ramp": 5}, "ramp", "rate"),
        ({"window_start": time(18)}, "window_end", "until when"),
        ({"window_start": time(18), "window_end": time(18)}, "window_end", "ends when it begins"),
        ({"window_start": time(20), "window_end": time(18)}, "window_end", "ends before it begins"),
        ({"window_start": time(18), "window_end": time(6, 1)}, "window_end", "at most 12 hours"),
        (
            {"window_start": time(18), "window_end": time(20), "best_hour": 19},
            "window_end",
            "window of its own",
        ),
        ({"jitter": 3601}, "jitter", "3,600"),
        ({"rate": 1, "ramp": 90_000}, "ramp", "86,400"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(
    application: Application, values: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(LaunchError, match=said) as refused:
        launching.launch(campaign_of(application, **values), by="eve", may_override=True)
    assert refused.value.field == field


def test_only_those_who_may_launch_what_overrides(application: Application, alarm: Category) -> None:
    campaign = campaign_of(application, critical_override=True, lane="critical", category=alarm)
    for do in (launching.launch, launching.approve):
        with pytest.raises(LaunchError, match="campaigns:override") as refused:
            do(campaign, by="a key")
        assert refused.value.field == "critical_override"
    run = launching.launch(campaign, by="eve", may_override=True)
    assert isinstance(run, Run) and from_json(run.snapshot).policy.override


def test_a_notification_overrides_with_a_scope_a_lane_and_a_category(
    application: Application, key: ApiKey, anna: Subscriber, alarm: Category
) -> None:
    key.lanes, document = ["critical", "high"], {"to": "anna", "title": "Your code", "override": True}
    for scopes, more, code, pointer in [
        ([], {"lane": "critical", "category": "alarm"}, "scope", "/override"),
        (["campaigns:override"], {"category": "alarm"}, "request-invalid", "/override"),
        (["campaigns:override"], {"lane": "critical"}, "request-invalid", "/override"),
    ]:
        key.scopes = scopes
        with pytest.raises(notifications.SendError) as refused:
            notifications.send(application, key, {**document, **more})
        assert (refused.value.problem.code, refused.value.problem.pointer) == (code, pointer)
    notifications.send(application, key, {**document, "lane": "critical", "category": "alarm"})
    policy = from_json(Run.objects.get().snapshot).policy
    assert policy == Policy(transactional=True, override=True)


def test_a_rehearsal_is_of_the_instant_of_the_launch(application: Application, anna: Subscriber) -> None:
    application.quiet_hours = "00:00-23:59"
    application.save()
    tomorrow = (timezone.now() + timedelta(days=1)).replace(hour=12)
    campaign = campaign_of(application, send_at=tomorrow)
    rehearsal = launching.rehearse(campaign)
    assert rehearsal.at == tomorrow.timestamp()
    assert (rehearsal.told, rehearsal.later) == (0, {"quiet_hours": 1})


def test_a_rehearsal_of_one_that_repeats_is_of_its_first_time(
    application: Application, anna: Subscriber
) -> None:
    application.time_zone = "Europe/Berlin"
    application.save()
    tokyo = Subscriber.objects.create(application=application, external_id="tokyo", time_zone="Asia/Tokyo")
    assert tokyo.pk != anna.pk
    campaign = campaign_of(application, repeat="0 19 * * *", local_time=time(19), local_late="tomorrow")
    rehearsal = launching.rehearse(campaign)
    assert f"{datetime.fromtimestamp(rehearsal.at, ZoneInfo('Europe/Berlin')):%H:%M:%S}" == "19:00:00"
    assert (rehearsal.told, rehearsal.later) == (1, {"local_time": 1})


@pytest.mark.parametrize(
    ("start", "end"),
    [(time(18), time(20)), (time(22), time(2)), (time(18), time(6)), (None, time(9)), (time(18), time())],
)
def test_a_window_needs_no_rate_and_may_go_over_midnight(start: time | None, end: time) -> None:
    policy = build(Campaign(window_start=start, window_end=end), overridable=False)
    assert (policy.rate, policy.window_end) == (0, f"{end:%H:%M}")


def test_the_window_of_what_events_start_says_from_when_on(application: Application) -> None:
    kind = EventType.objects.create(application=application, name="cart.left")
    campaign = campaign_of(application, event_type=kind, window_end=time(18))
    with pytest.raises(LaunchError, match="from when on") as refused:
        launching.launch(campaign, by="eve")
    assert refused.value.field == "window_start"
    campaign.window_start = time(9)
    launching.launch(campaign, by="eve")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"best_from": 20, "best_until": 8}, "best_until", "ends before it begins"),
        ({"best_hour": 7}, "best_hour", "from 8 to 21"),
        ({"local_time": time(9)}, "best_hour", "Either a local time or"),
    ],
)
def test_a_best_hour_lies_in_its_window(changes: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said) as refused:
        build(Campaign(**{"best_hour": 12, **changes}), overridable=False)
    assert refused.value.field == field
    assert build(Campaign(best_hour=12), overridable=False).best == 12
