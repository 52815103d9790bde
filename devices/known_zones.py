"""In which time zones an application's subscribers live, and which languages they read: for those who plan for them."""

from django.db.models import Count

from devices.models import Subscriber
from devices.short_memory import ShortMemory

SAMPLE = 2_000
MOST = 30

_zones: ShortMemory[list[str]] = ShortMemory(seconds=600.0, size=200)
_locales: ShortMemory[list[tuple[str, int]]] = ShortMemory(seconds=60.0, size=200)


def known_zones(application_id: int) -> list[str]:
    """Return the time zones that subscribers have, empty for the application's own; read every ten minutes."""
    found = _zones.get(str(application_id))
    if found is None:
        rows = Subscriber.objects.filter(application_id=application_id).order_by()
        found = sorted(rows.values_list("time_zone", flat=True).distinct())
        if found:
            _zones.put(str(application_id), found)
    return found


def known_locales(application_id: int) -> list[tuple[str, int]]:
    """Return the languages of the newest subscribers and how many of these have each, the commonest first."""
    found = _locales.get(str(application_id))
    if found is None:
        newest = Subscriber.objects.filter(application_id=application_id).order_by("-id")[:SAMPLE]
        rows = Subscriber.objects.filter(pk__in=newest.values("pk")).order_by()
        counted = rows.values_list("locale").annotate(people=Count("pk")).order_by("-people", "locale")
        found = [(locale, people) for locale, people in counted[:MOST] if locale]
        if found:
            _locales.put(str(application_id), found)
    return found


def forget() -> None:
    """Look anew at the next call."""
    _zones.clear()
    _locales.clear()
