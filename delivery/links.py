"""What a link may be: a page or a place in an app, and nothing that runs code."""

import re

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\ufeff]")
RUNS_CODE = frozenset({"javascript", "vbscript", "data", "blob", "file", "about", "view-source"})
"""Schemes that open no page but run code or read the device; browsers drop unseen characters in them."""


def scheme_of(link: str) -> str:
    """Return the scheme of a link in small letters, as whoever opens it reads it; empty where it has none."""
    found = _SCHEME.match(_UNSEEN.sub("", link))
    return found.group(1).lower() if found else ""
