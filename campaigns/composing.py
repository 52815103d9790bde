"""Between what a marketer writes into the composer's fields and what a campaign keeps. Pure.

A campaign keeps options and what differs by platform as objects; the composer has a field for everything that people
write. What has no field, and what nobody touched, stays as it was.
"""

import copy
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from campaigns.content import PLATFORMS

Values = dict[str, Any]

TEXTS = ("title", "subtitle", "body", "image", "link", "sound")
"""What may be said otherwise on a platform, a field of text each; `badge` and `data` may be, too."""
LOCALE_TEXTS = ("title", "subtitle", "body", "image", "link")
"""What may be said otherwise in a language, a field each."""
WITH_OPTIONS = ("android", "ios", "web")
BUTTON = ("action", "title", "navigate")
"""What the composer shows of a button."""
MOST_BUTTONS = 4

_PLAIN = re.compile(r"[^a-z0-9]+")


def override_field(platform: str, name: str) -> str:
    """Return the name of the composer's field for a text, the badge, the data or the buttons on one platform."""
    return f"{platform}__{name}"


def options_field(platform: str) -> str:
    """Return the name of the composer's field for the options of a platform that have no field of their own."""
    return f"{platform}_options"


PLACES: dict[str, tuple[str, ...]] = {
    "android_channel_id": ("android", "channel_id"),
    "android_priority": ("android", "priority"),
    "android_color": ("android", "color"),
    "ios_interruption_level": ("ios", "interruption_level"),
    "ios_thread_id": ("ios", "thread_id"),
    "ios_category": ("ios", "category"),
    "web_icon": ("web", "icon"),
    "web_require_interaction": ("web", "require_interaction"),
    "buttons": ("web", "actions"),
    override_field("web", "buttons"): ("overrides", "web", "web", "actions"),
    **{
        override_field(platform, name): ("overrides", platform, name)
        for platform in PLATFORMS
        for name in (*TEXTS, "badge", "data")
    },
}
"""The composer's fields, and where in a campaign it is kept what they say."""
_FIELDS = {place: field for field, place in PLACES.items()}
KEPT_IN = (*WITH_OPTIONS, "overrides")
"""The fields of a campaign which `closed` makes."""


def opened(campaign: Any) -> Values:
    """Return the values of the composer's fields for a campaign."""
    whole = {name: getattr(campaign, name) or {} for name in KEPT_IN}
    values: Values = {field: _at(whole, place) for field, place in PLACES.items()}
    for platform in PLATFORMS:
        badge = override_field(platform, "badge")
        values[badge] = None if values[badge] is None else str(values[badge])  # the API takes numbers too
    return values | {options_field(name): _plain_options(name, whole[name]) for name in WITH_OPTIONS}


def closed(values: Mapping[str, Any], before: Any) -> Values:
    """Return what a campaign keeps in `KEPT_IN` for the values of the composer's fields.

    `before` is the campaign as it was: what has no field, or whose field is not among the values or says what it said,
    stays.
    """
    kept: Values = {name: copy.deepcopy(getattr(before, name) or {}) for name in KEPT_IN}
    was = opened(before)
    for field, place in PLACES.items():
        if field in values and not _same(field, values[field], was[field]):
            _put(kept, place, values[field])
    for platform in WITH_OPTIONS:
        field = options_field(platform)
        if field in values:
            others = {name: value for name, value in kept[platform].items() if name not in was[field]}
            kept[platform] = {**others, **values[field]}
    return kept


def without_field(campaign: Any) -> dict[str, list[str]]:
    """Return what a campaign keeps that the composer does not show, as paths of the API, by platform or `locales`."""
    found: dict[str, list[str]] = {name: [] for name in (*PLATFORMS, "locales")}
    for platform in WITH_OPTIONS:
        options = getattr(campaign, platform) or {}
        shown = _plain_options(platform, options)
        found[platform] += [
            f"{platform}.{name}" for name in options if (platform, name) not in _FIELDS and name not in shown
        ]
    found["web"] += _more_of_buttons("web.actions", (campaign.web or {}).get("actions"))
    for platform, said in (campaign.overrides or {}).items():
        for name, value in said.items():
            place = ("overrides", platform, name)
            inner = [(*place, one) for one in value] if name in WITH_OPTIONS else [place]
            found.setdefault(platform, []).extend(".".join(one) for one in inner if one not in _FIELDS)
    buttons = _at(campaign.overrides, PLACES[override_field("web", "buttons")][1:])
    found["web"] += _more_of_buttons("overrides.web.web.actions", buttons)
    for tag, said in (campaign.locales or {}).items():
        found["locales"] += [f"locales.{tag}.{name}" for name in said if name not in LOCALE_TEXTS]
    return found


def _more_of_buttons(where: str, buttons: Any) -> list[str]:
    return [
        f"{where}.{number}.{name}"
        for number, one in enumerate(buttons or [])
        for name in one
        if name not in BUTTON
    ]


def _plain_options(platform: str, options: Mapping[str, Any]) -> Values:
    """Return the options that have no field of their own and can be written in one line."""
    return {
        name: value
        for name, value in options.items()
        if (platform, name) not in _FIELDS and isinstance(value, str | int | float)
    }


def _at(whole: Any, place: tuple[str, ...]) -> Any:
    for step in place:
        whole = whole.get(step) if isinstance(whole, dict) else None
    return whole


def _same(field: str, value: Any, was: Any) -> bool:
    """Return whether a field says what it said; a browser posts lines its own way, and of one line no breaks."""
    if isinstance(value, str) and isinstance(was, str):
        if field.endswith("__body"):
            return lines(value).lstrip("\n") == lines(was).lstrip("\n")  # as HTML reads it
        return value.translate(_BREAKS) == was.translate(_BREAKS)
    return (value or None) == (was or None)


_BREAKS = dict.fromkeys(map(ord, "\r\n"))


def lines(text: str) -> str:
    """Return a text whose lines end as they were written, and not as a browser posts them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _put(whole: Values, place: tuple[str, ...], value: Any) -> None:
    """Put a value at its place; an empty one is taken away, and so are the objects that are empty then."""
    first, *rest = place
    if not rest:
        if value in (None, "", False, [], {}):
            whole.pop(first, None)
        else:
            whole[first] = lines(value) if isinstance(value, str) else value
        return
    inner = whole.setdefault(first, {})
    _put(inner, tuple(rest), value)
    if not inner and first not in KEPT_IN:
        del whole[first]


def field_of(place: str, *, locale: str) -> tuple[str, str]:
    """Return the composer's field in which what is wrong at a `place` was written, and the place within it.

    A place is as `campaigns.content` and `delivery.rendering` name them: `title`, `locales.de.title`,
    `texts.en.body`, `overrides.tv.data.screen`, `android.channel_id`, `web.actions.0.navigate`, `data.screen`. What has
    no field is answered with the first step of its place.
    """
    first, *rest = place.split(".")
    if first == "texts":
        first, rest = (
            ("locales", rest) if rest and rest[0] != locale else (rest[1] if rest[1:] else "title", rest[2:])
        )
    steps = (first, *rest)
    for length in range(len(steps), 1, -1):
        if field := _FIELDS.get(steps[:length]):
            return field, ".".join(steps[length:])
    if first in WITH_OPTIONS:
        return options_field(first), ".".join(rest)
    return first, ".".join(rest)


def place_of(place: str, *, locale: str) -> str:
    """Return where a campaign keeps what stands at a `place` of its snapshot: `title` or `locales.de.title`."""
    first, _, rest = place.partition(".")
    if first != "texts":
        return place
    return rest.removeprefix(f"{locale}.") if rest.startswith(f"{locale}.") else f"locales.{rest}"


def button(label: str, link: str, action: str, *, taken: Iterable[str] = ()) -> Values:
    """Return a button as browsers are told of it (`campaigns.content`); one without an action's name is given one."""
    if not action:
        plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
        action = _PLAIN.sub("-", plain).strip("-")[:40] or "button"
        number, name = 2, action
        others = set(taken)
        while name in others:
            name, number = f"{action}-{number}", number + 1
        action = name
    made = {"action": action, "title": label}
    return {**made, "navigate": link} if link else made


def missing(locales: Mapping[str, Mapping[str, Any]], base: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return, by language, which texts of the base have no translation there and so are told untranslated."""
    wanted = [name for name in ("title", "subtitle", "body") if base.get(name)]
    found = {tag: [name for name in wanted if not said.get(name)] for tag, said in locales.items()}
    return {tag: names for tag, names in found.items() if names}
