"""What a sender takes and gives: messages in an envelope, a credential, one result for every message."""

import enum
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from delivery.content import Content

REASON_BYTES = 64
"""The longest reason code."""
SHORTENED = "shortened"
"""The reason of a message that was sent with its text cut to fit."""
NOT_STARTED = "not_started"
"""The reason of a message that was not handed over because the deadline had come or we were told to stop."""

GoOn = Callable[[], bool]
"""Asked before each message is started: whether it may be."""


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A notification for one device.

    `device` and `subscriber` are primary keys, `notification` is the UUID's 16 bytes or its text, `content`
    an index into the envelope's contents. `sandbox`: the token belongs to APNs's development environment.
    `expires_at` (epoch seconds) is the message's own end, None for the envelope's. `platform` is the device's
    (`devices.models.Platform`); empty: the one that the provider is made for.
    """

    device: int
    subscriber: int
    token: str
    notification: bytes | str
    content: int
    sandbox: bool = False
    expires_at: float | None = None
    platform: str = ""


def notification_text(message: Message) -> str:
    """Return the message's notification as a UUID's text; by `uuid.UUID` it takes four times as long."""
    notification = message.notification
    if isinstance(notification, str):
        return notification
    digits = notification.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Envelope(msgspec.Struct, frozen=True):
    """Messages to one provider and what they share.

    `run` is the UUID as text, `lane` one of `delivery.lanes.LANES`, `expires_at` in epoch seconds.
    `tag` is the display identity that the campaign set for itself; empty: each notification's id, so
    that a repeated message replaces itself on the screen. `collapse_key` is FCM's, empty for none.
    """

    run: str
    lane: str
    expires_at: float | None
    contents: list[Content]
    messages: list[Message]
    tag: str = ""
    collapse_key: str = ""

    @property
    def urgent(self) -> bool:
        """Whether the provider should wake the device for it."""
        return self.lane in ("critical", "high")


class Credential(msgspec.Struct, frozen=True):
    """What an application shows a provider, decrypted.

    FCM: `secret` is {"service_account": {…}}. APNs: `secret` is {"private_key": PEM, "key_id",
    "team_id"} or {"certificate": PEM, "private_key": PEM}, `settings` {"topic"}. Web Push: `secret` is
    {"keys": [PEM, …]}, the newest first, `settings` {"subject", "hosts", "private"}. An empty URL means the
    provider's own; `ca_file` replaces the public certificate authorities.
    """

    uid: str
    application: int
    secret: dict[str, Any]
    settings: dict[str, Any] = {}
    base_url: str = ""
    sandbox_url: str = ""
    token_url: str = ""
    ca_file: str = ""


class Verdict(enum.IntEnum):
    """What became of a message at its provider."""

    SENT = 0
    """Accepted: the end we see."""
    DEAD = 1
    """Failed, and the token is dead for good."""
    FAILED = 2
    """Failed for good; the token lives."""
    RETRY = 3
    """Not accepted now: try this message again, not before `retry_after`."""
    SHUT = 4
    """Not accepted because the credential is refused: shut the gate, keep the message."""
    SLOW = 5
    """Not accepted because the application's quota is used up: slow the gate, keep the message."""


class Result(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of the message at `index` of the envelope.

    `reason` is a stable code of at most 64 bytes, empty when sent as it was; `retry_after` is in seconds, None
    when the provider named no time. `dead_since` is the instant (epoch seconds) from which the
    provider knows the token as dead: a device registered later lives. `unknown`: the request may have
    arrived, so a retry may be a repeat. `left` is false when it never went out: another try is the first.
    """

    index: int
    verdict: Verdict
    reason: str = ""
    provider_id: str = ""
    retry_after: float | None = None
    dead_since: float | None = None
    unknown: bool = False
    left: bool = True


#   CredentialError            the provider refuses the credential, or it is not well-formed
#   └── UnreachableError       the provider could not be asked


class CredentialError(Exception):
    """A credential that cannot be used: `code` for machines, the message a sentence for the operator."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code[:REASON_BYTES]


class UnreachableError(CredentialError):
    """Nothing is known against the credential: the provider did not answer, or asked for patience."""

    def __init__(self, code: str, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, sentence)
        self.retry_after = retry_after


class TokenStore(Protocol):
    """Where processes share provider tokens. Never raises: a lost store costs only new tokens."""

    def get(self, key: str) -> tuple[str, float] | None:
        """Return the live token and its end (epoch seconds), or None."""

    def put(self, key: str, token: str, expires_at: float) -> tuple[str, float]:
        """Keep a token unless a live one is there already; return the one that stands."""

    def drop(self, key: str, token: str) -> None:
        """Forget the token, unless another stands in its place by now."""


class Sender(Protocol):
    """Hands messages to one provider. Safe to share between threads."""

    provider: str

    def send(
        self,
        envelope: Envelope,
        credential: Credential,
        *,
        deadline: float | None = None,
        streams: int | None = None,
        go_on: GoOn | None = None,
    ) -> Iterator[Result]:
        """Yield exactly one result for every message, in any order, as they come in.

        At most `streams` requests are under way at a time (None: as many as the sender was made for).
        Nothing is started after `deadline` (`time.monotonic()`), and what is under way then is
        given up as unknown. Nothing is started once `go_on` says no, and what is under way then is
        waited for. Never raises for what a message, the credential or the provider does.
        """

    def check(self, credential: Credential) -> None:
        """Ask the provider whether it takes the credential; nothing reaches a device.

        Raises `CredentialError` when it does not, `UnreachableError` when it cannot be asked.
        """
