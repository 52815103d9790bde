"""`/inbox` and `/receipts`: what a device pulls with its subscriber token, and what it says back."""

import time
from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import browsing, inbox, positions, receipts
from delivery.node.acknowledgements import write_cursors
from devices.authentication import Client, SubscriberTokenAuthentication
from devices.isolation import Scoped
from devices.paging import read_limit
from devices.strictness import StrictSerializer

MOST_RECEIPTS = 100


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
    sent_at = serializers.DateTimeField(help_text="RFC 3339, in UTC.")
    state = serializers.ChoiceField(choices=browsing.STATES)


class InboxSerializer(serializers.Serializer[Any]):
    """Entries, oldest first; keep `cursor`, go on with `next` while there is one, drop repeats by id."""

    entries = EntrySerializer(many=True)
    cursor = serializers.CharField()
    next = serializers.CharField(allow_null=True)
    recovered = serializers.BooleanField(help_text="False: the log no longer reaches back to the cursor.")
    poll_after_ms = serializers.IntegerField(help_text="When a device that polls may ask again.")
    device = serializers.UUIDField(help_text="Whose reading this is: keep a cursor for each.")


class InboxView(Scoped):
    """A subscriber's log as one of their devices reads it."""

    authentication_classes = [SubscriberTokenAuthentication]
    required_scope = ""
    parameters = ("after", "limit", "wait")

    @extend_schema(
        operation_id="inbox_read",
        parameters=[
            OpenApiParameter(
                "after",
                OpenApiTypes.STR,
                description="A cursor; without one, from the beginning, and with `wait` from behind what the device"
                " has acknowledged, as on a socket.",
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
        return Response({**found, "device": str(identity.device_uid)}, headers=headers)


class LatestSerializer(serializers.Serializer[Any]):
    """Entries, newest first, and how many wait to be read."""

    entries = EntrySerializer(many=True)
    before = serializers.CharField(allow_null=True, help_text="Where older ones begin; null: there are none.")
    unread = serializers.IntegerField(
        allow_null=True, help_text=f"0 to {browsing.MOST_UNREAD}, on the first page; null on the others."
    )
    more_unread = serializers.BooleanField(
        allow_null=True, help_text=f"True: more than {browsing.MOST_UNREAD} are unread."
    )


class LatestView(Scoped):
    """The inbox as a person looks through it."""

    authentication_classes = [SubscriberTokenAuthentication]
    required_scope = ""
    parameters = ("before", "limit")

    @extend_schema(
        operation_id="inbox_latest",
        parameters=[
            OpenApiParameter(
                "before", OpenApiTypes.STR, description="Where the last page ended; without it, the newest."
            ),
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"1 to {browsing.MOST}."),
        ],
        responses={200: LatestSerializer},
    )
    def get(self, request: Request) -> Response:
        """Show what is not archived, newest first."""
        identity = cast(Client, request.auth).identity
        limit = read_limit(request, default=20, most=browsing.MOST)
        try:
            found = browsing.latest(
                identity.subscriber_uid,
                platform=identity.platform,
                before=request.query_params.get("before"),
                limit=limit,
            )
        except positions.CursorError as error:
            raise serializers.ValidationError({"before": [str(error)]}) from None
        return Response(found)


class MarksSerializer(StrictSerializer):
    """What to mark, either `ids` or `all` that are unread, and as what."""

    state = serializers.ChoiceField(choices=browsing.STATES)
    ids = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=receipts.MOST_IDS, required=False
    )
    all = serializers.BooleanField(required=False)

    def validate(self, attrs: Any) -> Any:
        if ("ids" in attrs) == bool(attrs.get("all")):
            raise serializers.ValidationError({"ids": ["Name the notifications, or say “all”: true."]})
        return attrs


class AskedSerializer(StrictSerializer):
    """Which notifications and runs are asked about."""

    id = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=browsing.MOST)
    run = serializers.ListField(child=serializers.UUIDField(), max_length=browsing.MOST)


class StatesSerializer(serializers.Serializer[Any]):
    """What the person has done with the notifications that were asked about, and which of the runs were recalled."""

    states = serializers.DictField(
        child=serializers.ChoiceField(choices=browsing.STATES), help_text="By notification id."
    )
    recalled = serializers.ListField(child=serializers.UUIDField())


class MarkedSerializer(serializers.Serializer[Any]):
    """What was marked."""

    marked = serializers.ListField(child=serializers.UUIDField())


class MarksView(Scoped):
    """What a person has read or put away."""

    authentication_classes = [SubscriberTokenAuthentication]
    required_scope = ""
    parameters = ("id", "run")

    @extend_schema(
        operation_id="inbox_states",
        parameters=[
            OpenApiParameter(
                "id", OpenApiTypes.UUID, many=True, required=True, description=f"1 to {browsing.MOST}."
            ),
            OpenApiParameter(
                "run", OpenApiTypes.UUID, many=True, description=f"Their runs, up to {browsing.MOST}."
            ),
        ],
        responses=StatesSerializer,
    )
    def get(self, request: Request) -> Response:
        """Tell what became of notifications, for a device that may have missed it: one read, and one for runs."""
        asked = request.query_params
        serializer = AskedSerializer(data={"id": asked.getlist("id"), "run": asked.getlist("run")})
        serializer.is_valid(raise_exception=True)
        identity = cast(Client, request.auth).identity
        states, recalled = browsing.states(
            identity.subscriber_uid,
            serializer.validated_data["id"],
            application=self.application,
            runs=serializer.validated_data["run"],
        )
        found = {str(one): state for one, state in states.items()}
        return Response({"states": found, "recalled": [str(run) for run in recalled]})

    @extend_schema(operation_id="inbox_mark", request=MarksSerializer, responses={200: MarkedSerializer})
    def post(self, request: Request) -> Response:
        """Mark notifications as read, archived or unread, on every device of the subscriber at once."""
        serializer = MarksSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        identity = cast(Client, request.auth).identity
        marked = browsing.mark(
            identity.subscriber_uid,
            identity.device_uid,
            ids=serializer.validated_data.get("ids"),
            state=serializer.validated_data["state"],
            platform=identity.platform,
        )
        return Response({"marked": [str(one) for one in marked]})


class ReceiptSerializer(StrictSerializer):
    """What happened on the device to some notifications."""

    kind = serializers.ChoiceField(choices=receipts.KINDS)
    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=receipts.MOST_IDS)


class ReceiptsSerializer(StrictSerializer):
    """Receipts, a kind at a time."""

    receipts = serializers.ListField(child=ReceiptSerializer(), min_length=1, max_length=MOST_RECEIPTS)
    cursor = serializers.CharField(
        required=False,
        max_length=512,
        help_text="What the device has stored everything up to: where it goes on if it loses its own cursor.",
    )

    def validate_cursor(self, cursor: str) -> bytes:
        try:
            return positions.decode(cursor)
        except positions.CursorError as error:
            raise serializers.ValidationError(str(error)) from None


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
        if "cursor" in serializer.validated_data:
            write_cursors({identity.device_uid: serializer.validated_data["cursor"]}, time.time())
        return Response({"recorded": recorded}, status=202)
