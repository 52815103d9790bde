"""`/devices`: installations, registered by a service for its subscribers or by a device for itself."""

import re
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from devices import fcm_addresses, freshness, purposes, push_subscriptions, registration
from devices.api.values import LocaleField, ZoneField
from devices.authentication import ApiKeyAuthentication, Client, SubscriberTokenAuthentication
from devices.isolation import ScopedRelatedField, ScopedViewSet
from devices.models import Device, Platform, Provider, Subscriber
from devices.problems import refuse
from devices.strictness import StrictModelSerializer

_APNS_TOKEN = re.compile(r"[0-9a-fA-F]{64,200}")
_FCM_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


class DeviceSerializer(StrictModelSerializer):
    """A device; its token is written, never shown.

    A service may also register a topic of FCM, as `topic:weather`, or a condition of such topics, as
    `condition:'sport' in topics && 'berlin' in topics`: all who subscribed are one device then.
    """

    id = serializers.UUIDField(source="uid", read_only=True)
    subscriber = ScopedRelatedField(
        slug_field="external_id",
        queryset=Subscriber.objects.all(),
        required=False,
        help_text="By external id.",
    )
    token = serializers.CharField(write_only=True, required=False, allow_blank=True, max_length=4096)
    subscription = serializers.JSONField(
        write_only=True,
        required=False,
        help_text="Web Push: what PushSubscription.toJSON() gives, and perhaps applicationServerKey.",
    )
    purpose = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=purposes.LONGEST,
        help_text="APNs: what the token is for, where it is not alerts and background, as liveactivity:order-7.",
    )
    locale = LocaleField()
    time_zone = ZoneField()
    freshness = serializers.SerializerMethodField(
        help_text="fresh; stale: no sign of life for 30 days; lapsed: for 270, after which FCM refuses it."
    )

    class Meta:
        model = Device
        fields = [
            "id",
            "subscriber",
            "platform",
            "provider",
            "token",
            "subscription",
            "sandbox",
            "purpose",
            "locale",
            "time_zone",
            "app_version",
            "state",
            "retired_reason",
            "registered_at",
            "seen_at",
            "freshness",
        ]
        read_only_fields = ["state", "retired_reason", "registered_at", "seen_at"]

    def get_freshness(self, device: Device) -> str:
        return freshness.freshness(device.seen_at, timezone.now())

    def validate(self, attrs: Any) -> Any:
        now = self.instance
        missing = [name for name in ("platform", "provider") if now is None and name not in attrs]
        if missing:
            raise serializers.ValidationError({name: ["A new device needs this."] for name in missing})
        provider = attrs.get("provider", now.provider if now else "")
        platform = attrs.get("platform", now.platform if now else "")
        token = attrs.get("token", now.token if now else "")
        if provider == Provider.SOCKET and "token" not in attrs:
            token = attrs["token"] = ""
        if (subscription := attrs.pop("subscription", None)) is not None:
            token = attrs["token"] = _token_of(provider, subscription)
        elif provider == Provider.WEBPUSH and ("token" in attrs or not token.startswith("[")):
            sentence = "A Web Push device needs its subscription, and has no token besides."
            raise serializers.ValidationError({"subscription": [sentence]})
        elif fault := self._fault_of_many(provider, token) or _fault_of_token(provider, token):
            raise serializers.ValidationError({"token": [fault]})
        if provider == Provider.APNS and platform not in (Platform.IOS, Platform.TV):
            raise serializers.ValidationError({"provider": ["APNs reaches ios and tv (tvOS) only."]})
        if provider == Provider.WEBPUSH and platform != Platform.WEB:
            raise serializers.ValidationError({"provider": ["Web Push reaches web only."]})
        _check_purpose(provider, attrs.get("purpose", now.purpose if now else ""))
        return attrs

    def _fault_of_many(self, provider: str, token: str) -> str:
        """Return what is wrong with a topic or condition of FCM, or an empty text; only a service may send to those."""
        if provider != Provider.FCM or not token.startswith(fcm_addresses.MANY):
            return ""
        if isinstance(self.context["request"].auth, Client):
            return "A topic of FCM is registered by the service, with its API key."
        return fcm_addresses.fault_of(token)


def _token_of(provider: str, subscription: Any) -> str:
    """Return a browser's subscription as a token; raises a validation error with the place that is wrong."""
    if provider != Provider.WEBPUSH:
        raise serializers.ValidationError({"subscription": ["Only Web Push devices have one; leave it out."]})
    try:
        return push_subscriptions.read(
            subscription, hosts=settings.WEB_PUSH_HOSTS, private=settings.WEB_PUSH_PRIVATE_HOSTS
        ).token
    except push_subscriptions.SubscriptionError as error:
        detail: Any = [str(error)]
        for step in reversed(["subscription", *filter(None, error.field.split("."))]):
            detail = {step: detail}
        raise serializers.ValidationError(detail) from None


def _check_purpose(provider: str, purpose: str) -> None:
    if purpose and provider != Provider.APNS:
        raise serializers.ValidationError({"purpose": ["Only a token of APNs has one; leave it out."]})
    try:
        purposes.check(purpose)
    except purposes.PurposeError as error:
        raise serializers.ValidationError({"purpose": [str(error)]}) from None


def _fault_of_token(provider: str, token: str) -> str:
    """Return what is wrong with a token for a provider, or an empty text."""
    if provider == Provider.SOCKET:
        return "A WebSocket device has no token; leave it out." if token else ""
    if provider == Provider.APNS and not _APNS_TOKEN.fullmatch(token):
        return "An APNs token is at least 64 hexadecimal digits."
    if (
        provider == Provider.FCM
        and not _FCM_TOKEN.fullmatch(token)
        and not token.startswith(fcm_addresses.MANY)
    ):
        return "An FCM token is 1 to 4,096 visible ASCII characters, or topic:NAME, or condition:EXPRESSION."
    return ""


class DeviceViewSet(ScopedViewSet, mixins.ListModelMixin, mixins.RetrieveModelMixin):
    """Devices of the application; a device with a subscriber token sees and changes itself only."""

    model = Device
    serializer_class = DeviceSerializer
    related = ("subscriber",)
    required_scope = {"list": "subscribers:read", "retrieve": "subscribers:read", "*": "subscribers:write"}
    parameters = ("subscriber",)

    def get_authenticators(self) -> Any:
        return [ApiKeyAuthentication(), SubscriberTokenAuthentication(unregistered=True)]

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        auth = self.request.auth
        if isinstance(auth, Client):
            return rows.filter(uid=auth.identity.device_uid, subscriber=auth.subscriber)
        if self.action == "list" and (name := self.request.query_params.get("subscriber")):
            rows = rows.filter(subscriber__external_id=name)
        return rows

    @extend_schema(
        parameters=[OpenApiParameter("subscriber", OpenApiTypes.STR, description="Of this external id only.")]
    )
    def list(self, request: Request) -> Response:
        """Show devices, newest first."""
        return super().list(request)

    @extend_schema(responses={200: DeviceSerializer, 201: DeviceSerializer})
    def update(self, request: Request, uid: UUID) -> Response:
        """Register a device, or set the fields that are given; it is active afterwards."""
        auth = request.auth
        if isinstance(auth, Client) and uid != auth.identity.device_uid:
            raise NotFound
        known = self.get_queryset().filter(uid=uid).first()
        serializer = self.get_serializer(known, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        try:
            device, new = registration.register(
                self.application,
                self._holder(values.pop("subscriber", None), known),
                uid,
                values,
                may_move=not isinstance(auth, Client),
            )
        except registration.NotTheirsError:
            raise NotFound from None
        except registration.TokenTakenError:
            raise refuse(
                409,
                "token-taken",
                "The token belongs to another subscriber",
                "This token is registered for another subscriber; the service must move it with its API key.",
                pointer="/token",
            ) from None
        return Response(self.get_serializer(device).data, status=201 if new else 200)

    def _holder(self, wanted: Subscriber | None, known: Device | None) -> Subscriber:
        auth = self.request.auth
        if isinstance(auth, Client):
            if wanted is not None and wanted != auth.subscriber:
                raise NotFound
            return auth.subscriber
        if wanted is not None:
            return wanted
        if known is None:
            raise serializers.ValidationError(
                {"subscriber": ["A new device needs its subscriber's external id."]}
            )
        return known.subscriber

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, uid: UUID) -> Response:
        """Retire the device: nothing is sent to it until it is registered again."""
        registration.retire(self.get_object(), Device.Retired.REMOVED)
        return Response(status=204)
