"""`/subscribers`: people by the service's own id, what is known of them and what they want to hear of."""

from typing import Any

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices import closing
from devices.api import preferences
from devices.api.preferences import PreferencesSerializer, PreferencesShownSerializer
from devices.api.values import AttributesField, LocaleField, ZoneField, validate_external_id
from devices.isolation import ScopedViewSet
from devices.models import Subscriber
from devices.problems import ProblemError
from devices.strictness import StrictModelSerializer


class SubscriberSerializer(StrictModelSerializer):
    """A person; on PATCH, `attributes` are merged (RFC 7396: null removes one)."""

    id = serializers.UUIDField(source="uid", read_only=True)
    locale = LocaleField()
    time_zone = ZoneField()
    attributes = AttributesField(required=False)

    class Meta:
        model = Subscriber
        fields = [
            "id",
            "external_id",
            "locale",
            "time_zone",
            "quiet_hours",
            "attributes",
            "consent",
            "consent_at",
            "revoked_before",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["external_id", "consent_at", "created_at", "updated_at"]

    def create(self, validated_data: Any) -> Any:
        return super().create({"consent_at": timezone.now(), **validated_data})

    def update(self, instance: Any, validated_data: Any) -> Any:
        if validated_data.get("consent", instance.consent) != instance.consent:
            instance.consent_at = timezone.now()
        revoked = validated_data.get("revoked_before")
        with transaction.atomic():
            if revoked and revoked != instance.revoked_before:
                closing.close_subscriber(instance.uid, before=revoked)
            return super().update(instance, validated_data)


class SubscriberViewSet(
    ScopedViewSet, mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin
):
    """People of the application."""

    model = Subscriber
    serializer_class = SubscriberSerializer
    lookup_field = "external_id"
    lookup_value_converter = "str"
    required_scope = {"list": "subscribers:read", "retrieve": "subscribers:read", "*": "subscribers:write"}

    @extend_schema(responses={200: SubscriberSerializer, 201: SubscriberSerializer})
    def update(self, request: Request, external_id: str) -> Response:
        """Make the subscriber, or set the fields that are given; `attributes` replace all there were."""
        try:
            validate_external_id(external_id)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({"external_id": error.detail}) from None
        known = self.get_queryset().filter(external_id=external_id).first()
        try:
            return self._put(request, external_id, known)
        except ProblemError as error:
            # another request made the same subscriber in between
            if known is not None or error.problem.status != 409:
                raise
            return self._put(request, external_id, self.get_object())

    def _put(self, request: Request, external_id: str, known: Subscriber | None) -> Response:
        serializer = self.get_serializer(known, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        serializer.save(application=self.application, external_id=external_id)
        return Response(serializer.data, status=200 if known else 201)

    def partial_update(self, request: Request, external_id: str) -> Response:
        """Change the fields that are given; `attributes` are merged, null removes one."""
        subscriber = self.get_object()
        serializer = self.get_serializer(subscriber, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        if "attributes" in serializer.validated_data:
            merged = {**subscriber.attributes, **serializer.validated_data["attributes"]}
            kept = {name: value for name, value in merged.items() if value is not None}
            serializer.validated_data["attributes"] = AttributesField().to_internal_value(kept)
        serializer.save()
        return Response(serializer.data)

    def perform_destroy(self, instance: Subscriber) -> None:
        """Delete a person with their devices, whose open lines end."""
        with transaction.atomic():
            closing.close_subscriber(instance.uid)
            instance.delete()

    @extend_schema(methods=["GET"], responses=PreferencesShownSerializer)
    @extend_schema(methods=["PATCH"], request=PreferencesSerializer, responses=PreferencesShownSerializer)
    @action(detail=True, methods=["get", "patch"], pagination_class=None)
    def preferences(self, request: Request, external_id: str) -> Response:
        """What the person wants to hear of, by category."""
        return preferences.respond(request, self.get_object())
