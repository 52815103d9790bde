"""What makes a repeated APNs request the same request: its apns-id."""

_TWELVE_DIGITS = 16**12 - 1


def apns_id(notification: str, device: int) -> str:
    """Return the id of a notification's message for a device: the notification's, with the device in its last digits.

    The same again for a repeat, and another for every message: the 74 bits before it are the notification's alone.
    """
    return f"{notification[:24]}{device & _TWELVE_DIGITS:012x}"
