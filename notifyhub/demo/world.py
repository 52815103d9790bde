"""Sample people: where in the world they live and what they speak, drawn as the world's people are spread."""

import random
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from babel.core import get_global

OTHERS = 4.0
"""Millions taken for a country that stands not below."""
MILLIONS = {
    "IN": 1451, "CN": 1419, "US": 345, "ID": 283, "PK": 251, "NG": 233, "BR": 212, "BD": 174, "RU": 145,
    "ET": 132, "MX": 131, "JP": 124, "EG": 117, "PH": 116, "CD": 109, "VN": 101, "IR": 92, "TR": 87,
    "DE": 85, "TH": 72, "TZ": 69, "GB": 69, "FR": 67, "ZA": 64, "IT": 59, "KE": 56, "MM": 55, "CO": 53,
    "KR": 52, "SD": 50, "UG": 50, "ES": 48, "DZ": 47, "AR": 46, "IQ": 46, "AF": 43, "CA": 40, "PL": 39,
    "MA": 38, "UA": 38, "AO": 38, "SA": 34, "PE": 34, "AU": 27,
}  # fmt: skip
"""Inhabitants in millions, rounded (United Nations, World Population Prospects 2024, medium variant)."""

FIRST_NAMES = (
    "Ada", "Aiko", "Amara", "Anna", "Ayşe", "Babak", "Carlos", "Chen", "Chioma", "Daniel", "Elif", "Emeka",
    "Fatima", "Hana", "Ines", "Ivan", "Jamal", "João", "Kofi", "Lakshmi", "Léa", "Li", "Linh", "Maria",
    "Mei", "Mohammed", "Noor", "Olga", "Paulo", "Priya", "Quentin", "Ravi", "Rosa", "Samuel", "Siti",
    "Sofía", "Tariq", "Wanjiru", "Yuki", "Zofia",
)  # fmt: skip


class Person(msgspec.Struct, frozen=True):
    """A sample subscriber."""

    external_id: str
    first_name: str
    country: str
    locale: str
    time_zone: str
    plan: str
    consent: bool


@cache
def zones() -> dict[str, tuple[str, ...]]:
    """Return country → its time zones, from tzdata's `zone1970.tab` (the most populous first, as the table says)."""
    found: dict[str, list[str]] = {}
    table = (files("tzdata") / "zoneinfo" / "zone1970.tab").read_text(encoding="utf-8")
    for line in table.splitlines():
        if not line.startswith("#"):
            countries, _, zone = line.split("\t")[:3]
            for country in countries.split(","):
                found.setdefault(country, []).append(zone)
    return {country: tuple(names) for country, names in found.items()}


@cache
def languages() -> dict[str, tuple[tuple[str, float], ...]]:
    """Return country → its languages with the share of its people (percent), from babel's CLDR tables."""
    spoken: Mapping[str, dict[str, dict[str, Any]]] = get_global("territory_languages")
    return {
        country: tuple(
            (name.replace("_", "-"), float(facts["population_percent"])) for name, facts in tongues.items()
        )
        for country, tongues in spoken.items()
        if any(facts["population_percent"] for facts in tongues.values())
    }


def people(count: int, *, seed: int = 1) -> Iterator[Person]:
    """Yield sample people, the same for the same seed.

    A country is drawn by its inhabitants, then one of its zones (in a country with several, the
    first twice as likely as the second, and so on: the table puts the more populous first) and
    one of its languages by the share of people who speak it. Every fiftieth has not consented.
    """
    chance = random.Random(seed)
    countries = sorted(zones().keys() & languages().keys())
    weights = [MILLIONS.get(country, OTHERS) for country in countries]
    for number in range(1, count + 1):
        country = chance.choices(countries, weights)[0]
        local = zones()[country]
        tongues = languages()[country]
        language = chance.choices([name for name, _ in tongues], [share for _, share in tongues])[0]
        yield Person(
            external_id=f"person-{number:05}",
            first_name=chance.choice(FIRST_NAMES),
            country=country,
            locale=f"{language}-{country}",
            time_zone=chance.choices(local, [0.5**place for place in range(len(local))])[0],
            plan=chance.choice(("free", "free", "pro")),
            consent=number % 50 != 0,
        )
