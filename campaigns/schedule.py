"""When a crontab is due, in a zone's wall time: a skipped time runs once after the gap, a doubled one once.

Crontabs are evaluated as wall time without a zone and then placed on the world's clock. A wall
time that a clock change skips is placed at the first instant after the gap; one that occurs
twice at the first. Placing keeps the order, and wall times placed at one instant are due once.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterBadDateError, CroniterError

from devices.wall_time import offset, placed
from devices.words import gettext as _

_FIELDS = ("minute", "hour", "day", "month", "weekday")
_FIELD = re.compile(r"[0-9A-Za-z*,/#-]+")
YEARS = 8
"""How far ahead a crontab is looked for; 29 February is 8 years away at most."""


class CrontabError(ValueError):
    """A crontab that cannot be read or never comes, with the reason."""


class ZoneError(ValueError):
    """A name that is no IANA time zone."""


@lru_cache(maxsize=1_024)
def validate_crontab(text: str) -> None:
    """Refuse a crontab that cannot be read, or that never comes as `0 0 30 2 *`; raises `CrontabError`."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise CrontabError(
            _(
                "A crontab has five fields (minute hour day month weekday), as 0 9 * * mon-fri; this has %(count)s."
            )
            % {"count": len(fields)}
        )
    for name, field in zip(_FIELDS, fields, strict=True):
        if not _FIELD.fullmatch(field):
            raise CrontabError(
                _("The %(name)s “%(field)s” cannot be read; write numbers, *, 1,2 or 1-5 or */5.")
                % {"name": name, "field": field}
            )
    try:
        croniter.expand(text)
        next(_wall_times(text, datetime(2024, 1, 1), "next"))  # noqa: DTZ001  (a wall time)
    except CroniterBadDateError:
        raise CrontabError(_("“%(text)s” never comes: no day is like that.") % {"text": text}) from None
    except (CroniterError, ValueError, KeyError) as error:
        raise CrontabError(
            _("“%(text)s” cannot be read: %(error)s") % {"text": text, "error": str(error)[:200]}
        ) from None


def next_due(crontab: str, zone: str, after: datetime) -> datetime:
    """Return the first due instant (UTC) after `after`, which must be aware.

    Raises `CrontabError` and `ZoneError`.
    """
    place = _zone(zone)
    validate_crontab(crontab)
    for wall in _wall_times(crontab, after.astimezone(place).replace(tzinfo=None), "next"):
        instant = placed(wall, place)
        if instant > after:
            return instant
    raise CrontabError(_("“%(crontab)s” does not come again.") % {"crontab": crontab})


def last_due(crontab: str, zone: str, until: datetime) -> datetime:
    """Return the last due instant (UTC) at or before `until`, which must be aware.

    A clock that was off for long asks for this one: it sends one event for the most recent
    missed instant, not one for each. Raises `CrontabError` and `ZoneError`.
    """
    place = _zone(zone)
    validate_crontab(crontab)
    local = until.astimezone(place)
    wall = local.replace(tzinfo=None, fold=0)
    if local.fold:
        # the second pass of a doubled hour: wall times later than this one have had their first pass already
        wall += offset(local.replace(fold=0)) - offset(local)
    for before in _wall_times(crontab, wall + timedelta(seconds=1), "prev"):
        instant = placed(before, place)
        if instant <= until:
            return instant
    raise CrontabError(_("“%(crontab)s” has not come yet.") % {"crontab": crontab})


def _wall_times(crontab: str, start: datetime, direction: str) -> Iterator[datetime]:
    steps = croniter(crontab, start, max_years_between_matches=YEARS)
    step = steps.get_next if direction == "next" else steps.get_prev
    while True:
        yield step(datetime)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ZoneError(
            _("“%(name)s” is no IANA time zone; write one such as Europe/Berlin.") % {"name": name}
        ) from None
