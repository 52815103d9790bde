"""The sender of APNs: envelopes in, results out.

Headers: "Sending notification requests to APNs" (developer.apple.com/documentation/usernotifications/
sending-notification-requests-to-apns).
"""

import re
from collections.abc import Iterator

import msgspec

from delivery.content import Content
from delivery.senders.apns.errors import EXPIRED_PROVIDER_TOKEN, judge
from delivery.senders.apns.identity import apns_id, collapse_id
from delivery.senders.apns.key import Key
from delivery.senders.apns.payload import ContentError, document
from delivery.senders.contract import (
    Credential,
    CredentialError,
    Envelope,
    GoOn,
    Message,
    Result,
    Steps,
    UnreachableError,
    Verdict,
    notification_text,
)
from delivery.senders.dispatch import Batch
from delivery.senders.engine import STREAMS, Answer, Engine, Own, Request, engine
from delivery.senders.keeping import Kept
from delivery.senders.template import Marks
from delivery.senders.together import alone
from delivery.senders.tokens import SharedTokens
from delivery.senders.wording import Templates

BAD_TOKEN = "0" * 64
"""Well-formed, and no device's: what `check` sends to."""

BARE = frozenset({b"authorization"})
_TOKEN = re.compile(r"(?:[0-9A-Fa-f]{2}){1,100}")


class ApnsSender:
    """Hands messages to APNs."""

    provider = "apns"

    def __init__(self, tokens: SharedTokens, *, streams: int = STREAMS) -> None:
        self._tokens = tokens
        self._streams = streams
        self._keys: Kept[Key] = Kept(Key)
        self._templates = Templates(_build)

    def send(
        self,
        envelope: Envelope,
        credential: Credential,
        *,
        deadline: float | None = None,
        streams: int | None = None,
        go_on: GoOn | None = None,
    ) -> Iterator[Result]:
        """Yield one result for every message (`Sender.send`)."""
        yield from alone(self.steps(envelope, credential, deadline=deadline, streams=streams, go_on=go_on))

    def steps(
        self,
        envelope: Envelope,
        credential: Credential,
        *,
        deadline: float | None = None,
        streams: int | None = None,
        go_on: GoOn | None = None,
    ) -> Steps:
        """Do as `send`, but never wait (`Sender.steps`)."""
        try:
            key = self._keys.of(credential)
        except CredentialError as error:
            for index in range(len(envelope.messages)):
                yield Result(index, Verdict.SHUT, error.code, left=False)
            return
        wording = self._templates.wording(envelope)
        production, sandbox = key.prefix(sandbox=False), key.prefix(sandbox=True)
        shared: dict[tuple[float | None, str], list[str]] = {}
        identities: dict[int, str] = {}

        def build(index: int, message: Message, token: str) -> Request | Result:
            notification = notification_text(message)
            payload = wording.payload(message, notification)
            if isinstance(payload, str):
                return Result(index, Verdict.FAILED, payload, left=False)
            if not _TOKEN.fullmatch(message.token):
                return Result(index, Verdict.DEAD, "bad_device_token", left=False)
            lines = shared.get((message.expires_at, token))
            if lines is None:
                lines = [*headers_of(message, envelope, key.topic), f"authorization: bearer {token}"]
                shared[(message.expires_at, token)] = lines
            identities[index] = identity = apns_id(notification, message.device)
            own: Own = (("apns-id", identity),)
            if not envelope.tag:
                own = (("apns-id", identity), ("apns-collapse-id", notification))
            url = (sandbox if message.sandbox else production) + message.token
            return index, url, lines, payload, own

        def judged(answer: Answer) -> Result:
            index = answer.key
            return judge(answer, apns_id=identities.pop(index), sandbox=envelope.messages[index].sandbox)

        yield from Batch(
            envelope,
            engine=_engine(key, credential),
            build=build,
            judge=judged,
            authorize=lambda refused: self._token(key, refused=refused),
            renewable=frozenset({EXPIRED_PROVIDER_TOKEN}),
            deadline=deadline,
            streams=self._streams if streams is None else min(streams, self._streams),
            go_on=go_on,
        ).steps()

    def check(self, credential: Credential) -> None:
        """Ask APNs to send to a token that is no device's (`Sender.check`)."""
        key = self._keys.of(credential)
        token = self._token(key, refused="")
        headers = [
            f"apns-topic: {key.topic}",
            "apns-push-type: alert",
            f"authorization: bearer {token}",
            "content-type: application/json",
            "Expect:",
        ]
        url = key.prefix(sandbox=False) + BAD_TOKEN
        answer = next(iter(_engine(key, credential).run([(0, url, headers, b'{"aps":{}}')])))
        if answer.error:
            raise UnreachableError("unreachable", f"APNs cannot be reached: {answer.error}.")
        result = judge(answer, apns_id="", sandbox=False)
        if result.verdict is Verdict.SHUT:
            raise CredentialError(
                result.reason,
                f"APNs refuses key {credential.secret['key_id']} for {key.topic}: {result.reason}.",
            )
        if result.verdict in (Verdict.RETRY, Verdict.SLOW):
            raise UnreachableError(result.reason, f"APNs cannot say now: {result.reason}.")

    def _token(self, key: Key, *, refused: str) -> str:
        if refused:
            return self._tokens.renewed(f"apns:{key.identity}", key.mint, refused=refused)
        return self._tokens.current(f"apns:{key.identity}", key.mint)


def headers_of(message: Message, envelope: Envelope, topic: str) -> list[str]:
    """Return the header lines of messages that end when this one does."""
    if message.expires_at is not None:
        envelope = msgspec.structs.replace(envelope, expires_at=message.expires_at)
    return shared_headers(envelope, topic)


def shared_headers(envelope: Envelope, topic: str) -> list[str]:
    """Return the header lines that all messages of an envelope have; no `Expect: 100-continue`."""
    lines = [
        f"apns-topic: {topic}",
        "apns-push-type: alert",
        f"apns-priority: {10 if envelope.urgent else 5}",
        "content-type: application/json",
        "Expect:",
    ]
    if envelope.expires_at is not None:
        lines.append(f"apns-expiration: {int(envelope.expires_at)}")
    if envelope.tag:
        lines.append(f"apns-collapse-id: {collapse_id(envelope.tag)}")
    return lines


def _engine(key: Key, credential: Credential) -> Engine:
    # A connection takes the tokens of one key only (UnrelatedKeyIdInToken). APNs keeps little of the headers and asks
    # for the token to be left out of it.
    return engine(f"apns:{key.identity}", ca_file=credential.ca_file, bare=BARE)


def _build(content: Content, envelope: Envelope, marks: Marks) -> bytes | str:
    """Return the payload of a notification that is made of marks, or the reason why there is none."""
    try:
        return msgspec.json.encode(document(content, envelope, notification=marks["notification"]))
    except ContentError as error:
        return str(error)
