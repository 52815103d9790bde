"""Facts for tests of the planner: people, candidates, and the days on which clocks change."""

import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from delivery.policy import Candidate
from delivery.snapshot import Named
from devices.person import Person, Target

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC).timestamp()
"""A Monday noon; 14:00 in Berlin."""


def at(text: str) -> float:
    """Return an instant of RFC 3339 text in epoch seconds."""
    return datetime.fromisoformat(text).timestamp()


def target(zone: str, number: int = 1) -> Target:
    return Target(number, uuid.UUID(int=number).bytes, "android", "fcm", f"t{number}", False, "", zone)


def candidate(
    *,
    consent: bool = True,
    allowed: bool | None = None,
    number: int = 1,
    zone: str = "",
    quiet: str = "",
    devices: list[Target] | None = None,
    notification: int | None = None,
    **named: Any,
) -> Candidate:
    uid = uuid.UUID(int=number).bytes
    person = Person(number, uid, f"s{number}", "", zone, "{}", consent, allowed, devices or [], quiet)
    identity = uuid.UUID(int=number if notification is None else notification).bytes
    return Candidate(person, Named(number, **named), identity)


@cache
def changes() -> list[tuple[str, datetime]]:
    """Return every change of a zone's clock in 2026 and 2027, with the instant to the minute."""
    found = []
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        day = datetime(2026, 1, 1, tzinfo=UTC)
        while day.year < 2028:
            after = day + timedelta(days=5)
            if day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
                low, high = day, after
                while high - low > timedelta(minutes=1):
                    middle = low + (high - low) // 2
                    middle = middle.replace(second=0, microsecond=0)
                    if middle in (low, high):
                        break
                    if middle.astimezone(zone).utcoffset() == day.astimezone(zone).utcoffset():
                        low = middle
                    else:
                        high = middle
                found.append((name, high))
            day = after
    return found
