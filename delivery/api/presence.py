"""`/presence`: which devices of some subscribers hold a line now, since when, and on which nodes."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import presence
from devices.authentication import ApiKeyAuthentication, Client, SubscriberTokenAuthentication
from devices.isolation import Scoped
from devices.models import Device, Subscriber
from devices.problems import refuse

MOST = 100
"""Subscribers that may be asked about at once."""


class HolderSerializer(serializers.Serializer[Any]):
    """That a node holds a device's lines, since its oldest one there."""

    node = serializers.CharField()
    since = serializers.DateTimeField()


class DevicePresenceSerializer(serializers.Serializer[Any]):
    """A device, and the nodes that hold it; none: it is not online."""

    id = serializers.UUIDField()
    platform = serializers.CharField()
    online = serializers.BooleanField()
    nodes = HolderSerializer(many=True)


class SubscriberPresenceSerializer(serializers.Serializer[Any]):
    """A subscriber's active devices, and whether any of them is online."""

    subscriber = serializers.CharField()
    online = serializers.BooleanField()
    devices = DevicePresenceSerializer(many=True)


class PresenceSerializer(serializers.Serializer[Any]):
    """Those who were asked about, in that order; `unknown` are no subscribers of the application."""

    items = SubscriberPresenceSerializer(many=True)
    unknown = serializers.ListField(child=serializers.CharField())


class PresenceView(Scoped):
    """Who is online, since when, on which node; a device with a subscriber token asks about its own subscriber."""

    authentication_classes = [ApiKeyAuthentication, SubscriberTokenAuthentication]
    required_scope = "subscribers:read"
    parameters = ("subscriber",)

    @extend_schema(
        operation_id="presence_show",
        parameters=[
            OpenApiParameter(
                "subscriber",
                OpenApiTypes.STR,
                many=True,
                description=f"External ids, {MOST} at most: `?subscriber=ada&subscriber=ben`. Needed with an API key.",
            )
        ],
        responses=PresenceSerializer,
    )
    def get(self, request: Request) -> Response:
        """Show what holds now: two queries and one look into Redis, however many are asked about."""
        auth: Any = request.auth
        asked = request.query_params.getlist("subscriber")
        names = [auth.subscriber.external_id] if isinstance(auth, Client) else list(dict.fromkeys(asked))
        if not 1 <= len(names) <= MOST:
            detail = (
                f"Write one to {MOST} subscribers, as ?subscriber=ada&subscriber=ben; these are {len(names)}."
            )
            raise refuse(400, "invalid", "Whose presence?", detail)
        known = set(
            Subscriber.objects.filter(application=self.application, external_id__in=names).values_list(
                "external_id", flat=True
            )
        )
        rows = list(
            Device.objects.filter(
                application=self.application, subscriber__external_id__in=known, state=Device.State.ACTIVE
            )
            .order_by("pk")
            .values_list("uid", "platform", "subscriber__external_id")
        )
        try:
            held = presence.online([uid.bytes for uid, _, _ in rows])
        except RedisError:
            detail = "Presence is kept in Redis, which does not answer; try again."
            raise refuse(503, "away", "Not now", detail) from None
        devices: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for (uid, platform, name), lines in zip(rows, held, strict=True):
            shown = [
                {"node": line.node, "since": datetime.fromtimestamp(line.since, UTC)}
                for line in sorted(lines, key=lambda line: line.since)
            ]
            devices[name].append({"id": uid, "platform": platform, "online": bool(shown), "nodes": shown})
        found = {
            "items": [
                {
                    "subscriber": name,
                    "online": any(device["online"] for device in devices[name]),
                    "devices": devices[name],
                }
                for name in names
                if name in known
            ],
            "unknown": [name for name in names if name not in known],
        }
        return Response(PresenceSerializer(found).data)
