"""What people read, for modules that know no framework: English until the admin's language is asked for."""

from collections.abc import Callable
from datetime import date, datetime

Translate = Callable[[str], str]
Plural = Callable[[str, str, int], str]
Write = Callable[[date], str]


def _iso(when: date) -> str:
    return f"{when:%-d %b %Y, %H:%M}" if isinstance(when, datetime) else f"{when:%-d %B %Y}"


def _english(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


_gettext: Translate = str
_ngettext: Plural = _english
_write: Write = _iso


def speak(translate: Translate, plural: Plural, write: Write) -> None:
    """Say everything from now on through these: of the language that is asked for when it is said."""
    global _gettext, _ngettext, _write
    _gettext, _ngettext, _write = translate, plural, write


def gettext(text: str) -> str:
    """Return a text in the language that is asked for."""
    return _gettext(text)


def ngettext(one: str, many: str, count: int) -> str:
    """Return the text for so many, in the language that is asked for."""
    return _ngettext(one, many, count)


def gettext_noop(text: str) -> str:
    """Return a text as it is, marked to be translated where it is said."""
    return text


def written(when: date) -> str:
    """Return a day, or a day and time of its own clock, as the language writes them."""
    return _write(when)
