"""`/notifications`: tell named subscribers something, once per `Idempotency-Key`."""

import time
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import notifications
from campaigns.api.campaign_document import OPTIONS
from delivery import runs
from delivery.models import Run
from devices.isolation import Scoped
from devices.problems import ProblemError, refuse

MOST_SECONDS = 10.0
LOOK_SECONDS = 0.1
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


class SentSerializer(serializers.Serializer[Any]):
    """The run; with `wait`, also what sending came to and how many messages still wait."""

    run = serializers.UUIDField()
    notifications = NotificationSerializer(many=True)
    outcomes = serializers.DictField(child=serializers.IntegerField(), required=False)
    stopped = serializers.DictField(child=serializers.IntegerField(), required=False)
    waiting = serializers.IntegerField(required=False)
    complete = serializers.BooleanField(required=False)


class NotificationView(Scoped):
    """Transactional notifications."""

    required_scope = "notifications:write"

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
                description=f"Seconds, up to {MOST_SECONDS:g}, to wait for outcomes.",
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
        try:
            answer = notifications.send(self.application, self.key, request.data, idempotency_key)
        except notifications.SendError as error:
            raise ProblemError(error.problem) from None
        if seconds:
            answer = {**answer, **_outcomes(answer["run"], seconds)}
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


def _outcomes(run_uid: Any, seconds: float) -> dict[str, Any]:
    """Return what a run has come to when it is complete, or when `seconds` are over."""
    run = Run.objects.get(uid=run_uid)
    deadline = time.monotonic() + seconds
    while not (progress := runs.progress(run)).complete and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(LOOK_SECONDS, left))
    return {
        "outcomes": progress.outcomes,
        "stopped": progress.stopped,
        "waiting": progress.waiting,
        "complete": progress.complete,
    }
