"""`/device-messages`: what a device says to the other devices of its subscriber."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import device_messages
from devices.authentication import Client, SubscriberTokenAuthentication
from devices.isolation import Scoped
from devices.models import Device
from devices.problems import refuse
from devices.strictness import StrictSerializer


class MessageSerializer(StrictSerializer):
    """What to say: `data` is any JSON, `to` a device of the same subscriber; without `to`, all the others."""

    to = serializers.UUIDField(required=False, allow_null=True, default=None)
    data = serializers.JSONField()  # type: ignore[assignment]  # fields are taken from the class

    def validate_data(self, data: Any) -> Any:
        size = device_messages.size(data)
        if size > device_messages.MOST_BYTES:
            raise serializers.ValidationError(
                f"It has {size:,} bytes; {device_messages.MOST_BYTES:,} are the most. Say where the rest is."
            )
        return data


class TargetSerializer(serializers.Serializer[Any]):
    """A device that was said something, and whether it was there to hear it."""

    id = serializers.UUIDField()
    platform = serializers.CharField()
    online = serializers.BooleanField()


class SaidSerializer(serializers.Serializer[Any]):
    """Whom it was said to."""

    devices = TargetSerializer(many=True)


class DeviceMessageView(Scoped):
    """Messages between the devices of one subscriber: live, never kept."""

    authentication_classes = [SubscriberTokenAuthentication]
    required_scope = ""

    @extend_schema(
        operation_id="device_messages_send", request=MessageSerializer, responses={202: SaidSerializer}
    )
    def post(self, request: Request) -> Response:
        """Say something to the device `to`, or to all others of the subscriber that are online."""
        asked = MessageSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        client = cast(Client, request.auth)
        mine = client.identity.device_uid
        others = Device.objects.filter(subscriber=client.subscriber, state=Device.State.ACTIVE).exclude(
            uid=mine
        )
        to = asked.validated_data["to"]
        targets = list(others.filter(uid=to) if to else others.order_by("pk"))
        if to and not targets:
            detail = f"You have no other active device with the id {to}."
            raise refuse(404, "not-found", "No such device", detail, pointer="/to")
        try:
            heard = device_messages.send(
                mine, [target.uid for target in targets], asked.validated_data["data"]
            )
        except device_messages.TooManyError as error:
            raise Throttled(wait=error.seconds) from None
        except RedisError:
            raise refuse(
                503, "away", "Not now", "Redis, which carries it, does not answer; try again."
            ) from None
        devices = [
            {"id": target.uid, "platform": target.platform, "online": online}
            for target, online in zip(targets, heard, strict=True)
        ]
        return Response(SaidSerializer({"devices": devices}).data, status=202)
