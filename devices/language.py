"""In which language and whose time pages say something: what `devices.words` asks Django for."""

from datetime import UTC, date, datetime

from django.utils import timezone, translation
from django.utils.formats import date_format, number_format

from devices.words import Tongue


def moment(at: datetime) -> str:
    """Return an instant in the time zone that is active, as the active language writes it, with the zone's name."""
    return f"{written(timezone.localtime(at))} {zone_name()}"


def zone_name() -> str:
    """Return the name of the time zone that is active, as Europe/Berlin or UTC."""
    return timezone.get_current_timezone_name()


def written(when: date) -> str:
    """Return a day, or a day and time of its own clock, as the active language writes them."""
    if not isinstance(when, datetime):
        return date_format(when, translation.pgettext("how a date is written", "j F Y"))
    # what is asked for is the wall clock: no other zone may move it
    return date_format(
        when.replace(tzinfo=UTC), translation.pgettext("how a date is written", "D j M Y, H:i")
    )


def instant(at: datetime) -> str:
    """Return an instant to the second in the time zone that is active, with the zone's name."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S} {zone_name()}"


def within(label: str) -> str:
    """Return a label as it stands within a sentence: German nouns keep their capitals there."""
    return label.lower() if (translation.get_language() or "en").startswith("en") else label


def number(count: int) -> str:
    """Return a whole number as the active language groups its digits."""
    return str(number_format(count, force_grouping=True))


def percent(share: float, digits: int, sign: bool) -> str:
    """Return a share, 1 being the whole, in per cent as the active language writes it."""
    plus = "+" if sign and share >= 0 else ""
    value = number_format(round(100 * share, digits), digits, use_l10n=True)
    return plus + translation.pgettext("per cent", "%(number)s%%") % {"number": value}


TONGUE = Tongue(translation.gettext, translation.ngettext, written, instant, number, percent, within)
