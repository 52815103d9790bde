"""pyfcm's payload builder alone: no account, nothing is sent with it."""

from typing import Any, cast

from pyfcm import FCMNotification


class Builder(FCMNotification):  # type: ignore[misc]  # pyfcm has no types
    """Builds payloads; they are the same for every account."""

    def __init__(self) -> None:
        self.json_encoder = None

    def payload(self, **parameters: Any) -> bytes:
        """Return pyfcm's payload of a message (`FCMNotification.parse_payload`)."""
        return cast(bytes, self.parse_payload(**parameters))
