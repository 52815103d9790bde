"""The sender of FCM HTTP v1: envelopes in, results out."""

from collections.abc import Iterator

import msgspec

from delivery.senders.contract import (
    Credential,
    CredentialError,
    Envelope,
    GoOn,
    Message,
    Result,
    UnreachableError,
    Verdict,
)
from delivery.senders.dispatch import Batch
from delivery.senders.engine import STREAMS, Request, engine
from delivery.senders.fcm.account import Account
from delivery.senders.fcm.errors import UNAUTHENTICATED, judge
from delivery.senders.fcm.payload import template
from delivery.senders.keeping import Kept, digest
from delivery.senders.template import Template
from delivery.senders.tokens import SharedTokens

BAD_CONTENT = "content_not_json"


class FcmSender:
    """Hands messages to FCM."""

    provider = "fcm"

    def __init__(self, tokens: SharedTokens, *, streams: int = STREAMS) -> None:
        self._tokens = tokens
        self._streams = streams
        self._accounts: Kept[Account] = Kept(Account)

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
        templates: dict[tuple[int, float | None], Template | None] = {}
        endpoint = account.endpoint
        headers: dict[str, list[str]] = {}

        def build(index: int, message: Message, token: str) -> Request | Result:
            wanted = (message.content, message.expires_at)
            if wanted not in templates:
                templates[wanted] = _template(account, envelope, message)
            filled = templates[wanted]
            if filled is None:
                return Result(index, Verdict.FAILED, BAD_CONTENT, left=False)
            lines = headers.get(token) or headers.setdefault(token, account.headers(token))
            return index, endpoint, lines, filled.fill(message.token, message.notification)

        yield from Batch(
            envelope,
            engine=engine(self.provider, ca_file=credential.ca_file),
            build=build,
            judge=judge,
            authorize=lambda refused: self._token(account, credential, refused=refused),
            renewable=frozenset({UNAUTHENTICATED}),
            deadline=deadline,
            streams=self._streams if streams is None else min(streams, self._streams),
            go_on=go_on,
        ).results()

    def check(self, credential: Credential) -> None:
        """Ask FCM to validate a message to nobody (`Sender.check`)."""
        account = self._accounts.of(credential)
        token, _ = account.mint()
        body = account.payload(fcm_token="x", data_payload={"nh_check": "1"}, dry_run=True)
        request = (0, account.endpoint, account.headers(token), body)
        answer = next(iter(engine(self.provider, ca_file=credential.ca_file).run([request])))
        if answer.error:
            raise UnreachableError("unreachable", f"{account.endpoint} cannot be reached: {answer.error}.")
        result = judge(answer)
        if result.verdict is Verdict.SHUT:
            raise CredentialError(
                result.reason, f"FCM refuses the service account for this project: {result.reason}."
            )
        if result.verdict in (Verdict.RETRY, Verdict.SLOW):
            raise UnreachableError(result.reason, f"FCM cannot say now: {result.reason}.")

    def _token(self, account: Account, credential: Credential, *, refused: str) -> str:
        key = f"fcm:{credential.uid}:{digest(credential)}"
        if refused:
            return self._tokens.renewed(key, account.mint, refused=refused)
        return self._tokens.current(key, account.mint)


def _template(account: Account, envelope: Envelope, message: Message) -> Template | None:
    """Return the template of a message's content; messages of one content with one end share it."""
    if message.expires_at is not None:
        envelope = msgspec.structs.replace(envelope, expires_at=message.expires_at)
    try:
        return template(account, envelope.contents[message.content], envelope)
    except (TypeError, ValueError):
        return None
