"""`/inbox` and `/receipts`: what a device pulls with its subscriber token, and what it says back."""

from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import inbox, positions, receipts
from devices.authentication import Client, SubscriberTokenAuthentication
from devices.isolation import Scoped
from devices.paging import read_limit
from devices.strictness import StrictSerializer

MOST_RECEIPTS = 100
STATES = ("unread", "read", "archived")


class EntrySerializer(serializers.Serializer[Any]):
    """A notification as the device's platform shows it; the socket sends the same."""

    id = serializers.UUIDField()
    position = serializers.CharField()
    kind = serializers.CharField()
    run = serializers.UUIDField()
    title = serializers.CharField()
    body = serializers.CharField()
    subtitle = serializers.CharField()
    image = serializers.CharField()
    link = serializers.CharField()
    category = serializers.CharField()
    data = serializers.DictField(child=serializers.CharField())  # type: ignore[assignment]
    sent_at = serializers.IntegerField(help_text="Epoch milliseconds.")
    state = serializers.ChoiceField(choices=STATES)


class InboxSerializer(serializers.Serializer[Any]):
    """Entries, oldest first; keep `cursor`, go on with `next` while there is one, drop repeats by id."""

    entries = EntrySerializer(many=True)
    cursor = serializers.CharField()
    next = serializers.CharField(allow_null=True)
    recovered = serializers.BooleanField(help_text="False: the log no longer reaches back to the cursor.")
    poll_after_ms = serializers.IntegerField(help_text="When a device that polls may ask again.")


class InboxView(Scoped):
    """A subscriber's log as one of their devices reads it."""

    authentication_classes = [SubscriberTokenAuthentication]
    required_scope = ""

    @extend_schema(
        operation_id="inbox_read",
        parameters=[
            OpenApiParameter(
                "after", OpenApiTypes.STR, description="A cursor; without one, from the beginning."
            ),
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"1 to {inbox.MOST}."),
            OpenApiParameter(
                "wait",
                OpenApiTypes.INT,
                description="Seconds, up to 55: when there is nothing yet, wait for it so long.",
            ),
            OpenApiParameter(
                "If-None-Match",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="The ETag of the last answer: 304 when nothing is new.",
            ),
        ],
        responses={200: InboxSerializer, 304: None},
    )
    def get(self, request: Request) -> Response:
        """Read what is behind a cursor. (With `wait` the node answers, before this is asked.)"""
        identity = cast(Client, request.auth).identity
        limit = read_limit(request, default=inbox.MOST, most=inbox.MOST)
        try:
            found = inbox.read(
                identity.subscriber_uid,
                platform=identity.platform,
                after=request.query_params.get("after"),
                limit=limit,
            )
        except positions.CursorError as error:
            raise serializers.ValidationError({"after": [str(error)]}) from None
        headers = {"ETag": inbox.etag(found), "Poll-After-Ms": str(found["poll_after_ms"])}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status=304, headers=headers)
        return Response(found, headers=headers)


class ReceiptSerializer(StrictSerializer):
    """What happened on the device to some notifications."""

    kind = serializers.ChoiceField(choices=receipts.KINDS)
    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=receipts.MOST_IDS)


class ReceiptsSerializer(StrictSerializer):
    """Receipts, a kind at a time."""

    receipts = serializers.ListField(child=ReceiptSerializer(), min_length=1, max_length=MOST_RECEIPTS)


class RecordedSerializer(serializers.Serializer[Any]):
    """How many were taken; a repeated one changes nothing."""

    recorded = serializers.IntegerField()


class ReceiptsView(Scoped):
    """What devices say about notifications later."""

    authentication_classes = [SubscriberTokenAuthentication]
    required_scope = ""

    @extend_schema(
        operation_id="receipts_record", request=ReceiptsSerializer, responses={202: RecordedSerializer}
    )
    def post(self, request: Request) -> Response:
        """Record receipts of the device's own notifications."""
        serializer = ReceiptsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        identity = cast(Client, request.auth).identity
        recorded = sum(
            receipts.record(identity.subscriber_uid, identity.device_uid, one["ids"], one["kind"])
            for one in serializer.validated_data["receipts"]
        )
        return Response({"recorded": recorded}, status=202)
