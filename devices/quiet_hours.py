"""Quiet hours as text: `22:00-08:00` of a person's own clock, `off` for none, empty for the application's.

Pure; the planner says when they begin and end (`delivery.policy.quiet_hours`).
"""

import re
from datetime import time
from functools import lru_cache

from devices.words import gettext as _

OFF = "off"
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class QuietHoursError(ValueError):
    """A text that names no quiet hours, with a sentence."""


@lru_cache(maxsize=4_096)
def parse(text: str) -> tuple[time, time] | None:
    """Return the wall times at which quiet hours begin and end, None for empty and `off`.

    Those that end before they begin go over midnight. Raises `QuietHoursError`.
    """
    if not text or text == OFF:
        return None
    found = _HOURS.fullmatch(text)
    if found is None:
        raise QuietHoursError(
            _("“%(text)s” names no quiet hours; write from and until, as 22:00-08:00, or off.")
            % {"text": text}
        )
    hours = [int(part) for part in found.groups()]
    begin, end = time(hours[0], hours[1]), time(hours[2], hours[3])
    if begin == end:
        raise QuietHoursError(_("“%(text)s” would be the whole day; write another end.") % {"text": text})
    return begin, end
