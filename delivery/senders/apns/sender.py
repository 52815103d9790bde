"""The sender of APNs: envelopes in, results out."""

import re
from collections.abc import Iterator

import msgspec

from delivery.content import Content
from delivery.senders.apns.certificate import Certificate
from delivery.senders.apns.errors import EXPIRED_PROVIDER_TOKEN, judge
from delivery.senders.apns.headers import lines, place
from delivery.senders.apns.identity import apns_id
from delivery.senders.apns.key import Key
from delivery.senders.apns.payload import ContentError, document, kind_of, limit
from delivery.senders.contract import (
    SHORTENED,
    Credential,
    CredentialError,
    Envelope,
    GoOn,
    Message,
    Result,
    UnreachableError,
    Verdict,
    notification_text,
)
from delivery.senders.dispatch import Batch
from delivery.senders.engine import STREAMS, Answer, Engine, Own, Request, engine
from delivery.senders.keeping import Kept
from delivery.senders.network import DIRECT, Network
from delivery.senders.template import Marks
from delivery.senders.tokens import SharedTokens
from delivery.senders.wording import Templates
from devices.words import gettext as _

BAD_TOKEN = "0" * 64
"""Well-formed, and no device's: what `check` sends to."""

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
BARE = frozenset({b"authorization"})
_TOKEN = re.compile(r"(?:[0-9A-Fa-f]{2}){1,100}")


class ApnsSender:
    """Hands messages to APNs."""

    provider = "apns"

    def __init__(self, tokens: SharedTokens, *, streams: int = STREAMS, network: Network = DIRECT) -> None:
        self._tokens = tokens
        self._streams = streams
        self._network = network
        self._keys: Kept[Key | Certificate] = Kept(_read)
        self._templates = Templates(_build, ttl=lambda ends, now, platform: int(now), limit=limit)

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
        try:
            key = self._keys.of(credential)
        except CredentialError as error:
            for index in range(len(envelope.messages)):
                yield Result(index, Verdict.SHUT, error.code, left=False)
            return
        wording = self._templates.wording(envelope)
        production, sandbox = key.prefix(sandbox=False), key.prefix(sandbox=True)
        headings = _Headings(envelope, key)
        identities: dict[int, str] = {}
        shortened: set[int] = set()

        def build(index: int, message: Message, token: str) -> Request | Result:
            notification = notification_text(message)
            payload = wording.payload(message, notification)
            if isinstance(payload, str):
                return Result(index, Verdict.FAILED, payload, left=False)
            if not _TOKEN.fullmatch(message.token):
                return Result(index, Verdict.DEAD, "bad_device_token", left=False)
            heading = headings.of(message, token)
            if isinstance(heading, str):
                return Result(index, Verdict.FAILED, heading, left=False)
            if wording.shortened:
                shortened.add(index)
            identities[index] = identity = apns_id(notification, message.device)
            shared, own_place = heading
            own: Own = (("apns-id", identity),)
            if own_place:
                own = (("apns-id", identity), ("apns-collapse-id", notification))
            url = (sandbox if message.sandbox else production) + message.token
            return index, url, shared, payload, own

        def judged(answer: Answer) -> Result:
            index = answer.key
            result = judge(answer, apns_id=identities.pop(index), sandbox=envelope.messages[index].sandbox)
            if result.verdict is Verdict.SENT and index in shortened:
                return Result(index, Verdict.SENT, SHORTENED, result.provider_id)
            return result

        yield from Batch(
            envelope,
            engine=self._engine(key, credential),
            build=build,
            judge=judged,
            authorize=lambda refused: self._token(key, refused=refused),
            renewable=frozenset({EXPIRED_PROVIDER_TOKEN}),
            deadline=deadline,
            streams=self._streams if streams is None else min(streams, self._streams),
            go_on=go_on,
        ).results()

    def check(self, credential: Credential) -> None:
        """Ask APNs to send to a token that is no device's (`Sender.check`)."""
        key = self._keys.of(credential)
        token = self._token(key, refused="")
        headers = [
            f"apns-topic: {key.topic}",
            "apns-push-type: alert",
            "content-type: application/json",
            "Expect:",
        ]
        if token:
            headers.append(f"authorization: bearer {token}")
        url = key.prefix(sandbox=False) + BAD_TOKEN
        answer = next(iter(self._engine(key, credential).run([(0, url, headers, b'{"aps":{}}')])))
        if answer.error:
            said = {"host": "APNs", "error": answer.error}
            raise UnreachableError("unreachable", _("%(host)s cannot be reached: %(error)s.") % said)
        result = judge(answer, apns_id="", sandbox=False)
        if result.verdict is Verdict.SHUT:
            raise CredentialError(
                result.reason,
                _("APNs refuses %(key)s: %(reason)s.") % {"key": key.name, "reason": result.reason},
            )
        if result.verdict in (Verdict.RETRY, Verdict.SLOW):
            raise UnreachableError(
                result.reason,
                _("%(host)s cannot say now: %(reason)s.") % {"host": "APNs", "reason": result.reason},
            )

    def _engine(self, key: Key | Certificate, credential: Credential) -> Engine:
        # A connection takes the tokens of one key only (UnrelatedKeyIdInToken). APNs keeps little of the headers and
        # asks for the token to be left out of it.
        return engine(
            f"apns:{key.identity}",
            ca_file=credential.ca_file,
            network=self._network,
            bare=BARE,
            certificate=key.pem,
        )

    def _token(self, key: Key | Certificate, *, refused: str) -> str:
        """Return the provider token, empty where the connection itself shows who sends."""
        if isinstance(key, Certificate):
            return ""
        if refused:
            return self._tokens.renewed(f"apns:{key.identity}", key.mint, refused=refused)
        return self._tokens.current(f"apns:{key.identity}", key.mint)


Heading = tuple[list[str], bool]
"""Header lines, and whether the message's place on the screen is its notification's own."""


class _Headings:
    """The header lines that an envelope's messages share, by their options and end."""

    def __init__(self, envelope: Envelope, key: Key | Certificate) -> None:
        self._envelope = envelope
        self._key = key
        self._made: dict[tuple[bytes, float | None, str], Heading | str] = {}

    def of(self, message: Message, token: str) -> Heading | str:
        """Return a message's heading, or the reason why it has none."""
        envelope = self._envelope
        content = envelope.contents[message.content]
        ends = envelope.expires_at if message.expires_at is None else message.expires_at
        wanted = (_pack(content.ios) if content.ios else b"", ends, token)
        found = self._made.get(wanted)
        if found is None:
            found = self._made[wanted] = self._make(content, ends, token)
        return found

    def _make(self, content: Content, ends: float | None, token: str) -> Heading | str:
        try:
            kind = kind_of(content)
        except ContentError as error:
            return str(error)
        if self._key.by_certificate and not kind.by_certificate:
            return "needs_signing_key"
        made = lines(content, kind, topic=self._key.topic, urgent=self._envelope.urgent, expires_at=ends)
        if token:
            made.append(f"authorization: bearer {token}")
        chosen = place(content, self._envelope)
        if chosen and kind.collapses:
            made.append(f"apns-collapse-id: {chosen}")
        return made, kind.collapses and not chosen


def _read(credential: Credential) -> Key | Certificate:
    return Certificate(credential) if "certificate" in credential.secret else Key(credential)


def _build(content: Content, envelope: Envelope, marks: Marks, platform: str) -> bytes | str:
    """Return the payload of a notification that is made of marks, or the reason why there is none."""
    try:
        return _encode(document(content, envelope, notification=marks["notification"], now=marks["ttl"]))
    except ContentError as error:
        return str(error)
