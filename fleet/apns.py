"""APNs' endpoint for one environment: who may send, to whom, and what becomes of it.

Source: "Sending notification requests to APNs" and "Handling notification responses from APNs",
developer.apple.com/documentation/usernotifications.
"""

from __future__ import annotations

import uuid
from collections import Counter

import msgspec

from fleet.apns_keys import ApnsKey, ProviderTokenError, ProviderTokens
from fleet.apns_rules import (
    REASONS,
    ApnsError,
    Payload,
    app_of_topic,
    checked_headers,
    checked_message_id,
    checked_payload,
)
from fleet.devices import Environment
from fleet.http import Reply, Request
from fleet.tokens import looks_like_apns
from fleet.world import World

_PATH = "/3/device/"


class Apns:
    """Answers /3/device/ for the phones of one environment; a phone of the other is a bad token."""

    def __init__(self, world: World, tokens: ProviderTokens, environment: Environment) -> None:
        self._world = world
        self._tokens = tokens
        self._environment = environment
        self.answers: Counter[str] = Counter()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        reply = self._answer(request)
        if self._world.faults["apns"].take_cut():
            self._world.cut("apns")
            return reply._replace(wait=None)
        return reply

    def _answer(self, request: Request) -> Reply:
        message_id = None
        faults = self._world.faults["apns"]
        try:
            message_id = checked_message_id(request.headers)
            self._send(request)
        except ApnsError as error:
            return self._refuse(error.reason, message_id, wait=faults.wait())
        except ProviderTokenError as error:
            return self._refuse(error.reason, message_id, wait=faults.wait())
        except _UnregisteredError as error:
            body = {"reason": "Unregistered", "timestamp": error.since}
            return self._refuse("Unregistered", message_id, wait=faults.wait(), body=body)
        except _FaultError as error:
            return self._refuse(error.reason, message_id, wait=0.0, retry_after=error.retry_after)
        self.answers["200"] += 1
        wait = None if faults.take_lost_answer() else faults.wait()
        return Reply(200, b"", [("apns-id", message_id or _make_id())], wait)

    def _send(self, request: Request) -> None:
        if not request.path.startswith(_PATH):
            raise ApnsError("BadPath")
        if request.method != "POST":
            raise ApnsError("MethodNotAllowed")
        self._raise_faults()
        key = self._authorised(request)
        push_type, identity = checked_headers(request.headers)
        app = app_of_topic(request.headers.get("apns-topic"), push_type, key.topics)
        payload = checked_payload(request.body, push_type)
        device = self._device(request.path[len(_PATH) :], app)
        self._deliver(device, payload, identity=identity, push_type=push_type)

    def _authorised(self, request: Request) -> ApnsKey:
        faults = self._world.faults["apns"]
        if faults.refuse_credentials:
            raise ProviderTokenError("InvalidProviderToken")
        header = request.headers.get("authorization")
        key = self._tokens.verify(header, limit_updates=faults.limit_token_updates)
        if key.environment is not None and key.environment != self._environment:
            raise ProviderTokenError("BadEnvironmentKeyInToken")
        return key

    def _raise_faults(self) -> None:
        faults = self._world.faults["apns"]
        failure = faults.take_failure()
        if failure is not None:
            reason = "InternalServerError" if failure.status == 500 else "ServiceUnavailable"
            raise _FaultError(reason, failure.retry_after)
        quota = faults.take_quota()
        if quota is not None:
            raise _FaultError("TooManyRequests", quota.retry_after)
        chosen = faults.take_refusal()
        if chosen is not None:
            raise _FaultError(chosen.reason, chosen.retry_after)

    def _device(self, token: str, app: str) -> int:
        if not token:
            raise ApnsError("MissingDeviceToken")
        device = self._world.devices.mint.apns_device(token) if looks_like_apns(token) else None
        batch = None if device is None else self._world.devices.batch(device)
        if device is None or batch is None or batch.provider != "apns":
            raise ApnsError("BadDeviceToken")
        if batch.environment != self._environment:
            raise ApnsError("BadDeviceToken")
        if batch.home != app:
            raise ApnsError("DeviceTokenNotForTopic")
        if self._world.is_dead("apns", device):
            self._world.refused_dead[device] += 1
            raise _UnregisteredError(self._world.dead_since("apns", device))
        return device

    def _deliver(self, device: int, payload: Payload, *, identity: str, push_type: str) -> None:
        self._world.record.accept(
            "apns",
            device,
            run=payload.nh.run,
            notification=payload.nh.id,
            identity=identity,
            title=payload.title,
            body=payload.body,
            visible=push_type == "alert" and payload.visible,
        )

    def _refuse(
        self,
        reason: str,
        message_id: str | None,
        *,
        wait: float,
        body: dict[str, object] | None = None,
        retry_after: int | None = None,
    ) -> Reply:
        self.answers[reason] += 1
        headers = [("apns-id", message_id or _make_id())]
        if retry_after is not None:
            headers.append(("retry-after", str(retry_after)))
        return Reply(REASONS[reason], msgspec.json.encode(body or {"reason": reason}), headers, wait)


class _UnregisteredError(Exception):
    """The token died at `since` (milliseconds since the epoch)."""

    def __init__(self, since: int) -> None:
        super().__init__(since)
        self.since = since


class _FaultError(Exception):
    """A failure made on purpose."""

    def __init__(self, reason: str, retry_after: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


def _make_id() -> str:
    return str(uuid.uuid4()).upper()
