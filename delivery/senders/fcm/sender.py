"""The sender of FCM HTTP v1: envelopes in, results out."""

import time
from collections.abc import Iterator

import msgspec

from delivery.content import Content
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
from delivery.senders.engine import STREAMS, Answer, Engine, Request, engine
from delivery.senders.fcm.account import Account
from delivery.senders.fcm.builder import Builder
from delivery.senders.fcm.errors import UNAUTHENTICATED, judge
from delivery.senders.fcm.payload import (
    LIMIT,
    TOPIC_LIMIT,
    ContentError,
    parameters,
    parameters_of_many,
    time_to_live,
    weight,
)
from delivery.senders.fitting import TooLargeError, fitted
from delivery.senders.keeping import Kept, digest
from delivery.senders.network import DIRECT, Network
from delivery.senders.template import Marks
from delivery.senders.tokens import SharedTokens
from delivery.senders.wording import BAD_CONTENT, Templates
from devices.fcm_addresses import MANY, address_of
from devices.words import gettext as _


class FcmSender:
    """Hands messages to FCM."""

    provider = "fcm"

    def __init__(self, tokens: SharedTokens, *, streams: int = STREAMS, network: Network = DIRECT) -> None:
        self._tokens = tokens
        self._streams = streams
        self._network = network
        self._accounts: Kept[Account] = Kept(lambda credential: Account(credential, network=network))
        self._templates = Templates(_build, ttl=time_to_live, limit=lambda content: LIMIT, weigh=weight)

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
            account = self._accounts.of(credential)
        except CredentialError as error:
            for index in range(len(envelope.messages)):
                yield Result(index, Verdict.SHUT, error.code, left=False)
            return
        wording = self._templates.wording(envelope)
        endpoint = account.endpoint
        headers: dict[str, list[str]] = {}
        shortened: set[int] = set()

        def build(index: int, message: Message, token: str) -> Request | Result:
            payload: bytes | str
            if message.token.startswith(MANY):
                payload, is_cut = _to_many(message, envelope)
            else:
                payload = wording.payload(message, notification_text(message))
                is_cut = wording.shortened
            if isinstance(payload, str):
                return Result(index, Verdict.FAILED, payload, left=False)
            if is_cut:
                shortened.add(index)
            lines = headers.get(token) or headers.setdefault(token, account.headers(token))
            return index, endpoint, lines, payload

        def judged(answer: Answer) -> Result:
            result = judge(answer)
            if result.verdict is Verdict.SENT and answer.key in shortened:
                return Result(answer.key, Verdict.SENT, SHORTENED, result.provider_id)
            return result

        yield from Batch(
            envelope,
            engine=self._engine(credential),
            build=build,
            judge=judged,
            authorize=lambda refused: self._token(account, credential, refused=refused),
            renewable=frozenset({UNAUTHENTICATED}),
            deadline=deadline,
            streams=self._streams if streams is None else min(streams, self._streams),
            go_on=go_on,
        ).results()

    def check(self, credential: Credential) -> None:
        """Ask FCM to validate a message to nobody (`Sender.check`)."""
        account = self._accounts.of(credential)
        token = account.mint()[0]
        body = account.payload(fcm_token="x", data_payload={"nh_check": "1"}, dry_run=True)
        request = (0, account.endpoint, account.headers(token), body)
        answer = next(iter(self._engine(credential).run([request])))
        if answer.error:
            said = {"host": account.endpoint, "error": answer.error}
            raise UnreachableError("unreachable", _("%(host)s cannot be reached: %(error)s.") % said)
        result = judge(answer)
        if result.verdict is Verdict.SHUT:
            raise CredentialError(
                result.reason,
                _("FCM refuses the service account for this project: %(reason)s.")
                % {"reason": result.reason},
            )
        if result.verdict in (Verdict.RETRY, Verdict.SLOW):
            raise UnreachableError(
                result.reason,
                _("%(host)s cannot say now: %(reason)s.") % {"host": "FCM", "reason": result.reason},
            )

    def _engine(self, credential: Credential) -> Engine:
        return engine(self.provider, ca_file=credential.ca_file, network=self._network)

    def _token(self, account: Account, credential: Credential, *, refused: str) -> str:
        key = f"fcm:{credential.uid}:{digest(credential)}"
        if refused:
            return self._tokens.renewed(key, account.mint, refused=refused)
        return self._tokens.current(key, account.mint)


def _build(content: Content, envelope: Envelope, marks: Marks, platform: str) -> bytes | str:
    """Return pyfcm's payload of a message that is made of marks, or the reason why there is none."""
    try:
        words = parameters(
            content,
            envelope,
            token=marks["token"],
            notification=marks["notification"],
            platform=platform,
            ttl=marks["ttl"],
        )
    except ContentError as error:
        return str(error)
    return _builder.payload(**words)


def _to_many(message: Message, envelope: Envelope) -> tuple[bytes | str, bool]:
    """Return the payload of a message to a topic or condition, or why there is none, and whether its text was cut.

    There are few of them, so each is built by itself.
    """
    content, address, now = envelope.contents[message.content], address_of(message.token), time.time()
    ends = envelope.expires_at if message.expires_at is None else message.expires_at
    own = msgspec.structs.replace(envelope, expires_at=ends)

    def build(content: Content) -> bytes:
        notification = notification_text(message)
        words = parameters_of_many(content, own, address=address, notification=notification, now=now)
        return _builder.payload(**words)

    try:
        cut = fitted(content, lambda shorter: weight(build(shorter)), TOPIC_LIMIT)
        return build(cut), cut is not content
    except TooLargeError as error:
        return error.reason, False
    except ContentError as error:
        return str(error), False
    except (TypeError, ValueError):
        return BAD_CONTENT, False


_builder = Builder()
