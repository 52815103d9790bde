"""When a campaign is really told: the page says what the planner does."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from campaigns.timetable import shown, timetable
from delivery.policy.local_time import instant_in
from delivery.snapshot import Policy

BEGINS = datetime(2026, 11, 26, 8, tzinfo=UTC)
ZONES = ["Asia/Tokyo", "America/New_York", "Europe/Berlin", ""]
LOCAL = Policy(local_time="09:00")


def test_without_a_local_time_all_are_told_when_it_begins() -> None:
    plan = timetable(policy=Policy(), home="Europe/Berlin", zones=ZONES, begins=BEGINS)
    assert (plan.first, plan.last, plan.notes, plan.coming) == (BEGINS, BEGINS, [], [])


def test_the_first_and_the_last_zone_are_named() -> None:
    plan = timetable(policy=LOCAL, home="Europe/Berlin", zones=ZONES, begins=BEGINS)
    assert plan.last_zone == "America/New_York" and plan.last == datetime(2026, 11, 26, 14, tzinfo=UTC)
    assert plan.first_zone in ("Asia/Tokyo", "Europe/Berlin") and plan.first == BEGINS
    assert any(
        "Asia/Tokyo 09:00 is past when it begins: people there are told at once" in one for one in plan.notes
    )


def test_who_missed_it_hears_the_next_day_if_the_policy_says_so() -> None:
    late = Policy(local_time="09:00", late="tomorrow")
    plan = timetable(policy=late, home="Europe/Berlin", zones=["Asia/Tokyo"], begins=BEGINS)
    assert plan.last_zone == "Asia/Tokyo" and plan.last == datetime(2026, 11, 27, 0, tzinfo=UTC)
    assert any("their next day" in one for one in plan.notes)


def test_a_wall_time_that_a_clock_change_skips_is_said() -> None:
    policy = Policy(local_time="02:30", local_date="2026-03-29")
    begins = datetime(2026, 3, 27, tzinfo=UTC)
    plan = timetable(policy=policy, home="Europe/Berlin", zones=["Europe/Berlin"], begins=begins)
    assert any("02:30 does not exist: it is told at 03:00" in one for one in plan.notes)
    twice = Policy(local_time="02:30", local_date="2026-10-25")
    plan = timetable(policy=twice, home="Europe/Berlin", zones=["Europe/Berlin"], begins=begins)
    assert any("comes twice" in one for one in plan.notes)


def test_a_recurring_campaign_names_its_next_times() -> None:
    plan = timetable(
        policy=Policy(), home="Europe/Berlin", zones=[], begins=BEGINS, crontab="0 9 * * mon-fri", until=None
    )
    assert [f"{at:%a %H:%M}" for at in plan.coming] == [
        "Thu 08:00",
        "Fri 08:00",
        "Mon 08:00",
        "Tue 08:00",
        "Wed 08:00",
    ]
    over = timetable(
        policy=Policy(),
        home="UTC",
        zones=[],
        begins=BEGINS,
        crontab="0 9 * * *",
        until=BEGINS + timedelta(minutes=5),
    )
    assert over.coming == [] and "ends before its first time" in over.notes[0]


def test_what_later_clock_changes_do_to_peoples_own_times_is_said() -> None:
    def said(crontab: str, at: str = "02:30") -> list[str]:
        plan = timetable(
            policy=Policy(local_time=at), home="UTC", zones=ZONES, begins=BEGINS, crontab=crontab
        )
        return [one for one in plan.notes if "the clocks go" in one]

    assert said("0 0 * * *") == [
        "In America/New_York the clocks go forward on 14 March 2027 and 02:30 does not exist: people there are told"
        " at 03:00.",
        "In Europe/Berlin the clocks go forward on 28 March 2027 and 02:30 does not exist: people there are told at"
        " 03:00.",
        "In Europe/Berlin the clocks go back on 31 October 2027 and 02:30 comes twice: people there are told the"
        " first time.",
    ]
    assert said("0 0 * * mon-fri") == [], "clocks change on Sundays, when it does not come"
    assert said("0 0 * * *", at="09:00") == []


def test_a_window_is_named_and_says_who_waits_for_it() -> None:
    policy = Policy(local_time="09:00", window_start="08:00", window_end="12:00")
    plan = timetable(policy=policy, home="Europe/Berlin", zones=ZONES, begins=BEGINS - timedelta(hours=4))
    assert plan.first == datetime(2026, 11, 26, 7, tzinfo=UTC), "it begins when its window opens"
    assert (plan.last, plan.last_zone) == (datetime(2026, 11, 27, 7, tzinfo=UTC), "America/New_York")
    assert any("outside 08:00 to 12:00 in Europe/Berlin" in one for one in plan.notes)
    assert any("In America/New_York 09:00 falls outside the window" in one for one in plan.notes)
    night = Policy(window_start="22:00", window_end="02:00")
    plan = timetable(policy=night, home="Europe/Berlin", zones=[], begins=BEGINS)
    assert plan.first == datetime(2026, 11, 26, 21, tzinfo=UTC)
    assert any("22:00 to 02:00 of the next day" in one for one in plan.notes)


def test_the_times_of_a_recurring_campaign_are_those_of_its_window() -> None:
    policy = Policy(window_start="18:00", window_end="20:00")
    plan = timetable(
        policy=policy,
        home="UTC",
        zones=[],
        begins=BEGINS,
        crontab="0 9,19,21 * * *",
        until=BEGINS + timedelta(days=2),
    )
    assert [f"{at:%d %H:%M}" for at in plan.coming] == ["26 18:00", "26 19:00", "27 18:00", "27 19:00"]


@given(
    st.lists(
        st.sampled_from(["Asia/Tokyo", "America/New_York", "Pacific/Apia", "Europe/Berlin", ""]), max_size=5
    ),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  (hypothesis adds the zone)
    st.sampled_from(["00:30", "02:30", "09:00", "23:59"]),
    st.sampled_from(["now", "tomorrow"]),
)
def test_nobody_is_told_outside_of_first_and_last(
    zones: list[str], begins: datetime, at: str, late: str
) -> None:
    policy, home = Policy(local_time=at, late=late), "Europe/Berlin"
    plan = timetable(policy=policy, home=home, zones=zones, begins=begins)
    for zone in [*zones, home]:
        told = instant_in(zone or home, policy, home, begins.timestamp())
        assert plan.first.timestamp() <= told <= plan.last.timestamp()


def test_an_instant_is_shown_in_a_zone() -> None:
    assert shown(BEGINS, "Asia/Tokyo") == "Thu 26 Nov 2026, 17:00 (Asia/Tokyo)"


def test_best_hours_are_told_from_the_first_zones_window_to_the_lasts() -> None:
    policy = Policy(best=9, best_from=8, best_until=10)
    begins = datetime(2026, 6, 15, 12, tzinfo=UTC)
    zones = ["Europe/Berlin", "America/New_York"]
    found = timetable(policy=policy, home="Europe/Berlin", zones=zones, begins=begins)
    # 08:00 in New York comes at noon here; 09:00 in New York is that day too, and Berlin's are tomorrow's
    assert (found.first, found.first_zone) == (begins, "America/New_York")
    assert (found.last, found.last_zone) == (datetime(2026, 6, 16, 7, tzinfo=UTC), "Europe/Berlin")
    assert "between 08:00 and 10:00 of their own clock" in found.notes[0]


def test_an_hour_that_a_clock_change_skips_is_named() -> None:
    policy = Policy(best=2, best_from=1, best_until=4)
    begins = datetime(2026, 3, 28, 20, tzinfo=UTC)
    found = timetable(policy=policy, home="Europe/Berlin", zones=[], begins=begins)
    assert found.notes[1].startswith(
        "In Europe/Berlin the clocks go forward on 29 March 2026 and 02:00 does not exist"
    )
