"""`/notifications`: tell named subscribers something, once per `Idempotency-Key`."""

import time
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import notifications
from campaigns.api.campaign_document import OPTIONS
from delivery import acknowledged, draining, lanes, runs
from delivery.models import Run
from devices.isolation import Scoped
from devices.models import Application, Subscriber
from devices.problems import ProblemError, refuse
from devices.strictness import refuse_unknown

MOST_SECONDS = 10.0
LOOK_SECONDS = 0.05
MOST_WATCHED = 20
"""Recipients of whose devices is told what each has acknowledged."""
WAITERS = max(1, settings.WEB_CONNECTIONS // 4)
"""Callers that may wait at a time in a process: each holds a thread that others need."""
MOST_KEY = 255
_TEXT = {"type": "string"}
BADGE = "A number, or auto: how much the person has not read."
_DOCUMENT = {
    "type": "object",
    "required": ["to"],
    "properties": {
        "to": {"oneOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 1000}]},
        "campaign": {
            "type": "string",
            "format": "uuid",
            "description": "Whose content; else it stands inline.",
        },
        "title": _TEXT,
        "body": _TEXT,
        "subtitle": _TEXT,
        "link": _TEXT,
        "image": _TEXT,
        "sound": _TEXT,
        "badge": {"oneOf": [_TEXT, {"type": "integer"}], "description": BADGE},
        "data": {"type": "object", "additionalProperties": _TEXT},
        **{name: {"type": "object", "description": said} for name, said in OPTIONS.items()},
        "locales": {"type": "object"},
        "overrides": {"type": "object"},
        "variables": {"type": "object"},
        "lane": {"enum": ["critical", "high", "normal", "bulk"], "default": "high"},
        "category": _TEXT,
        "override": {
            "type": "boolean",
            "description": "In the lane critical, with a category that allows it: pass preferences and quiet hours.",
        },
        "ttl": {"type": "integer", "minimum": 1},
    },
}


class NotificationSerializer(serializers.Serializer[Any]):
    """Who is told, and under which id."""

    to = serializers.CharField()
    id = serializers.UUIDField()


class DeviceAnswerSerializer(serializers.Serializer[Any]):
    """What became of it on a device; `acknowledged_at` is null for a push, and while a device has not answered."""

    to = serializers.CharField()
    device = serializers.UUIDField()
    outcome = serializers.CharField()
    reason = serializers.CharField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)


class SentSerializer(serializers.Serializer[Any]):
    """The run; with `wait`, also what sending came to, how many messages still wait, and what each device answered."""

    run = serializers.UUIDField()
    notifications = NotificationSerializer(many=True)
    outcomes = serializers.DictField(child=serializers.IntegerField(), required=False)
    stopped = serializers.DictField(child=serializers.IntegerField(), required=False)
    waiting = serializers.IntegerField(required=False)
    complete = serializers.BooleanField(required=False)
    devices = DeviceAnswerSerializer(many=True, required=False)


class NotificationView(Scoped):
    """Transactional notifications."""

    required_scope = "notifications:write"
    parameters = ("wait",)

    @extend_schema(
        operation_id="notifications_send",
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="The same key and body again is the same notification and gets the same answer.",
            ),
            OpenApiParameter(
                "wait",
                OpenApiTypes.NUMBER,
                description=f"Seconds, up to {MOST_SECONDS:g}, to wait for outcomes and, of up to {MOST_WATCHED} "
                "recipients, for what devices with an open line acknowledge. A busy hub answers at once.",
            ),
        ],
        request={"application/json": OpenApiRequest(_DOCUMENT)},
        responses={202: SentSerializer},
    )
    def post(self, request: Request) -> Response:
        """Send to named subscribers; a 202 means that it is stored."""
        seconds = _seconds(request)
        idempotency_key = request.headers.get("Idempotency-Key", "").strip()
        if len(idempotency_key) > MOST_KEY:
            raise refuse(400, "invalid", "The Idempotency-Key is too long", f"At most {MOST_KEY} characters.")
        if isinstance(request.data, dict):
            refuse_unknown(request.data, notifications.Request.__struct_fields__)
        try:
            answer = notifications.send(self.application, self.key, request.data, idempotency_key)
        except notifications.SendError as error:
            raise ProblemError(error.problem) from None
        if seconds:
            answer = {**answer, **_awaited(self.application, answer, seconds)}
        return Response(answer, status=202)


def _seconds(request: Request) -> float:
    text = request.query_params.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_SECONDS:
        raise serializers.ValidationError({"wait": [f"Write seconds from 0 to {MOST_SECONDS:g}."]})
    return seconds


_waiting = BoundedSemaphore(WAITERS)


def _awaited(application: Application, answer: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return what a send has come to when nothing more is awaited, or when `seconds` are over."""
    run = Run.objects.get(uid=answer["run"])
    told = answer["notifications"] if len(answer["notifications"]) <= MOST_WATCHED else []
    names = {UUID(one["id"]): one["to"] for one in told}
    found = Subscriber.objects.filter(application=application, external_id__in=names.values())
    people = {name: (key, uid) for name, key, uid in found.values_list("external_id", "pk", "uid")}
    pairs = [(people[name], notification) for notification, name in names.items() if name in people]
    may_wait = _waiting.acquire(blocking=False)
    deadline = time.monotonic() + (seconds if may_wait else 0.0)
    try:
        if may_wait and run.lane == lanes.CRITICAL:
            draining.go_straight(run)
        while True:
            progress = runs.progress(run)
            devices = acknowledged.of(run.uid, pairs)
            left = deadline - time.monotonic()
            if left <= 0 or (progress.complete and not any(device.awaited for device in devices)):
                break
            time.sleep(min(LOOK_SECONDS, left))
    finally:
        if may_wait:
            _waiting.release()
    shown = [
        {
            "to": names[one.notification],
            "device": one.device,
            "outcome": one.outcome,
            "reason": one.reason,
            "acknowledged_at": one.acknowledged_at and datetime.fromtimestamp(one.acknowledged_at, UTC),
        }
        for one in devices
    ]
    return {
        "outcomes": progress.outcomes,
        "stopped": progress.stopped,
        "waiting": progress.waiting,
        "complete": progress.complete,
        **({"devices": DeviceAnswerSerializer(shown, many=True).data} if told else {}),
    }
