"""Who of an audience wants to hear of a campaign."""

from django.db.models import QuerySet

from devices.models import Category, Preference, Subscriber


def willing(audience: QuerySet[Subscriber], category: Category | None) -> QuerySet[Subscriber]:
    """Return those of an audience who want notifications, and those of this category."""
    found = audience.filter(consent=True)
    if category is None:
        return found
    chosen = Preference.objects.filter(category=category)
    if category.opt_in:
        return found.filter(pk__in=chosen.filter(allowed=True).values("subscriber"))
    return found.exclude(pk__in=chosen.filter(allowed=False).values("subscriber"))
