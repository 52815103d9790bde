"""A Web Push service and the browsers behind it: who may send, to which subscription, and what the browser reads.

Sources: RFC 8030, RFC 8291, RFC 8292; the body of an error is Mozilla's, "HTTP Endpoints for Notifications",
mozilla-services.github.io/autopush-rs/http.html.
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus

import msgspec

from fleet.http import Reply, Request, json_reply
from fleet.points import base64url
from fleet.subscriptions import DecryptionError, Subscription, browser, split
from fleet.vapid import Vapid, VapidError
from fleet.webpush_rules import REASONS, Asked, WebPushError, checked_body, checked_headers
from fleet.world import World

PATH = "/wpush/v2/"
_MESSAGE = "/m/"


class _Nh(msgspec.Struct, gc=False):
    id: str = ""
    run: str = ""
    at: int = 0


class _Notice(msgspec.Struct, gc=False):
    title: str = ""
    body: str = ""
    tag: str = ""


class _Payload(msgspec.Struct, gc=False):
    """The parts of a plaintext the fleet reads: at its top, or as in a declarative push under `notification`."""

    title: str = ""
    body: str = ""
    tag: str = ""
    nh: _Nh = msgspec.field(default_factory=_Nh)
    notification: _Notice | None = None


_decode = msgspec.json.Decoder(_Payload).decode


class WebPush:
    """Answers `POST /wpush/v2/<subscription>`.

    A real service cannot read what it carries; here the browser reads it at once. What it cannot decrypt is
    accepted with 201 like everything else, counted as `undecryptable` and shown to nobody.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent = 0
        self.vapid = Vapid()
        self.url = ""
        self.answers: Counter[str] = Counter()

    def subscribe(self, count: int, *, application_server_key: str = "") -> list[Subscription]:
        """Make subscriptions; with a key (base64url) only its owner may send to them. Raises `ValueError`."""
        devices = self._world.devices
        first = devices.total
        tokens = devices.make("webpush", count=count, home=application_server_key)
        return [
            Subscription(
                number,
                self.url + PATH + token,
                base64url(browser(devices.secret, number).point),
                base64url(browser(devices.secret, number).auth),
            )
            for number, token in enumerate(tokens, first)
        ]

    def handle(self, request: Request) -> Reply:
        """Answer one request, through the faults that hold."""
        return self._world.trouble["webpush"].befall(self, request)

    def answer(self, request: Request) -> Reply:
        """Answer one request by the standards' rules."""
        try:
            asked = self._send(request)
        except WebPushError as error:
            return self._refuse(error.reason, error.text)
        self.answers["201"] += 1
        self._sent += 1
        headers = [("location", f"{self.url}{_MESSAGE}{self._sent:016x}"), ("ttl", str(asked.ttl))]
        return Reply(201, b"", headers)

    def refuse(self, reason: str, *, retry_after: int | None = None) -> Reply:
        """Refuse a send for one of REASONS."""
        return self._refuse(reason, "", retry_after=retry_after)

    def outage(self, status: int) -> str:
        return {500: "ServerError", 502: "BadGateway"}.get(status, "Unavailable")

    def quota(self) -> str:
        return "TooManyRequests"

    def _send(self, request: Request) -> Asked:
        if not request.path.startswith(PATH):
            raise WebPushError("NotFound")
        if request.method != "POST":
            raise WebPushError("MethodNotAllowed", "Only POST is supported.")
        asked = checked_headers(request.headers)
        checked_body(request.headers, request.body)
        device = self._device(request.path[len(PATH) :])
        self._authorise(request, device)
        if self._world.dead_since("webpush", device) is not None:
            raise WebPushError("Gone", "The subscription has expired or its user has unsubscribed")
        self._deliver(device, request.body, asked)
        return asked

    def _device(self, token: str) -> int:
        device = self._world.devices.mint.webpush_device(token)
        batch = None if device is None else self._world.devices.batch(device)
        if device is None or batch is None or batch.provider != "webpush":
            raise WebPushError("NotFound", "No such subscription")
        return device

    def _authorise(self, request: Request, device: int) -> None:
        batch = self._world.devices.batch(device)
        wanted = batch.home if batch else ""
        authorization = request.headers.get("authorization")
        if authorization is None and not wanted:
            return  # RFC 8292 is voluntary for a subscription that was made without a key.
        try:
            key = self.vapid.verify(authorization)
        except VapidError as error:
            raise WebPushError("Unauthorized" if error.missing else "Forbidden", str(error)) from error
        refused = self._world.trouble["webpush"].faults.refuse_credentials
        if refused or (wanted and base64url(key) != wanted):
            # RFC 8292, section 4.2: only the key that the subscription was made with.
            raise WebPushError("Forbidden", "k: is not the key that this subscription was made with")
        self._check_own_key(key, request.body)

    def _check_own_key(self, key: bytes, body: bytes) -> None:
        """RFC 8292, section 3.2: a signing key that is also the encryption's SHOULD be refused with 400."""
        try:
            sender = split(body)[2]
        except DecryptionError:
            return  # The browser's matter.
        if sender == key:
            raise WebPushError("BadEncryption", "The VAPID key must not be the key of the encryption")

    def _deliver(self, device: int, body: bytes, asked: Asked) -> None:
        payload, text = _Payload(), b""
        if body:
            try:
                text = browser(self._world.devices.secret, device).decrypt(body)
            except DecryptionError as error:
                self.answers["undecryptable"] += 1
                self._world.letters.put(
                    "webpush", device, {**asked._asdict(), "undecryptable": str(error)}, b""
                )
                return
        try:
            payload = _decode(text)
        except msgspec.MsgspecError:
            pass  # A page may send what it likes; it arrives without a title.
        self._world.letters.put("webpush", device, asked._asdict(), text)
        shown = payload.notification or payload
        self._world.record.accept(
            "webpush",
            device,
            run=payload.nh.run,
            notification=payload.nh.id,
            identity=shown.tag,
            title=shown.title,
            body=shown.body,
            event_at=payload.nh.at,
        )

    def _refuse(self, reason: str, text: str, *, retry_after: int | None = None) -> Reply:
        self.answers[reason] += 1
        status, number, words = REASONS[reason]
        content = {
            "code": status,
            "errno": number,
            "error": HTTPStatus(status).phrase,
            "message": text or words,
        }
        headers = [] if retry_after is None else [("retry-after", str(retry_after))]
        return json_reply(status, content, *headers)
