"""The sender of Web Push: envelopes in, results out.

A parcel goes to the push services of several browser makers at once. One that cannot be reached holds up none of the
others' messages: its own are put off, and only when nobody answered is the provider as a whole unreachable.
"""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from delivery.content import Content
from delivery.senders.contract import (
    NOT_STARTED,
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
from delivery.senders.dispatch import DIED_IN_FLIGHT, UNREACHABLE
from delivery.senders.engine import STREAMS, Answer, Engine, Request, engine
from delivery.senders.fitting import TooLargeError, fitted
from delivery.senders.http2.link import NOT_PUBLIC
from delivery.senders.keeping import Kept
from delivery.senders.network import DIRECT, Network
from delivery.senders.tokens import SharedTokens
from delivery.senders.webpush.encryption import LIMIT, encrypt
from delivery.senders.webpush.errors import KEY_MISMATCH, judge
from delivery.senders.webpush.key import Keys, Signer
from delivery.senders.webpush.payload import document, headers_of
from devices.push_subscriptions import (
    Subscription,
    SubscriptionError,
    allows,
    is_private,
    of_token,
    origin_of,
)
from devices.words import gettext as _

REST_SECONDS = 30.0
"""For how long the messages of a push service that cannot be reached are put off."""

_encode = msgspec.json.Encoder().encode


class WebPushSender:
    """Hands messages to the push services of browsers."""

    provider = "webpush"

    def __init__(self, tokens: SharedTokens, *, streams: int = STREAMS, network: Network = DIRECT) -> None:
        self._tokens = tokens
        self._streams = streams
        self._network = network
        self._keys: Kept[Keys] = Kept(Keys)

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
            keys = self._keys.of(credential)
        except CredentialError as error:
            for index in range(len(envelope.messages)):
                yield Result(index, Verdict.SHUT, error.code, left=False)
            return
        batch = _Batch(self, envelope, credential, keys, deadline=deadline, go_on=go_on)
        yield from batch.results(self._streams if streams is None else min(streams, self._streams))

    def check(self, credential: Credential) -> None:
        """Sign a token and show it to a push service with a message for nobody (`Sender.check`).

        Push services know a key only by the subscriptions made with it, so "not refused" is all that can be found.
        """
        keys = self._keys.of(credential)
        origin = origin_of(credential.base_url)
        headers = ["ttl: 0", self.authorization(keys.newest, origin), "Expect:"]
        sending = self.engine(credential, private=_private(origin, credential))
        answer = next(iter(sending.run([(0, f"{origin}/wpush/v2/notifyhub-check", headers, b"")])))
        if answer.error:
            said = {"host": origin, "error": answer.error}
            raise UnreachableError(UNREACHABLE, _("%(host)s cannot be reached: %(error)s.") % said)
        result = judge(answer)
        if result.verdict is Verdict.SHUT:
            raise CredentialError(
                result.reason,
                _("%(host)s refuses the VAPID token: %(reason)s.")
                % {"host": origin, "reason": result.reason},
            )
        if result.verdict in (Verdict.RETRY, Verdict.SLOW):
            raise UnreachableError(
                result.reason,
                _("%(host)s cannot say now: %(reason)s.") % {"host": origin, "reason": result.reason},
            )

    def authorization(self, signer: Signer, origin: str) -> str:
        """Return the header line that shows a push service who sends (RFC 8292 section 3)."""
        token = self._tokens.current(f"webpush:{signer.identity}:{origin}", lambda: signer.mint(origin))
        return f"authorization: vapid t={token}, k={signer.public_key}"

    def engine(self, credential: Credential, *, private: bool) -> Engine:
        """Return the engine for endpoints: a browser has named them, so it connects to public addresses alone.

        It connects to the addresses that it has looked at, so a name that resolves to something else a moment later
        leads nowhere else (DNS rebinding). `private`: the operator has named the host.
        """
        return engine("webpush", ca_file=credential.ca_file, network=self._network, public_only=not private)


def _private(endpoint: str, credential: Credential) -> bool:
    return is_private(urlsplit(endpoint).hostname or "", credential.settings.get("private", ()))


class _Batch:
    """One envelope on its way."""

    def __init__(
        self,
        sender: WebPushSender,
        envelope: Envelope,
        credential: Credential,
        keys: Keys,
        *,
        deadline: float | None,
        go_on: GoOn | None,
    ) -> None:
        self._sender, self._envelope, self._credential, self._keys = sender, envelope, credential, keys
        self._deadline, self._go_on = deadline, go_on
        self._unsendable: list[Result] = []
        self._put_off: list[int] = []
        self._down: set[str] = set()
        self._origins: dict[int, str] = {}
        self._cut: set[int] = set()
        self._end: Result | None = None

    def results(self, streams: int) -> Iterator[Result]:
        """Yield one result for every message."""
        answered = False
        unsent: list[int] = []
        for private, browsers in self._sorted().items():
            waiting = iter(browsers)
            sending = self._sender.engine(self._credential, private=private)
            requests = self._requests(waiting)
            for answer in sending.run(requests, deadline=self._deadline, streams=streams):
                result = self._judged(answer)
                if result is not None:
                    answered = answered or not answer.error
                    yield result
            unsent += [index for index, _ in waiting]
        yield from self._unsendable
        # others answer, so the provider as a whole is there: this service's messages are not started yet
        reason, wait = (NOT_STARTED, REST_SECONDS) if answered or self._unsendable else (UNREACHABLE, None)
        for index in self._put_off:
            yield Result(index, Verdict.RETRY, reason, "", wait, left=False)
        end = self._end or Result(0, Verdict.RETRY, NOT_STARTED)
        for index in unsent:
            yield Result(index, end.verdict, end.reason, left=False)

    def _sorted(self) -> dict[bool, list[tuple[int, Subscription]]]:
        """Return the messages' browsers by whether their push service is the operator's own; refuse other hosts."""
        chosen = self._credential.settings
        hosts, private = chosen.get("hosts", ()), chosen.get("private", ())
        found: dict[bool, list[tuple[int, Subscription]]] = {}
        for index, message in enumerate(self._envelope.messages):
            try:
                subscription = of_token(message.token)
            except SubscriptionError:
                self._unsendable.append(Result(index, Verdict.DEAD, "bad_subscription", left=False))
                continue
            parts = urlsplit(subscription.endpoint)
            if allows(parts.hostname or "", parts.port or 443, hosts=hosts, private=private):
                kind = is_private(parts.hostname or "", private)
                found.setdefault(kind, []).append((index, subscription))
            else:
                self._unsendable.append(Result(index, Verdict.FAILED, "endpoint_not_allowed", left=False))
        return found

    def _judged(self, answer: Answer) -> Result | None:
        """Return what came of a message, None when its push service cannot be reached."""
        origin = self._origins.pop(answer.key)
        if answer.unknown:
            return Result(answer.key, Verdict.RETRY, DIED_IN_FLIGHT, unknown=True)
        if answer.error == NOT_PUBLIC:
            return Result(answer.key, Verdict.FAILED, "address_not_public", left=False)
        if answer.error:
            self._down.add(origin)
            self._put_off.append(answer.key)
            return None
        result = judge(answer)
        if result.verdict is Verdict.SHUT:
            self._end = self._end or result
        elif result.verdict is Verdict.SENT and answer.key in self._cut:
            return Result(answer.key, Verdict.SENT, SHORTENED)
        return result

    def _requests(self, waiting: Iterator[tuple[int, Subscription]]) -> Iterator[Request]:
        while self._end is None:
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return
            if self._go_on is not None and not self._go_on():
                return
            taken = next(waiting, None)
            if taken is None:
                return
            index, subscription = taken
            made = self._request(index, self._envelope.messages[index], subscription)
            if isinstance(made, Result):
                self._unsendable.append(made)
            elif made is not None:
                yield made

    def _request(self, index: int, message: Message, subscription: Subscription) -> Request | Result | None:
        """Return a message's request, the result of one that cannot be sent, or None for one that is put off."""
        origin = origin_of(subscription.endpoint)
        if origin in self._down:
            self._put_off.append(index)
            return None
        signer = self._keys.of(subscription.key)
        if signer is None:
            return Result(index, Verdict.DEAD, KEY_MISMATCH, left=False)
        try:
            body = self._body(index, message, subscription)
        except TooLargeError as error:
            return Result(index, Verdict.FAILED, error.reason, left=False)
        except (TypeError, ValueError):
            return Result(index, Verdict.FAILED, "content_not_json", left=False)
        envelope = self._envelope
        headers = headers_of(
            envelope.contents[message.content],
            envelope,
            notification=notification_text(message),
            expires_at=envelope.expires_at if message.expires_at is None else message.expires_at,
        )
        headers.append(self._sender.authorization(signer, origin))
        self._origins[index] = origin
        return index, subscription.endpoint, headers, body

    def _body(self, index: int, message: Message, subscription: Subscription) -> bytes:
        content, notification = self._envelope.contents[message.content], notification_text(message)

        def text_of(content: Content) -> bytes:
            return _encode(document(content, self._envelope, notification=notification))

        text = text_of(content)
        if len(text) > LIMIT:
            text = text_of(fitted(content, lambda shorter: len(text_of(shorter)), LIMIT))
            self._cut.add(index)
        return encrypt(text, subscription)
