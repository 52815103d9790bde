"""Recurring campaigns as people say them (“every weekday at 9”) and as crontabs; and when they come. Pure."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from campaigns.schedule import CrontabError, next_due, validate_crontab
from devices.wall_time import offset, placed

NEVER, DAILY, WEEKDAYS, WEEKLY, MONTHLY, CRONTAB = (
    "never",
    "daily",
    "weekdays",
    "weekly",
    "monthly",
    "crontab",
)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
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
            raise RepeatError("Choose at least one day of the week.")
        return f"{clock} * * {','.join(chosen)}"
    if repeat.kind == MONTHLY:
        if not 1 <= repeat.day <= 31:
            raise RepeatError("Choose a day of the month from 1 to 31.")
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
    at = f"at {repeat.at:%H:%M} in {zone}"
    if repeat.kind == NEVER:
        return "Once."
    if repeat.kind == DAILY:
        return f"Every day {at}."
    if repeat.kind == WEEKDAYS:
        return f"Every weekday (Monday to Friday) {at}."
    if repeat.kind == WEEKLY:
        names = [name for day, name in zip(DAYS, DAY_NAMES, strict=True) if day in repeat.days]
        return f"Every {_listed(names)} {at}."
    if repeat.kind == MONTHLY:
        few = " Months without that day are left out." if repeat.day > 28 else ""
        return f"On day {repeat.day} of every month {at}.{few}"
    return f"By the crontab {crontab} in {zone}."


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
            f"That is more often than every {SHORTEST.seconds // 60} minutes; for that use a rule on events."
        )


def oddities(crontab: str, zone: str, *, after: datetime, until: datetime) -> list[str]:
    """Return, a sentence each, what clock changes of a zone do to a crontab's occurrences between two instants."""
    place = ZoneInfo(zone)
    repeat = from_crontab(crontab)
    found = []
    for change, before, later in clock_changes(zone, after=after, until=until):
        day = change.astimezone(place)
        forward = later > before
        moved = f"{'forward' if forward else 'back'} by {_span(abs(later - before))}"
        said = f"On {day:%-d %B %Y} the clocks in {zone} go {moved}"
        if repeat.kind in (NEVER, CRONTAB):
            found.append(f"{said}: the times stay those of the wall clock.")
            continue
        walls = [datetime.combine(day.date() + timedelta(days=days), repeat.at) for days in (-1, 0)]
        wall = next((one for one in walls if _is_odd(one, place)), None)
        if wall is None:
            found.append(f"{said}: it still comes at {repeat.at:%H:%M} of the wall clock.")
            continue
        shown = placed(wall, place).astimezone(place)
        if forward:
            found.append(f"{said} and {repeat.at:%H:%M} does not exist: it comes at {shown:%H:%M}, once.")
        else:
            found.append(f"{said} and {repeat.at:%H:%M} comes twice: it is told the first time only.")
    return found


def clock_changes(
    zone: str, *, after: datetime, until: datetime
) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """Yield the clock changes of a zone: the instant (UTC), and the offset from UTC before and from then on."""
    place = ZoneInfo(zone)
    at = after.astimezone(UTC)
    while at < until:
        step = min(at + timedelta(days=1), until)
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


def _is_odd(wall: datetime, place: ZoneInfo) -> bool:
    """Return whether a wall time is skipped or occurs twice."""
    return offset(wall.replace(tzinfo=place, fold=0)) != offset(wall.replace(tzinfo=place, fold=1))


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _span(length: timedelta) -> str:
    minutes = length.seconds // 60
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
