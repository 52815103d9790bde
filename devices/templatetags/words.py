"""Filters of what people read in templates."""

from datetime import datetime

from django import template

from devices import words

register = template.Library()
register.filter("within", words.within)


@register.filter
def instant(at: str) -> str:
    """Return an instant of ISO 8601 to the second, in the viewer's zone."""
    return words.instant(datetime.fromisoformat(at))
