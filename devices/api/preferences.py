"""`/preferences`: what a person wants to hear of, when, in which language; from their own device, or for a service."""

from typing import Any, cast

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from devices.api.values import LocaleField, ZoneField
from devices.authentication import Client, SubscriberTokenAuthentication
from devices.isolation import Scoped
from devices.models import Category, Preference, Subscriber
from devices.models.application import validate_quiet_hours
from devices.strictness import StrictSerializer

WHEN = ("quiet_hours", "time_zone", "locale")
"""What is kept with the person; empty: as the application has it."""


class PreferencesSerializer(StrictSerializer):
    """What to change: consent, categories by key (null: no choice of their own), and `WHEN` (empty: as usual)."""

    consent = serializers.BooleanField(required=False)
    categories = serializers.DictField(child=serializers.BooleanField(allow_null=True), required=False)
    quiet_hours = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=11,
        validators=[validate_quiet_hours],
        help_text="Of the person's own clock, as 22:00-08:00; off for none, empty for the application's.",
    )
    time_zone = ZoneField()
    locale = LocaleField()


class ChoiceSerializer(serializers.Serializer[Any]):
    """What a person chose for one category."""

    key = serializers.CharField()
    name = serializers.CharField()
    opt_in = serializers.BooleanField()
    allowed = serializers.BooleanField(allow_null=True)


class PreferencesShownSerializer(serializers.Serializer[Any]):
    """A person's consent, what they chose for each category, and `WHEN` (empty: as usual)."""

    consent = serializers.BooleanField()
    categories = ChoiceSerializer(many=True)
    quiet_hours = serializers.CharField()
    time_zone = serializers.CharField()
    locale = serializers.CharField()


def respond(request: Request, subscriber: Subscriber) -> Response:
    """Show what a person wants to hear of; on PATCH, after changing it."""
    if request.method == "PATCH":
        serializer = PreferencesSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            _choose(subscriber, serializer.validated_data)
    return Response(_shown(subscriber))


def _choose(subscriber: Subscriber, wanted: dict[str, Any]) -> None:
    choices: dict[str, bool | None] = wanted.get("categories", {})
    known = Category.objects.filter(application_id=subscriber.application_id, key__in=choices)
    by_key = {category.key: category for category in known}
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
    if changed := [
        name for name in WHEN if wanted.get(name, getattr(subscriber, name)) != getattr(subscriber, name)
    ]:
        for name in changed:
            setattr(subscriber, name, wanted[name])
        subscriber.save(update_fields=[*changed, "updated_at"])


def _shown(subscriber: Subscriber) -> dict[str, Any]:
    chosen = dict(Preference.objects.filter(subscriber=subscriber).values_list("category_id", "allowed"))
    categories = Category.objects.filter(application_id=subscriber.application_id).order_by("key")
    return {
        "consent": subscriber.consent,
        "categories": [
            {"key": item.key, "name": item.name, "opt_in": item.opt_in, "allowed": chosen.get(item.pk)}
            for item in categories
        ],
        **{name: getattr(subscriber, name) for name in WHEN},
    }


class PreferencesView(Scoped):
    """What the person whose device asks wants to hear of, when, and in which language."""

    authentication_classes = [SubscriberTokenAuthentication]
    required_scope = ""

    @extend_schema(operation_id="preferences_read", responses=PreferencesShownSerializer)
    def get(self, request: Request) -> Response:
        """Show consent and the choice for each category; null: no choice of their own."""
        return respond(request, cast(Client, request.auth).subscriber)

    @extend_schema(
        operation_id="preferences_change",
        request=PreferencesSerializer,
        responses=PreferencesShownSerializer,
    )
    def patch(self, request: Request) -> Response:
        """Change what is given."""
        return respond(request, cast(Client, request.auth).subscriber)
