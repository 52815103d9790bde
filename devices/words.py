"""What people read, for modules that know no framework: English until `speak` names who translates.

`devices.apps` names Django's translation, so a text is said in the language that is active when it is said.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime


def _plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def _write(when: date) -> str:
    return f"{when:%a %-d %b %Y, %H:%M}" if isinstance(when, datetime) else f"{when:%-d %B %Y}"


def _percent(share: float, digits: int, sign: bool) -> str:
    return f"{share:{'+' if sign else ''}.{digits}%}"


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True)
class Tongue:
    """How texts, plurals, dates and numbers are said, and a label that stands within a sentence."""

    translate: Callable[[str], str] = str
    plural: Callable[[str, str, int], str] = _plural
    write: Callable[[date], str] = _write
    instant: Callable[[datetime], str] = _instant
    number: Callable[[int], str] = "{:,}".format
    percent: Callable[[float, int, bool], str] = _percent
    within: Callable[[str], str] = str.lower


_tongue = Tongue()


def speak(tongue: Tongue) -> None:
    """Say everything so from now on."""
    global _tongue
    _tongue = tongue


def gettext(text: str) -> str:
    """Return a text in the language that is active."""
    return _tongue.translate(text)


def ngettext(one: str, many: str, count: int) -> str:
    """Return the text for so many in the language that is active."""
    return _tongue.plural(one, many, count)


def gettext_noop(text: str) -> str:
    """Return a text as it is: marked here, translated where it is said."""
    return text


def written(when: date) -> str:
    """Return a day, or a day and time of its own clock, as the active language writes them."""
    return _tongue.write(when)


def instant(at: datetime) -> str:
    """Return an instant to the second, with the time zone that it is told in: whoever looks has theirs."""
    return _tongue.instant(at)


def number(count: int) -> str:
    """Return a whole number as the active language groups its digits."""
    return _tongue.number(count)


def percent(share: float, digits: int = 1, *, sign: bool = False) -> str:
    """Return a share, 1 being the whole, in per cent as the active language writes it."""
    return _tongue.percent(share, digits, sign)


def within(label: object) -> str:
    """Return a label as it stands within a sentence: English begins it with a small letter there."""
    return _tongue.within(str(label))


def no_zone(name: str) -> str:
    """Say that a name is in no time zone database, and how one is written."""
    return gettext(
        "“%(name)s” is no IANA time zone; write one such as Europe/Berlin or America/Sao_Paulo."
    ) % {"name": name}


def one_of(items: Sequence[str]) -> str:
    """Return `a, b or c`."""
    if len(items) < 2:
        return "".join(items)
    return gettext("%(first)s or %(last)s") % {"first": _listed(items[:-1]), "last": items[-1]}


def all_of(items: Sequence[str]) -> str:
    """Return `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return gettext("%(first)s and %(last)s") % {"first": _listed(items[:-1]), "last": items[-1]}


def _listed(items: Sequence[str]) -> str:
    return gettext(", ").join(items)
