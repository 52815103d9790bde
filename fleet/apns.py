"""APNs' endpoint for one environment: who may send, to whom, and what becomes of it.

Source: "Sending notification requests to APNs" and "Handling notification responses from APNs",
developer.apple.com/documentation/usernotifications.
"""

from __future__ import annotations

import uuid
from collections import Counter

import msgspec

from fleet.apns_certificates import ApnsCertificate, Certificates
from fleet.apns_keys import ApnsKey, ProviderTokenError, ProviderTokens
from fleet.apns_rules import (
    REASONS,
    ApnsError,
    Payload,
    app_of_topic,
    check_collapse_id,
    check_headers,
    check_message_id,
    check_repeated,
    checked_payload,
    shown_text,
)
from fleet.devices import Environment
from fleet.http import Reply, Request
from fleet.world import World

_PATH = "/3/device/"


class Apns:
    """Answers /3/device/ for the phones of one environment; a phone of the other is a bad token."""

    def __init__(
        self, world: World, tokens: ProviderTokens, certificates: Certificates, environment: Environment
    ) -> None:
        self._world = world
        self._tokens = tokens
        self._certificates = certificates
        self._environment = environment
        self.answers: Counter[str] = Counter()

    def handle(self, request: Request) -> Reply:
        """Answer one request, through the faults that hold."""
        return self._world.trouble["apns"].befall(self, request)

    def answer(self, request: Request) -> Reply:
        """Answer one request by Apple's rules."""
        message_id = request.headers.get("apns-id")
        try:
            check_message_id(message_id)
            self._send(request)
        except (ApnsError, ProviderTokenError) as error:
            return self._refuse(error.reason, None if error.reason == "BadMessageId" else message_id)
        except _UnregisteredError as error:
            body = {"reason": "Unregistered", "timestamp": error.since}
            return self._refuse("Unregistered", message_id, body=body)
        self.answers["200"] += 1
        return Reply(200, b"", [("apns-id", message_id or _make_id())])

    def proves(self, request: Request) -> bool:
        """Return whether a request shows a good provider token: until one came, a connection has a single stream.

        Source: "Establishing a connection to Apple Push Notification service", developer.apple.com/documentation/
        usernotifications.
        """
        if self._world.trouble["apns"].faults.refuse_credentials:
            return False
        try:
            self._tokens.verify(request.headers.get("authorization"), limit_updates=False)
        except ProviderTokenError:
            return False
        return True

    def refuse(self, reason: str, *, retry_after: int | None = None) -> Reply:
        """Refuse a send for a reason of Apple's table."""
        return self._refuse(reason, None, retry_after=retry_after)

    def outage(self, status: int) -> str:
        return "InternalServerError" if status == 500 else "ServiceUnavailable"

    def quota(self) -> str:
        return "TooManyRequests"

    def _send(self, request: Request) -> None:
        if not request.path.startswith(_PATH):
            raise ApnsError("BadPath")
        if request.method != "POST":
            raise ApnsError("MethodNotAllowed")
        if request.repeated:
            check_repeated(request.repeated)
        headers = request.headers
        key = self._authorised(headers.get("authorization"), request.peer, request.first)
        push_type = headers.get("apns-push-type", "")
        check_headers(push_type, headers.get("apns-priority"), headers.get("apns-expiration"))
        identity = headers.get("apns-collapse-id", "")
        check_collapse_id(identity)
        topic = headers.get("apns-topic")
        if topic is None and isinstance(key, ApnsCertificate) and len(key.topics) == 1:
            topic = key.topics[0]
        app = app_of_topic(topic, push_type, key.topics)
        payload = checked_payload(request.body, push_type)
        device = self._device(request.path[len(_PATH) :], app)
        self._world.letters.put("apns", device, headers, request.body)
        self._deliver(device, payload, identity=identity, is_alert=push_type == "alert")

    def _authorised(self, authorization: str | None, peer: str, first: str) -> ApnsKey | ApnsCertificate:
        faults = self._world.trouble["apns"].faults
        if peer and authorization is None:
            return self._certified(peer, refused=faults.refuse_credentials)
        if faults.refuse_credentials:
            raise ProviderTokenError("InvalidProviderToken")
        key = self._tokens.verify(authorization, limit_updates=faults.limit_token_updates)
        if key.environment is not None and key.environment != self._environment:
            raise ProviderTokenError("BadEnvironmentKeyInToken")
        if first and first != authorization and self._tokens.key_id_of(first) != key.key_id:
            raise ProviderTokenError("UnrelatedKeyIdInToken")
        return key

    def _certified(self, peer: str, *, refused: bool) -> ApnsCertificate:
        certificate = self._certificates.of(peer)
        if certificate is None or refused:
            raise ApnsError("BadCertificate")
        if certificate.environment not in (None, self._environment):
            raise ApnsError("BadCertificateEnvironment")
        return certificate

    def _device(self, token: str, app: str) -> int:
        if not token:
            raise ApnsError("MissingDeviceToken")
        device = self._world.devices.mint.apns_device(token)
        batch = None if device is None else self._world.devices.batch(device)
        if device is None or batch is None or batch.provider != "apns":
            raise ApnsError("BadDeviceToken")
        if batch.environment != self._environment:
            raise ApnsError("BadDeviceToken")
        if batch.home != app:
            raise ApnsError("DeviceTokenNotForTopic")
        since = self._world.dead_since("apns", device)
        if since is not None:
            raise _UnregisteredError(since)
        return device

    def _deliver(self, device: int, payload: Payload, *, identity: str, is_alert: bool) -> None:
        title, body = shown_text(payload)
        self._world.record.accept(
            "apns",
            device,
            run=payload.nh.run,
            notification=payload.nh.id,
            identity=identity,
            title=title,
            body=body,
            visible=is_alert and payload.aps is not None and payload.aps.alert is not None,
            event_at=payload.nh.at,
        )

    def _refuse(
        self,
        reason: str,
        message_id: str | None,
        *,
        body: dict[str, object] | None = None,
        retry_after: int | None = None,
    ) -> Reply:
        self.answers[reason] += 1
        headers = [("apns-id", message_id or _make_id())]
        if retry_after is not None:
            headers.append(("retry-after", str(retry_after)))
        return Reply(REASONS[reason], msgspec.json.encode(body or {"reason": reason}), headers)


class _UnregisteredError(Exception):
    """The token died at `since` (milliseconds since the epoch)."""

    def __init__(self, since: int) -> None:
        super().__init__(since)
        self.since = since


def _make_id() -> str:
    return str(uuid.uuid4()).upper()
