"""Frequency caps as an application keeps them: at most so many notifications to one person in so many hours. Pure."""

from typing import Any

import msgspec

from devices.words import gettext as _

MOST_CAPS = 5
LONGEST_HOURS = 30 * 24
MOST_COUNT = 1_000


class Cap(msgspec.Struct, frozen=True):
    """At most `count` notifications of a category (by key; None: of all together) in any `hours` on end."""

    category: str | None
    count: int
    hours: int

    @property
    def seconds(self) -> float:
        return self.hours * 3600.0

    @property
    def name(self) -> str:
        """What its reservations are kept under; another count is the same cap."""
        return f"{self.category or '*'}:{self.hours}"


class CapError(ValueError):
    """A list that holds no frequency caps: which of them (from 1), and a sentence."""


def parse(value: Any) -> tuple[Cap, ...]:
    """Return the caps of JSON values, as `[{"category": null, "count": 3, "hours": 24}]`; raises `CapError`."""
    if not isinstance(value, list):
        raise CapError(_('Write a list, as [{"category": null, "count": 3, "hours": 24}].'))
    if len(value) > MOST_CAPS:
        raise CapError(
            _("There are %(count)s caps; %(most_caps)s are the most.")
            % {"count": len(value), "most_caps": MOST_CAPS}
        )
    caps: dict[str, Cap] = {}
    for number, one in enumerate(value, 1):
        cap = _cap(number, one)
        if cap.name in caps:
            raise CapError(
                _("Cap %(number)s: there is one for the same category and hours already.")
                % {"number": number}
            )
        caps[cap.name] = cap
    return tuple(caps.values())


def _cap(number: int, value: Any) -> Cap:
    if not isinstance(value, dict) or not value.keys() <= {"category", "count", "hours"}:
        raise CapError(
            _("Cap %(number)s: write an object of category, count and hours.") % {"number": number}
        )
    category = value.get("category")
    if category is not None and (not isinstance(category, str) or not category):
        raise CapError(
            _("Cap %(number)s: category is the key of one, or null for all together.") % {"number": number}
        )
    for name, most in (("count", MOST_COUNT), ("hours", LONGEST_HOURS)):
        found = value.get(name)
        if type(found) is not int or not 1 <= found <= most:
            raise CapError(
                _("Cap %(number)s: %(name)s is a whole number from 1 to %(most)s.")
                % {"number": number, "name": name, "most": most}
            )
    return Cap(category, value["count"], value["hours"])
