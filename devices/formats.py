"""How texts of a service's own must look, whether they come by the API or in a file. Pure."""

import re

LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
EXTERNAL_ID = re.compile(r"[^/\x00-\x1f\x7f]{1,255}")


def is_external_id(value: str) -> bool:
    """Return whether a text can be a subscriber's id: 1 to 255 characters that can stand in an address."""
    return bool(EXTERNAL_ID.fullmatch(value)) and value not in (".", "..")
