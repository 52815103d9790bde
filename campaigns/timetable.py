"""When a campaign will really be told: first and last, for whoever plans it and for the people it reaches. Pure."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

import msgspec

from campaigns import recurrence
from campaigns.policy import opened_by
from delivery.policy import best_hour, local_time, window
from delivery.snapshot import Policy
from devices.wall_time import offset, placed, zone_or
from devices.words import gettext as _
from devices.words import written

COMING = 5
"""Occurrences of a recurring campaign that are named."""
LOOKS_AHEAD = timedelta(days=366)


class Timetable(msgspec.Struct, frozen=True):
    """When the first and the last person are told (UTC), where they live, how often it comes, and what to know.

    `coming` are the next instants of a recurring campaign; `notes` a sentence each.
    """

    first: datetime
    last: datetime
    first_zone: str
    last_zone: str
    coming: list[datetime]
    notes: list[str]


def timetable(
    *,
    policy: Policy,
    home: str,
    zones: Iterable[str],
    begins: datetime,
    crontab: str = "",
    crontab_zone: str = "",
    until: datetime | None = None,
    now: datetime | None = None,
) -> Timetable:
    """Return when a campaign begun at `begins` (aware) is told in `zones`; `home` is the application's zone.

    A throttle's and quiet hours' share in it is the dry run's to say. Raises what `campaigns.recurrence.occurrences`
    does.
    """
    coming: list[datetime] = []
    where = crontab_zone or home
    notes: list[str] = []
    if crontab:
        start = begins - timedelta(seconds=1)
        for asked in recurrence.occurrences(crontab, where, after=start, until=until):
            at = opened_by(policy, asked, home)
            if until is not None and at > until:
                break
            if at not in coming[-1:]:
                coming.append(at)
            if len(coming) == COMING:
                break
        if not coming:
            notes.append(_("It never comes: it ends before its first time."))
        else:
            begins = coming[0]
        end = min(until, begins + LOOKS_AHEAD) if until else begins + LOOKS_AHEAD
        notes += recurrence.oddities(crontab, where, after=begins, until=end)
    begins = opened_by(policy, begins, home)
    if window.is_on(policy):
        notes += _hours(policy, home, begins)
    lived = sorted({zone or home for zone in zones} | {home})
    if best_hour.is_on(policy):
        return _at_best_hours(policy, home, lived, begins, coming, notes)
    if not policy.local_time:
        return Timetable(begins, begins, home, home, coming, notes)
    since = begins.timestamp()
    asked_for = {zone: local_time.instant_in(zone, policy, home, since) for zone in lived}
    told = {zone: window.opening(policy, at, started=since, zone=home) for zone, at in asked_for.items()}
    waits = [zone for zone in lived if told[zone] > asked_for[zone]]
    if waits:
        which = _zones(waits)
        notes.append(
            _("In %(which)s %(at)s falls outside the window: people there are told when it opens next.")
            % {"which": which, "at": policy.local_time}
        )
    first, last = (
        min(told, key=lambda zone: (told[zone], zone)),
        max(told, key=lambda zone: (told[zone], zone)),
    )
    notes += _late(policy, home, lived, told, begins) + _changes(policy, home, lived, begins)
    if coming:
        comes = partial(recurrence.occurrences, crontab, where)
        notes += _later_changes(policy, home, lived, comes, after=begins, until=end)
    return Timetable(_at(told[first]), _at(told[last]), first, last, coming, notes)


def _at_best_hours(
    policy: Policy, home: str, zones: list[str], begins: datetime, coming: list[datetime], notes: list[str]
) -> Timetable:
    """Return when the first and the last are told if some have every hour of the window."""
    since = begins.timestamp()
    told = [
        (at, zone)
        for zone in zones
        for hour in range(policy.best_from, policy.best_until)
        if (at := best_hour.instant_in(zone, hour, policy, home, "", since)) is not None
    ]
    first, last = (min(told), max(told)) if told else ((since, home), (since, home))
    window = {"first": f"{policy.best_from:02}:00", "last": f"{policy.best_until:02}:00"}
    said = [
        _(
            "Each person is told at the hour at which they open most, between %(first)s and %(last)s of their own"
            " clock."
        )
        % window
    ]
    for at, zone in dict.fromkeys(told):
        place = zone_or(zone, home)
        day = datetime.fromtimestamp(at, UTC).astimezone(place).date()
        for hour in range(policy.best_from, policy.best_until):
            wall = datetime.combine(day, time(hour))
            if placed(wall, place).astimezone(place).hour != hour:
                said.append(
                    _(
                        "In %(zone)s the clocks go forward on %(day)s and %(at)s does not exist: people whose"
                        " hour it is are told at the nearest hour, or a day later."
                    )
                    % {"zone": zone, "day": written(day), "at": f"{hour:02}:00"}
                )
    return Timetable(_at(first[0]), _at(last[0]), first[1], last[1], coming, [*notes, *dict.fromkeys(said)])


def _late(policy: Policy, home: str, zones: list[str], told: dict[str, float], begins: datetime) -> list[str]:
    """Say for how many zones the wanted time is past when it begins."""
    at, day = time.fromisoformat(policy.local_time), _day(policy, home, begins)
    past = [zone for zone in zones if placed(datetime.combine(day, at), zone_or(zone, home)) < begins]
    if not past:
        return []
    which = _zones(past)
    said = (
        _("In %(which)s %(at)s is past when it begins: people there are told at once, when it begins.")
        if policy.late == "now"
        else _(
            "In %(which)s %(at)s is past when it begins: people there are told at %(at)s of their next day."
        )
    )
    return [said % {"which": which, "at": policy.local_time}]


def _zones(zones: list[str]) -> str:
    if len(zones) == 1:
        return zones[0]
    return _("%(count)s zones, as %(zone)s") % {"count": len(zones), "zone": zones[0]}


def _hours(policy: Policy, home: str, begins: datetime) -> list[str]:
    """Say what the window is, and how quiet hours stand in it."""
    start = policy.window_start or window.clock(begins.timestamp(), home)
    said = (
        _("Nobody is told outside %(first)s to %(last)s in %(zone)s; who is left is told in the next window.")
        if policy.window_end > start
        else _(
            "Nobody is told outside %(first)s to %(last)s of the next day in %(zone)s; who is left is told in the"
            " next window."
        )
    )
    return [
        said % {"first": start, "last": policy.window_end, "zone": home},
        _(
            "People whose quiet hours cover the window are left out; those whose quiet hours end in it are told then."
        ),
    ]


def _changes(policy: Policy, home: str, zones: list[str], begins: datetime) -> list[str]:
    """Say where the wanted time does not exist, or comes twice, on the day."""
    at, day = time.fromisoformat(policy.local_time), _day(policy, home, begins)
    notes = []
    for zone in zones:
        place = zone_or(zone, home)
        wall = datetime.combine(day, at)
        early, late = (offset(wall.replace(tzinfo=place, fold=fold)) for fold in (0, 1))
        if early < late:
            shown = placed(wall, place).astimezone(place)
            notes.append(
                _(
                    "In %(zone)s the clocks go forward that day and %(at)s does not exist: it is told at %(shown)s."
                )
                % {"zone": zone, "at": f"{at:%H:%M}", "shown": f"{shown:%H:%M}"}
            )
        elif early > late:
            notes.append(
                _(
                    "In %(zone)s the clocks go back that day and %(at)s comes twice: it is told the first time."
                )
                % {"zone": zone, "at": f"{at:%H:%M}"}
            )
    return notes


def _later_changes(
    policy: Policy,
    home: str,
    zones: list[str],
    comes: Callable[..., Iterable[datetime]],
    *,
    after: datetime,
    until: datetime,
) -> list[str]:
    """Say on which later days a recurring campaign's wanted time does not exist, or comes twice, and where.

    `comes` are its instants `after` one `until` another.
    """
    at, first = time.fromisoformat(policy.local_time), _day(policy, home, after)
    found: dict[tuple[date, str], list[str]] = {}
    for zone in zones:
        place = zone_or(zone, home)
        for change, before, later in _clock_changes(str(place), after.date(), until.date()):
            for day in (change.astimezone(place).date() + timedelta(days=days) for days in (-1, 0)):
                wall = datetime.combine(day, at)
                if day > first and recurrence.is_odd(wall, place):
                    told = f"{placed(wall, place).astimezone(place):%H:%M}" if later > before else ""
                    found.setdefault((day, told), []).append(zone)

    def is_told(day: date) -> bool:
        noon = datetime.combine(day, time(12), UTC)
        near = comes(after=noon - timedelta(days=3), until=noon + timedelta(days=3))
        return any(_day(policy, home, opened_by(policy, asked, home)) == day for asked in near)

    said = {
        True: _(
            "In %(which)s the clocks go forward on %(day)s and %(at)s does not exist: people there are told at"
            " %(shown)s."
        ),
        False: _(
            "In %(which)s the clocks go back on %(day)s and %(at)s comes twice: people there are told the first"
            " time."
        ),
    }
    return [
        said[bool(told)] % {"which": _zones(which), "day": written(day), "at": f"{at:%H:%M}", "shown": told}
        for (day, told), which in sorted(found.items())
        if is_told(day)
    ]


@lru_cache(maxsize=1_024)
def _clock_changes(zone: str, first: date, last: date) -> list[tuple[datetime, timedelta, timedelta]]:
    begin, end = (datetime.combine(day, time(), UTC) for day in (first, last))
    return list(recurrence.clock_changes(zone, after=begin, until=end))


def shown(at: datetime, zone: str) -> str:
    """Return an instant in a zone as people read it: the day, the time, and the zone's name."""
    place = ZoneInfo(zone)
    return f"{written(at.astimezone(place))} ({zone})"


def _day(policy: Policy, home: str, begins: datetime) -> date:
    if policy.local_date:
        return date.fromisoformat(policy.local_date)
    return begins.astimezone(zone_or(home)).date()


def _at(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)
