"""JSON in one form: what equal values are compared by, and what can be stored at all."""

import hashlib
import json
import re
from typing import Any

DEPTH_LIMIT = 32
"""Levels that objects and lists may stand within each other."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class UnstorableError(ValueError):
    """A value that no JSON column can hold, with the reason."""


def canonical(value: Any) -> bytes:
    """Return a value as JSON with sorted keys and no blanks, in UTF-8; raises `UnstorableError`.

    Refused is what PostgreSQL refuses in `jsonb` (NUL, lone surrogates), what JSON has not (NaN,
    infinity) and nesting past `DEPTH_LIMIT`.
    """
    _measure(value)
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        body = text.encode()
    except UnicodeEncodeError:
        raise UnstorableError("a text has half of a surrogate pair; send valid Unicode") from None
    except (TypeError, ValueError):
        raise UnstorableError(
            "a number is not one that JSON knows; NaN and infinity cannot be sent"
        ) from None
    if _NUL.search(body):
        raise UnstorableError("a text has the character U+0000; leave it out")
    return body


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of a value's canonical JSON; raises `UnstorableError`."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _measure(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT + 1):
        level = [
            part
            for whole in level
            if isinstance(whole, dict | list)
            for part in (whole.values() if isinstance(whole, dict) else whole)
        ]
        if not level:
            return
    raise UnstorableError(f"objects and lists stand more than {DEPTH_LIMIT} levels within each other")
