"""What makes a repeated APNs request the same request: its apns-id and its place on the screen."""

import hashlib
import re

COLLAPSE_ID_BYTES = 64
_TWELVE_DIGITS = 16**12 - 1
_HEADER_TEXT = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")


def apns_id(notification: str, device: int) -> str:
    """Return the id of a notification's message for a device: the notification's, with the device in its last digits.

    The same again for a repeat, and another for every message: the 74 bits before it are the notification's alone.
    """
    return f"{notification[:24]}{device & _TWELVE_DIGITS:012x}"


def collapse_id(identity: str) -> str:
    """Return a display identity as APNs takes it: at most 64 bytes of a header's characters.

    One that is not becomes its SHA-256, so that equal identities still replace each other.
    """
    if _HEADER_TEXT.fullmatch(identity):
        return identity
    return hashlib.sha256(identity.encode()).hexdigest()
