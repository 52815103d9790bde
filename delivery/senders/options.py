"""Options of one platform, read strictly: an unknown or wrong one is refused with its place and what is allowed."""

import re
import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from delivery.senders.apns.options import Ios, RuleError, check_rules
from delivery.senders.fcm.options import Android
from delivery.senders.webpush.options import Web

KINDS: dict[str, type[msgspec.Struct]] = {"android": Android, "ios": Ios, "web": Web}
"""What each platform's options are."""
BYTES_LIMIT = 4_096
"""A platform's options in JSON; a provider takes no more for all of a message."""

_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`", re.DOTALL)
_PLACE = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(.+?)`, got `(.+?)`")
_NAMES = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


class OptionError(ValueError):
    """Options that a provider would refuse: `field` is the place in them (as `light_settings.color`), and why."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        super().__init__(sentence)


def check(platform: str, options: Mapping[str, Any]) -> None:
    """Refuse options of a platform that its provider does not take; raises `OptionError`."""
    kind = KINDS[platform]
    if len(msgspec.json.encode(options)) > BYTES_LIMIT:
        raise OptionError(
            "", f"has {len(msgspec.json.encode(options)):,} bytes; {BYTES_LIMIT:,} are the most"
        )
    try:
        msgspec.convert(options, kind)
    except msgspec.ValidationError as error:
        raise _translated(kind, str(error)) from None
    if platform == "ios":
        try:
            check_rules(options)
        except RuleError as error:
            raise OptionError(error.option, str(error)) from None


def plain_names(platform: str) -> list[str]:
    """Return the options of a platform whose value is one text, number or yes and no."""
    found = []
    for field in msgspec.structs.fields(KINDS[platform]):
        kinds = {
            type(value) if get_origin(one) is Literal else one
            for one in _flat(field.type)
            for value in get_args(one) or [one]
        }
        if kinds & {str, int, float, bool}:
            found.append(field.name)
    return found


def read(platform: str, name: str, text: str) -> Any:
    """Return the value that a text means for an option (`true`, `5`); the text itself where it means none."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(KINDS[platform])}
    try:
        value = msgspec.convert(text.strip(), kinds.get(name, str), strict=False)
    except msgspec.ValidationError:
        return text
    return value if isinstance(value, str | int | float) else text


def _translated(kind: type[msgspec.Struct], said: str) -> OptionError:
    place = _PLACE.search(said)
    path = place.group(1) if place else ""
    path = path.replace("[...]", "").replace("[", ".").replace("]", "")
    reason = said[: place.start()] if place else said
    type_, owner = _at(kind, path)
    if unknown := _UNKNOWN.match(reason):
        names = _fields_of(owner)
        near = get_close_matches(unknown.group(1), names, n=1)
        hint = f"did you mean “{near[0]}”?" if near else f"there are {', '.join(names)}"
        return OptionError(".".join(filter(None, [path, unknown.group(1)[:50]])), f"unknown option; {hint}")
    if described := _description(type_):
        return OptionError(path, f"must be {described}")
    allowed = _choices(type_)
    if allowed:
        return OptionError(path, f"must be one of {', '.join(map(str, allowed))}")
    if expected := _EXPECTED.match(reason):
        kinds = [_NAMES.get(name.strip(), name.strip()) for name in expected.group(1).split("|")]
        kinds = [name for name in kinds if name != "null"]
        return OptionError(
            path, f"must be {' or '.join(kinds)}, not {_NAMES.get(expected.group(2), expected.group(2))}"
        )
    return OptionError(path, _plain(reason))


def _plain(reason: str) -> str:
    """Return msgspec's sentence in our words."""
    if missing := re.match(r"Object missing required field `(.+?)`", reason):
        return f"needs “{missing.group(1)}”"
    return reason.replace("Expected `", "must be `").replace("`", "")


def _at(kind: Any, path: str) -> tuple[Any, Any]:
    """Return the type of what stands at a path, and of the innermost object on the way."""
    owner = found = kind
    for step in filter(None, path.split(".")):
        if step.isdigit():
            found = next((get_args(one)[0] for one in _flat(found) if get_origin(one) is list), found)
            continue
        for one in _flat(found):
            if isinstance(one, type) and issubclass(one, msgspec.Struct) and step in one.__struct_fields__:
                fields = {field.name: field.type for field in msgspec.structs.fields(one)}
                owner, found = one, fields[step]
                break
    structs = [one for one in _flat(found) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    return found, structs[0] if structs else owner


def _flat(type_: Any) -> list[Any]:
    """Return the alternatives of a union, without annotations."""
    origin = get_origin(type_)
    if origin is Annotated:
        return _flat(get_args(type_)[0])
    if origin in (types.UnionType, Union):
        return [one for arg in get_args(type_) for one in _flat(arg)]
    return [type_]


def _description(type_: Any) -> str:
    """Return what the type of a value, or of one alternative of it, is described as."""
    if get_origin(type_) is Annotated:
        metas = [one for one in get_args(type_)[1:] if isinstance(one, msgspec.Meta)]
        return next((one.description for one in metas if one.description), "") or _description(
            get_args(type_)[0]
        )
    if get_origin(type_) in (types.UnionType, Union):
        found = [_description(one) for one in get_args(type_) if one is not type(None)]
        return found[0] if len(found) == 1 else ""
    return ""


def _fields_of(owner: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = owner.__struct_fields__
    return names


def _choices(type_: Any) -> list[Any]:
    """Return the values of a type that has only some."""
    flat = [one for one in _flat(type_) if one is not type(None)]
    if flat and all(get_origin(one) is Literal for one in flat):
        return [value for one in flat for value in get_args(one)]
    return []
