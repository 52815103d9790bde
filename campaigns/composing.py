"""Between what a marketer writes into the composer's fields and what a campaign keeps. Pure.

A campaign keeps options by platform as objects in the provider's words; the composer has a field for those that
marketers use and one of JSON for the rest. Whatever has no field is carried through unchanged.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from campaigns.content import PLATFORMS

Values = dict[str, Any]

TEXTS = ("title", "subtitle", "body", "image", "link", "sound")
"""What may be said otherwise on a platform, a field each."""
LOCALE_TEXTS = ("title", "subtitle", "body", "image", "link")
"""What may be said otherwise in a language, a field each."""
WITH_OPTIONS = ("android", "ios", "web")
OPTIONS: dict[str, tuple[str, str]] = {
    "android_channel_id": ("android", "channel_id"),
    "android_priority": ("android", "priority"),
    "android_color": ("android", "color"),
    "ios_interruption_level": ("ios", "interruption_level"),
    "ios_thread_id": ("ios", "thread_id"),
    "ios_category": ("ios", "category"),
    "web_icon": ("web", "icon"),
    "web_require_interaction": ("web", "require_interaction"),
}
"""The composer's field of an option: platform and option."""
MOST_BUTTONS = 4

_PLAIN = re.compile(r"[^a-z0-9]+")


def override_field(platform: str, text: str) -> str:
    """Return the name of the composer's field for a text on one platform."""
    return f"{platform}__{text}"


def opened(campaign: Any) -> Values:
    """Return the values of the composer's fields for a campaign."""
    options = {name: dict(getattr(campaign, name) or {}) for name in WITH_OPTIONS}
    values: Values = {}
    for field, (platform, option) in OPTIONS.items():
        values[field] = options[platform].pop(option, None)
    values["buttons"] = options["web"].pop("actions", None) or []
    values.update(options)
    more: Values = {}
    for platform, said in (campaign.overrides or {}).items():
        rest = dict(said)
        if platform in PLATFORMS:
            for text in TEXTS:
                values[override_field(platform, text)] = rest.pop(text, "")
        if rest:
            more[platform] = rest
    values["overrides"] = more
    return values


def closed(values: Mapping[str, Any]) -> Values:
    """Return what a campaign keeps (`android`, `ios`, `web`, `overrides`) for the values of the composer's fields."""
    kept: Values = {name: dict(values.get(name) or {}) for name in WITH_OPTIONS}
    for field, (platform, option) in OPTIONS.items():
        if values.get(field) not in (None, "", False):
            kept[platform][option] = values[field]
    if values.get("buttons"):
        kept["web"]["actions"] = list(values["buttons"])
    overrides: Values = {name: dict(said) for name, said in (values.get("overrides") or {}).items()}
    for platform in PLATFORMS:
        said = {text: values.get(override_field(platform, text)) for text in TEXTS}
        if written := {text: value for text, value in said.items() if value}:
            overrides[platform] = {**overrides.get(platform, {}), **written}
    kept["overrides"] = {platform: said for platform, said in overrides.items() if said}
    return kept


def field_of(place: str, *, locale: str) -> tuple[str, str]:
    """Return the composer's field in which what is wrong at a `place` was written, and the place within it.

    A place is as `campaigns.content` and `delivery.rendering` name them: `title`, `locales.de.title`,
    `texts.en.body`, `overrides.tv.title`, `android.channel_id`, `web.actions.0.navigate`, `data.screen`.
    """
    first, *rest = place.split(".")
    if first == "texts":
        first, rest = (
            ("locales", rest) if rest and rest[0] != locale else (rest[1] if rest[1:] else "title", rest[2:])
        )
    if first == "locales":
        return "locales", ".".join(rest)
    if first == "overrides" and len(rest) > 1 and rest[1] in TEXTS and rest[0] in PLATFORMS:
        return override_field(rest[0], rest[1]), ""
    if first in WITH_OPTIONS and rest:
        if rest[0] == "actions":
            return "buttons", ".".join(rest[1:])
        for field, (platform, option) in OPTIONS.items():
            if (platform, option) == (first, rest[0]):
                return field, ""
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
