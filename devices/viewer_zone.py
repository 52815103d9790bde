"""The time zone of the clock that a page is looked at by: the browser's own, kept in a cookie."""

from urllib.parse import unquote

from django.http import HttpRequest

from devices.wall_time import zone_names

COOKIE = "nh_zone"
"""In which `viewer.js` keeps the zone of the browser's clock."""


def browser_zone(request: HttpRequest) -> str:
    """Return the time zone that the browser said it is in, empty when it said none that there is."""
    asked = unquote(request.COOKIES.get(COOKIE, ""))
    return asked if asked in zone_names() else ""
