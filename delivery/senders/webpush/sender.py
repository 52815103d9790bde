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
from delivery.senders.keeping import Kept
from delivery.senders.tokens import SharedTokens
from delivery.senders.webpush.addresses import Addresses, NoAddressError, NotPublicError, pin
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

REST_SECONDS = 30.0
"""For how long the messages of a push service that cannot be reached are put off."""
_encode = msgspec.json.Encoder().encode


class WebPushSender:
    """Hands messages to the push services of browsers."""

    provider = "webpush"

    def __init__(
        self, tokens: SharedTokens, *, streams: int = STREAMS, addresses: Addresses | None = None
    ) -> None:
        self._tokens = tokens
        self._streams = streams
        self._keys: Kept[Keys] = Kept(Keys)
        self._addresses = addresses or Addresses()

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
        endpoint = f"{origin}/wpush/v2/notifyhub-check"
        try:
            pinned = self.pinned(endpoint, credential)
        except (NoAddressError, NotPublicError, SubscriptionError) as error:
            raise UnreachableError(UNREACHABLE, f"{origin} cannot be reached: {error}.") from error
        headers = ["ttl: 0", self.authorization(keys.newest, origin), "Expect:"]
        sending = engine(self.provider, ca_file=credential.ca_file)
        sending.pins = [pinned]
        answer = next(iter(sending.run([(0, endpoint, headers, b"")])))
        if answer.error:
            raise UnreachableError(UNREACHABLE, f"{origin} cannot be reached: {answer.error}.")
        result = judge(answer)
        if result.verdict is Verdict.SHUT:
            raise CredentialError(result.reason, f"{origin} refuses the VAPID token: {result.reason}.")
        if result.verdict in (Verdict.RETRY, Verdict.SLOW):
            raise UnreachableError(result.reason, f"{origin} cannot say now: {result.reason}.")

    def authorization(self, signer: Signer, origin: str) -> str:
        """Return the header line that shows a push service who sends (RFC 8292 section 3)."""
        token = self._tokens.current(f"webpush:{signer.identity}:{origin}", lambda: signer.mint(origin))
        return f"authorization: vapid t={token}, k={signer.public_key}"

    def pinned(self, endpoint: str, credential: Credential) -> str:
        """Return what an endpoint's name is pinned to.

        Raises `SubscriptionError` for a name that is not on the credential's lists, else what `Addresses.of` does.
        """
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port or 443
        hosts, private = credential.settings.get("hosts", ()), credential.settings.get("private", ())
        if not allows(host, port, hosts=hosts, private=private):
            raise SubscriptionError("endpoint", f"{host}:{port} is not on the list")
        return pin(host, port, self._addresses.of(host, port, private=is_private(host, private)))


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
        self._engine: Engine = engine(sender.provider, ca_file=credential.ca_file)
        self._unsent = iter(range(len(envelope.messages)))
        self._unsendable: list[Result] = []
        self._put_off: list[int] = []
        self._down: set[str] = set()
        self._origins: dict[int, str] = {}
        self._cut: set[int] = set()
        self._pins: dict[str, str] = {}
        self._end: Result | None = None

    def results(self, streams: int) -> Iterator[Result]:
        """Yield one result for every message."""
        answered = False
        for answer in self._engine.run(self._requests(), deadline=self._deadline, streams=streams):
            origin = self._origins.pop(answer.key)
            if answer.error and not answer.unknown:
                self._down.add(origin)
                self._put_off.append(answer.key)
                continue
            answered = True
            yield self._judged(answer)
        yield from self._unsendable
        # others answer, so the provider as a whole is there: this service's messages are not started yet
        reason, wait = (NOT_STARTED, REST_SECONDS) if answered or self._unsendable else (UNREACHABLE, None)
        for index in self._put_off:
            yield Result(index, Verdict.RETRY, reason, "", wait, left=False)
        end = self._end or Result(0, Verdict.RETRY, NOT_STARTED)
        for index in self._unsent:
            yield Result(index, end.verdict, end.reason, left=False)

    def _judged(self, answer: Answer) -> Result:
        if answer.unknown:
            return Result(answer.key, Verdict.RETRY, DIED_IN_FLIGHT, unknown=True)
        result = judge(answer)
        if result.verdict is Verdict.SHUT:
            self._end = self._end or result
        elif result.verdict is Verdict.SENT and answer.key in self._cut:
            return Result(answer.key, Verdict.SENT, SHORTENED)
        return result

    def _requests(self) -> Iterator[Request]:
        while self._end is None:
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return
            if self._go_on is not None and not self._go_on():
                return
            index = next(self._unsent, -1)
            if index < 0:
                return
            made = self._request(index, self._envelope.messages[index])
            if isinstance(made, Result):
                self._unsendable.append(made)
            elif made is not None:
                yield made

    def _request(self, index: int, message: Message) -> Request | Result | None:
        """Return a message's request, the result of one that cannot be sent, or None for one that is put off."""
        try:
            subscription = of_token(message.token)
        except SubscriptionError:
            return Result(index, Verdict.DEAD, "bad_subscription", left=False)
        origin = origin_of(subscription.endpoint)
        if origin not in self._down:
            try:
                self._pin(origin, subscription.endpoint)
            except NoAddressError:
                self._down.add(origin)
            except SubscriptionError:
                return Result(index, Verdict.FAILED, "endpoint_not_allowed", left=False)
            except NotPublicError:
                return Result(index, Verdict.FAILED, "address_not_public", left=False)
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

    def _pin(self, origin: str, endpoint: str) -> None:
        if origin not in self._pins:
            self._pins[origin] = self._sender.pinned(endpoint, self._credential)
            self._engine.pins = list(self._pins.values())

    def _body(self, index: int, message: Message, subscription: Subscription) -> bytes:
        content, notification = self._envelope.contents[message.content], notification_text(message)

        def text_of(content: Content) -> bytes:
            return _encode(document(content, self._envelope, notification=notification))

        text = text_of(content)
        if len(text) > LIMIT:
            text = text_of(fitted(content, lambda shorter: len(text_of(shorter)), LIMIT))
            self._cut.add(index)
        return encrypt(text, subscription)
