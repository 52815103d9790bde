"""From the fields a campaign or a request has to the texts of a snapshot, or to what is wrong with them."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from delivery.links import RUNS_CODE, scheme_of
from delivery.senders import options
from delivery.snapshot import AUTO_BADGE, Text
from devices.words import gettext as _

PLATFORMS = ("android", "ios", "web", "tv", "stick")
FIELDS = BASE = Text.__struct_fields__
"""What a text has; a campaign and a request have the same fields for the application's own language."""
LOCALES_LIMIT = 60
TEXT_LIMITS = {"title": 200, "subtitle": 200, "body": 2_000, "image": 500, "link": 500, "sound": 100}
"""The most characters of each field, as templates."""
DATA_KEYS_LIMIT = 50
LARGEST_BADGE = 99_999

_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")


class ContentError(ValueError):
    """Content that cannot be used: `field` (as `locales.de.title`) and a sentence about it."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class Texts(msgspec.Struct, frozen=True):
    """Content as a snapshot holds it: by locale, and what differs by platform."""

    texts: dict[str, Text]
    overrides: dict[str, Text]


def build(base: Mapping[str, Any], *, locale: str, locales: Any = None, overrides: Any = None) -> Texts:
    """Return the texts of a base text in `locale`, of other `locales` and of platforms' `overrides`.

    `base` and each value of the two others map fields of `delivery.snapshot.Text` to values.
    Raises `ContentError`. Templates are not compiled here.
    """
    texts = {locale: _text("", base)}
    for tag, fields in _mapping("locales", locales).items():
        if not _LOCALE.fullmatch(tag):
            raise ContentError(f"locales.{tag}", _("a language is written as BCP 47 has it, as de or pt-BR"))
        texts[tag] = _text(f"locales.{tag}.", fields)
    if len(texts) > LOCALES_LIMIT:
        raise ContentError(
            "locales",
            _("there are %(count)s languages; %(locales_limit)s are the most")
            % {"count": len(texts), "locales_limit": LOCALES_LIMIT},
        )
    over = {}
    for platform, fields in _mapping("overrides", overrides).items():
        if platform not in PLATFORMS:
            raise ContentError(f"overrides.{platform}", _unknown(platform, "platform", PLATFORMS))
        over[platform] = _text(f"overrides.{platform}.", fields)
    return Texts(texts, over)


def _mapping(field: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ContentError(field, _('must be an object, as {"de": {"title": "…"}}'))
    return value


def _text(where: str, fields: Any) -> Text:
    if not isinstance(fields, Mapping):
        raise ContentError(where.rstrip("."), _('must be an object, as {"title": "…"}'))
    for name, value in fields.items():
        if name not in FIELDS:
            raise ContentError(f"{where}{name}", _unknown(name, "field", FIELDS))
        if name == "badge":
            _check_badge(f"{where}badge", value)
        elif name in TEXT_LIMITS:
            _check_text(f"{where}{name}", value, TEXT_LIMITS[name])
        elif not isinstance(value, dict):
            raise ContentError(f"{where}{name}", _("must be an object"))
        elif name in options.KINDS:
            _check_options(f"{where}{name}", name, value)
    data = fields.get("data", {})
    if len(data) > DATA_KEYS_LIMIT:
        raise ContentError(
            f"{where}data",
            _("has %(count)s keys; %(data_keys_limit)s are the most")
            % {"count": len(data), "data_keys_limit": DATA_KEYS_LIMIT},
        )
    for key, value in data.items():
        if not key:
            raise ContentError(f"{where}data", _("has an empty key"))
        _check_text(f"{where}data.{key}", value, TEXT_LIMITS["body"])
    image = fields.get("image", "")
    if image and not image.startswith(("https://", "{{", "{%")):
        raise ContentError(f"{where}image", _("must be an address that begins with https://"))
    if (scheme := scheme_of(fields.get("link", ""))) in RUNS_CODE:
        raise ContentError(
            f"{where}link",
            _("must not begin with %(scheme)s:; write https:// or the app's own scheme") % {"scheme": scheme},
        )
    return msgspec.convert({**fields, "badge": str(fields.get("badge", ""))}, Text)


def _check_options(field: str, platform: str, value: dict[str, Any]) -> None:
    """Refuse options that the platform's provider does not take, with their place."""
    try:
        options.check(platform, value)
    except options.OptionError as error:
        raise ContentError(".".join(filter(None, [field, error.field])), str(error).rstrip(".")) from None


def _check_text(field: str, value: Any, limit: int) -> None:
    if not isinstance(value, str):
        raise ContentError(field, _('must be a text; write numbers and booleans as texts, as "5"'))
    if len(value) > limit:
        raise ContentError(
            field,
            _("has %(count)s characters; %(limit)s are the most") % {"count": len(value), "limit": limit},
        )


def _check_badge(field: str, value: Any) -> None:
    text = "" if isinstance(value, bool) else str(value)
    if text not in ("", AUTO_BADGE) and not (
        text.isascii() and text.isdecimal() and int(text) <= LARGEST_BADGE
    ):
        raise ContentError(
            field,
            _(
                "must be %(auto_badge)s, for how much the person has not read, or a number from 0 to %(largest_badge)s"
            )
            % {"auto_badge": AUTO_BADGE, "largest_badge": LARGEST_BADGE},
        )


def _unknown(name: str, kind: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return _("unknown %(kind)s; ") % {"kind": kind} + (
        _("did you mean “%(near)s”?") % {"near": near[0]}
        if near
        else _("there are %(listed)s") % {"listed": ", ".join(known)}
    )
