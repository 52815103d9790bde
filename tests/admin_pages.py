"""Every page of the admin, found by its addresses: what is registered later is among them without being listed."""

import re
from collections import Counter
from collections.abc import Iterator

from django.contrib.auth.models import User
from django.test import Client
from django.urls import NoReverseMatch, reverse

from devices import preference_links
from devices.models import Subscriber
from tests.admin_world import World
from tests.test_isolation_admin import addresses_of, admin_patterns

SAME = re.compile(r"/history/$|/delete/$")
"""Pages that are one template for every model: the first two of each stand for all."""
CONFIRMS = b" nh-confirm"
"""In the page that asks before something is done, which is one template for every button."""
FRAGMENTS = ("_numbers",)
"""Parts of a page, which scripts fetch."""


def pages(world: World, boss: User) -> list[tuple[str, str]]:
    """Return the name and address of every page of the admin that a superuser sees, and of those around it."""
    browser = Client(HTTP_HOST="127.0.0.1", raise_request_exception=False)
    browser.force_login(boss)
    found: list[tuple[str, str]] = []
    known: set[str] = set()
    seen: Counter[str] = Counter()
    for name, address in _addresses(world, boss):
        if address in known or name.endswith(FRAGMENTS):
            continue
        known.add(address)
        answer = browser.get(address)
        text = b"" if answer.streaming else answer.content
        if answer.status_code != 200 or b"</html>" not in text:
            continue
        alike = SAME.search(address)
        kind = alike[0] if alike else "confirm" if CONFIRMS in text else ""
        seen[kind] += 1
        if not kind or seen[kind] <= 2:
            found.append((name, address))
    return found


def _addresses(world: World, boss: User) -> Iterator[tuple[str, str]]:
    for name, route in admin_patterns():
        if "<" not in route and name != "logout":
            try:
                yield name, reverse(f"admin:{name}")
            except NoReverseMatch:
                continue
    for row in [*world.rows, boss]:
        for address in addresses_of(row):
            yield _name(address), address
    person = world.of(Subscriber)
    yield "why_person", f"{reverse('admin:campaigns_why')}?person={person.pk}"
    token, _end = preference_links.make(person)
    yield "preferences", reverse("preferences", args=[token])
    yield "preferences_opt_out", reverse("preferences-opt-out", args=[token])


def _name(address: str) -> str:
    """Return a page's name: the address without keys."""
    return "_".join(part for part in address.strip("/").split("/")[1:] if not part.isdigit())
