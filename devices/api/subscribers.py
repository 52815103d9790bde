"""`/subscribers`: people by the service's own id, what is known of them and what they want to hear of."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices.api.values import AttributesField, LocaleField, ZoneField, validate_external_id
from devices.isolation import ScopedViewSet
from devices.models import Category, Preference, Subscriber
from devices.problems import ProblemError
from devices.strictness import StrictModelSerializer, StrictSerializer


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
        return super().update(instance, validated_data)


class PreferencesSerializer(StrictSerializer):
    """What to change: consent as a whole, and categories by key (null: no choice of their own)."""

    consent = serializers.BooleanField(required=False)
    categories = serializers.DictField(child=serializers.BooleanField(allow_null=True), required=False)


class ChoiceSerializer(serializers.Serializer[Any]):
    """What a person chose for one category."""

    key = serializers.CharField()
    name = serializers.CharField()
    opt_in = serializers.BooleanField()
    allowed = serializers.BooleanField(allow_null=True)


class PreferencesShownSerializer(serializers.Serializer[Any]):
    """A person's consent and what they chose for each category."""

    consent = serializers.BooleanField()
    categories = ChoiceSerializer(many=True)


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

    @extend_schema(methods=["GET"], responses=PreferencesShownSerializer)
    @extend_schema(methods=["PATCH"], request=PreferencesSerializer, responses=PreferencesShownSerializer)
    @action(detail=True, methods=["get", "patch"], pagination_class=None)
    def preferences(self, request: Request, external_id: str) -> Response:
        """What the person wants to hear of, by category."""
        subscriber = self.get_object()
        if request.method == "PATCH":
            serializer = PreferencesSerializer(data=request.data)
            serializer.is_valid(raise_exception=True)
            self._choose(subscriber, serializer.validated_data)
        return Response(self._preferences(subscriber))

    def _choose(self, subscriber: Subscriber, wanted: dict[str, Any]) -> None:
        choices: dict[str, bool | None] = wanted.get("categories", {})
        known = Category.objects.filter(application=self.application, key__in=choices).in_bulk(
            field_name="pk"
        )
        by_key = {category.key: category for category in known.values()}
        if unknown := [key for key in choices if key not in by_key]:
            raise serializers.ValidationError(
                {"categories": {key[:100]: ["There is no such category."] for key in unknown[:20]}}
            )
        for key, allowed in choices.items():
            where: dict[str, Any] = {"subscriber": subscriber, "category": by_key[key]}
            if allowed is None:
                Preference.objects.filter(**where).delete()
            else:
                Preference.objects.update_or_create(
                    **where, defaults={"allowed": allowed, "changed_at": timezone.now()}
                )
        if "consent" in wanted and wanted["consent"] != subscriber.consent:
            subscriber.consent, subscriber.consent_at = wanted["consent"], timezone.now()
            subscriber.save(update_fields=["consent", "consent_at", "updated_at"])

    def _preferences(self, subscriber: Subscriber) -> dict[str, Any]:
        chosen = dict(Preference.objects.filter(subscriber=subscriber).values_list("category_id", "allowed"))
        categories = Category.objects.filter(application=self.application).order_by("key")
        return {
            "consent": subscriber.consent,
            "categories": [
                {"key": item.key, "name": item.name, "opt_in": item.opt_in, "allowed": chosen.get(item.pk)}
                for item in categories
            ],
        }
