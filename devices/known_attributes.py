"""Which attributes an application's subscribers have, as far as a small sample tells: for those who write texts."""

from typing import Any

import msgspec

from devices.models import Subscriber
from devices.short_memory import ShortMemory

SAMPLE = 200
"""Of the newest and of the oldest subscribers."""
MOST = 100
LONGEST_EXAMPLE = 40


class Attribute(msgspec.Struct, frozen=True):
    """An attribute as a text names it (`address.city`), how many of the sample have it, and what one of them holds."""

    name: str
    people: int
    example: str


_memory: ShortMemory[list[Attribute]] = ShortMemory(seconds=60.0, size=200)


def known_attributes(application_id: int) -> list[Attribute]:
    """Return the attributes of an application's subscribers, the commonest first; two queries by key, once a minute."""
    found = _memory.get(str(application_id))
    if found is None:
        found = _read(application_id)
        if found:  # whoever has nobody yet looks again at once: the first import must show
            _memory.put(str(application_id), found)
    return found


def forget() -> None:
    """Look anew at the next call."""
    _memory.clear()


def _read(application_id: int) -> list[Attribute]:
    rows = Subscriber.objects.filter(application_id=application_id)
    looked: dict[int, Any] = {}
    for order in ("-id", "id"):
        looked.update(rows.order_by(order).values_list("id", "attributes")[:SAMPLE])
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    for attributes in looked.values():
        for name, value in _flat(attributes):
            counts[name] = counts.get(name, 0) + 1
            if not examples.get(name):
                examples[name] = _example(value)
    names = sorted(counts, key=lambda name: (-counts[name], name))[:MOST]
    return [Attribute(name, counts[name], examples[name]) for name in names]


def _flat(attributes: Any) -> list[tuple[str, Any]]:
    """Return attributes and, one level down, the parts of those that are objects."""
    if not isinstance(attributes, dict):
        return []
    found: list[tuple[str, Any]] = []
    for name, value in attributes.items():
        if isinstance(value, dict):
            found += [
                (f"{name}.{part}", inner) for part, inner in value.items() if not isinstance(inner, dict)
            ]
        else:
            found.append((name, value))
    return found


def _example(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_EXAMPLE else text[: LONGEST_EXAMPLE - 1] + "…"
