"""`/events`: CloudEvents from services and from clients."""

from typing import Any

from drf_spectacular.utils import OpenApiRequest, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import intake
from devices.authentication import ApiKeyAuthentication, Client, SubscriberTokenAuthentication
from devices.isolation import Scoped
from devices.parsing import CloudEventBatchParser, CloudEventParser, LimitedJsonParser
from devices.problem_values import Problem
from devices.problems import ProblemError, refuse

_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "maxLength": 200},
        "source": {"type": "string", "format": "uri-reference", "maxLength": 300},
        "type": {"type": "string", "maxLength": 150},
        "subject": {"type": "string", "maxLength": 255},
        "time": {"type": "string", "format": "date-time"},
        "data": {},
    },
}
_BATCH = {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": intake.BATCH_LIMIT}


class RejectedSerializer(serializers.Serializer[Any]):
    """An event that was not taken: its place in the batch, from 0, and the problem (RFC 9457)."""

    index = serializers.IntegerField()
    problem = serializers.DictField()


class AcceptedSerializer(serializers.Serializer[Any]):
    """How many events are stored now, how many were known already, and which were refused."""

    accepted = serializers.IntegerField()
    repeated = serializers.IntegerField()
    rejected = RejectedSerializer(many=True)


class EventView(Scoped):
    """Take events in; a 202 means that they are stored."""

    authentication_classes = [ApiKeyAuthentication, SubscriberTokenAuthentication]
    parser_classes = [LimitedJsonParser, CloudEventParser, CloudEventBatchParser]
    required_scope = "events:write"

    @extend_schema(
        operation_id="events_send",
        request={
            "application/cloudevents+json": OpenApiRequest(_EVENT),
            "application/cloudevents-batch+json": OpenApiRequest(_BATCH),
            "application/json": OpenApiRequest({"oneOf": [_EVENT, _BATCH]}),
        },
        responses={202: AcceptedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Store an event or a batch of them; the good ones of a batch are stored whatever the others are."""
        documents = _documents(request)
        auth: Any = request.auth
        sender = (
            intake.Sender.client(auth.subscriber) if isinstance(auth, Client) else intake.Sender.key(auth)
        )
        try:
            taken = intake.accept(self.application, documents, sender)
        except intake.BatchError as error:
            raise ProblemError(error.problem) from None
        rejected = [one.as_dict() for one in taken.rejected]
        if rejected and not taken.stored and not taken.repeated:
            raise ProblemError(_refusal(request.data, taken.rejected), members={"rejected": rejected})
        return Response(
            {"accepted": len(taken.stored), "repeated": taken.repeated, "rejected": rejected}, status=202
        )


def _documents(request: Request) -> list[Any]:
    if "ce-specversion" in request.headers:
        raise refuse(
            415,
            "unsupported-media-type",
            "Events in binary mode are not taken",
            f"Send it in structured mode: all of it as JSON in the body, as {CloudEventParser.media_type}; "
            "the CloudEvents SDKs call that to_structured, or structured mode.",
        )
    body = request.data
    if body == {}:
        raise refuse(
            400, "invalid", "There is no event", "Send one as a JSON object, or a JSON array of them."
        )
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if kind == CloudEventBatchParser.media_type and not isinstance(body, list):
        raise refuse(400, "invalid", "This is no batch", "A batch of events is a JSON array.")
    if kind == CloudEventParser.media_type and isinstance(body, list):
        raise refuse(
            400,
            "invalid",
            "This is no event",
            f"Send a list of events as {CloudEventBatchParser.media_type}.",
        )
    return body if isinstance(body, list) else [body]


def _refusal(body: Any, rejected: list[intake.Rejected]) -> Problem:
    """Return the one event's own problem, or that of a batch without a good event."""
    if not isinstance(body, list):
        return rejected[0].problem
    first = rejected[0].problem
    return Problem(
        400,
        "events-rejected",
        "No event was taken",
        f"All {len(rejected)} were refused; the first: {first.detail}",
        f"/{rejected[0].index}{first.pointer}",
    )
