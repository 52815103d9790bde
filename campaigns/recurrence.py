"""Recurring campaigns as people say them (“every weekday at 9”) and as crontabs; and when they come. Pure."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from campaigns.schedule import CrontabError, next_due, validate_crontab
from devices.wall_time import offset, placed
from devices.words import all_of, gettext_noop, written
from devices.words import gettext as _

NEVER, DAILY, WEEKDAYS, WEEKLY, MONTHLY, CRONTAB = (
    "never",
    "daily",
    "weekdays",
    "weekly",
    "monthly",
    "crontab",
)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES = (
    gettext_noop("Monday"),
    gettext_noop("Tuesday"),
    gettext_noop("Wednesday"),
    gettext_noop("Thursday"),
    gettext_noop("Friday"),
    gettext_noop("Saturday"),
    gettext_noop("Sunday"),
)
SHORTEST = timedelta(minutes=15)
"""What is told more often than this is an event's affair, not a campaign's."""
LOOKED_AT = 50

_NUMBER = re.compile(r"\d{1,2}")


class Repeat(NamedTuple):
    """How a campaign repeats: a `kind`, at a wall time, on `days` of the week or a `day` of the month, or a crontab."""

    kind: str = NEVER
    at: time = time(9)
    days: tuple[str, ...] = ()
    day: int = 1
    crontab: str = ""


class RepeatError(ValueError):
    """A repetition that cannot be; the sentence says how to put it right."""


def to_crontab(repeat: Repeat) -> str:
    """Return a repetition as a crontab, empty for none; raises `RepeatError`."""
    clock = f"{repeat.at.minute} {repeat.at.hour}"
    if repeat.kind == NEVER:
        return ""
    if repeat.kind == DAILY:
        return f"{clock} * * *"
    if repeat.kind == WEEKDAYS:
        return f"{clock} * * mon-fri"
    if repeat.kind == WEEKLY:
        chosen = [day for day in DAYS if day in repeat.days]
        if not chosen:
            raise RepeatError(_("Choose at least one day of the week."))
        return f"{clock} * * {','.join(chosen)}"
    if repeat.kind == MONTHLY:
        if not 1 <= repeat.day <= 31:
            raise RepeatError(_("Choose a day of the month from 1 to 31."))
        return f"{clock} {repeat.day} * *"
    try:
        validate_crontab(repeat.crontab)
    except CrontabError as error:
        raise RepeatError(str(error)) from None
    return " ".join(repeat.crontab.split())


def from_crontab(crontab: str) -> Repeat:
    """Return the repetition that a crontab is; one that no form says is a `crontab`."""
    if not crontab:
        return Repeat()
    fields = crontab.split()
    other = Repeat(CRONTAB, crontab=crontab)
    if len(fields) != 5 or not (_NUMBER.fullmatch(fields[0]) and _NUMBER.fullmatch(fields[1])):
        return other
    minute, hour, day, month, weekday = fields
    if int(minute) > 59 or int(hour) > 23 or month != "*":
        return other
    at = time(int(hour), int(minute))
    if (day, weekday) == ("*", "*"):
        return Repeat(DAILY, at)
    if (day, weekday) == ("*", "mon-fri"):
        return Repeat(WEEKDAYS, at)
    days = tuple(weekday.split(","))
    if day == "*" and all(one in DAYS for one in days) and list(days) == [one for one in DAYS if one in days]:
        return Repeat(WEEKLY, at, days)
    if weekday == "*" and _NUMBER.fullmatch(day) and 1 <= int(day) <= 31 and str(int(day)) == day:
        return Repeat(MONTHLY, at, day=int(day))
    return other


def sentence(crontab: str, zone: str) -> str:
    """Return a crontab in words."""
    repeat = from_crontab(crontab)
    when = {"at": f"{repeat.at:%H:%M}", "zone": zone, "day": repeat.day, "crontab": crontab}
    if repeat.kind == NEVER:
        return _("Once.")
    if repeat.kind == DAILY:
        return _("Every day at %(at)s in %(zone)s.") % when
    if repeat.kind == WEEKDAYS:
        return _("Every weekday (Monday to Friday) at %(at)s in %(zone)s.") % when
    if repeat.kind == WEEKLY:
        names = [_(name) for day, name in zip(DAYS, DAY_NAMES, strict=True) if day in repeat.days]
        return _("Every %(days)s at %(at)s in %(zone)s.") % {**when, "days": all_of(names)}
    if repeat.kind == MONTHLY:
        said = _("On day %(day)s of every month at %(at)s in %(zone)s.") % when
        return f"{said} {_('Months without that day are left out.')}" if repeat.day > 28 else said
    return _("By the crontab %(crontab)s in %(zone)s.") % when


def occurrences(
    crontab: str, zone: str, *, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """Yield the instants (UTC) after `after` (aware) at which a crontab is due, up to `until`.

    Raises `campaigns.schedule.CrontabError` and `ZoneError`.
    """
    at = after
    while True:
        at = next_due(crontab, zone, at)
        if until is not None and at > until:
            return
        yield at


def check_pace(crontab: str, zone: str, *, after: datetime) -> None:
    """Refuse what would be told more often than every `SHORTEST`; raises `RepeatError`."""
    coming = list(islice(occurrences(crontab, zone, after=after), LOOKED_AT))
    if any(second - first < SHORTEST for first, second in pairwise(coming)):
        raise RepeatError(
            _("That is more often than every %(minutes)s minutes; for that use a rule on events.")
            % {"minutes": SHORTEST.seconds // 60}
        )


def oddities(crontab: str, zone: str, *, after: datetime, until: datetime) -> list[str]:
    """Return, a sentence each, what clock changes of a zone do to a crontab's occurrences between two instants."""
    place = ZoneInfo(zone)
    repeat = from_crontab(crontab)
    found = []
    for change, before, later in clock_changes(zone, after=after, until=until):
        day = change.astimezone(place)
        forward = later > before
        moved = (
            _("On %(day)s the clocks in %(zone)s go forward by %(span)s")
            if forward
            else _("On %(day)s the clocks in %(zone)s go back by %(span)s")
        )
        said = moved % {"day": written(day.date()), "zone": zone, "span": _span(abs(later - before))}
        at = f"{repeat.at:%H:%M}"
        if repeat.kind in (NEVER, CRONTAB):
            found.append(_("%(said)s: the times stay those of the wall clock.") % {"said": said})
            continue
        walls = [datetime.combine(day.date() + timedelta(days=days), repeat.at) for days in (-1, 0)]
        wall = next((one for one in walls if is_odd(one, place)), None)
        if wall is None:
            found.append(
                _("%(said)s: it still comes at %(at)s of the wall clock.") % {"said": said, "at": at}
            )
            continue
        shown = f"{placed(wall, place).astimezone(place):%H:%M}"
        if forward:
            found.append(
                _("%(said)s and %(at)s does not exist: it comes at %(shown)s, once.")
                % {"said": said, "at": at, "shown": shown}
            )
        else:
            found.append(
                _("%(said)s and %(at)s comes twice: it is told the first time only.")
                % {"said": said, "at": at}
            )
    return found


def clock_changes(
    zone: str, *, after: datetime, until: datetime
) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """Yield the clock changes of a zone: the instant (UTC), and the offset from UTC before and from then on.

    It looks at one instant a week: no zone changes its clocks there and back within one.
    """
    place = ZoneInfo(zone)
    at = after.astimezone(UTC)
    while at < until:
        step = min(at + timedelta(days=7), until)
        before, later = offset(at.astimezone(place)), offset(step.astimezone(place))
        if before != later:
            low, high = at, step
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                if offset(middle.astimezone(place)) == before:
                    low = middle
                else:
                    high = middle
            yield high.replace(microsecond=0), before, later
        at = step


def is_odd(wall: datetime, place: ZoneInfo) -> bool:
    """Return whether a wall time is skipped or occurs twice."""
    return offset(wall.replace(tzinfo=place, fold=0)) != offset(wall.replace(tzinfo=place, fold=1))


def _span(length: timedelta) -> str:
    minutes = length.seconds // 60
    hours = _("%(hours)s h") % {"hours": minutes // 60}
    return hours if minutes % 60 == 0 else _("%(minutes)s min") % {"minutes": minutes}
