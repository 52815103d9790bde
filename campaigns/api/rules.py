"""`/event-types`, `/rules` and `/schedules`: which events there are, what follows from them, which the clock sends."""

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from campaigns.models import Campaign, EventType, Rule, Schedule
from campaigns.models.limits import LONGEST_DELAY, LONGEST_ONCE_DAYS, validate_condition
from campaigns.schedule import CrontabError, validate_crontab
from campaigns.schemas import SchemaError, check_schema
from delivery.lanes import LANES
from devices.api.values import ZoneField, validate_external_id
from devices.isolation import ScopedModelViewSet, ScopedRelatedField
from devices.models import Platform
from devices.problems import refuse
from devices.strictness import StrictModelSerializer, bounded

SENDERS = ("keys", "clients", "clock")
READING = {"list": "rules:read", "retrieve": "rules:read", "*": "rules:write"}


@extend_schema_field({"type": ["object", "null"], "description": "JSON Schema, draft 2020-12."})
class SchemaField(serializers.JSONField):
    """A JSON Schema of an event's data."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        bounded(value)
        try:
            check_schema(value)
        except SchemaError as error:
            raise serializers.ValidationError(str(error)) from None
        return value


class EventTypeSerializer(StrictModelSerializer):
    """An event's name, lane, schema and who may send it; the name stays as it was made."""

    name = serializers.CharField(max_length=150, validators=[validate_external_id])
    senders = serializers.ListField(
        child=serializers.ChoiceField(choices=SENDERS), required=False, min_length=1, max_length=len(SENDERS)
    )
    schema = SchemaField(required=False, allow_null=True)

    class Meta:
        model = EventType
        fields = ["name", "lane", "senders", "schema", "description"]

    def validate_name(self, value: str) -> str:
        if self.instance is not None and value != self.instance.name:
            raise serializers.ValidationError("An event type keeps its name; make another one.")
        return value


class EventTypeViewSet(ScopedModelViewSet):
    """Event types of the application, by name."""

    model = EventType
    serializer_class = EventTypeSerializer
    lookup_field = "name"
    lookup_value_converter = "str"
    required_scope = READING

    def perform_create(self, serializer: Any) -> None:
        self.require_lane(serializer.validated_data.get("lane", "normal"))
        super().perform_create(serializer)

    def perform_update(self, serializer: Any) -> None:
        if "lane" in serializer.validated_data:
            self.require_lane(serializer.validated_data["lane"])
        super().perform_update(serializer)


class RuleSerializer(StrictModelSerializer):
    """A rule; that a client's event may reach others than the client is allowed by a person in the admin only."""

    id = serializers.UUIDField(source="uid", read_only=True)
    event_type = ScopedRelatedField(slug_field="name", queryset=EventType.objects.all(), help_text="By name.")
    campaign = ScopedRelatedField(slug_field="uid", queryset=Campaign.objects.all(), help_text="By id.")
    condition = serializers.CharField(max_length=4000, required=False, allow_blank=True)
    recipient_ids = serializers.CharField(max_length=4000, required=False, allow_blank=True)
    platforms = serializers.ListField(
        child=serializers.ChoiceField(choices=Platform.choices), required=False, max_length=len(Platform)
    )
    max_age = serializers.IntegerField(min_value=1, max_value=30 * 86_400, required=False)
    delay = serializers.IntegerField(min_value=0, max_value=LONGEST_DELAY, required=False)
    unless = ScopedRelatedField(
        slug_field="name",
        queryset=EventType.objects.all(),
        required=False,
        allow_null=True,
        help_text="By name.",
    )
    once_days = serializers.IntegerField(min_value=0, max_value=LONGEST_ONCE_DAYS, required=False)

    class Meta:
        model = Rule
        fields = [
            "id",
            "name",
            "event_type",
            "condition",
            "campaign",
            "recipients",
            "recipient_ids",
            "beyond_sender",
            "platforms",
            "lane",
            "max_age",
            "delay",
            "unless",
            "once_days",
            "enabled",
            "of_campaign",
            "version",
        ]
        read_only_fields = ["beyond_sender", "of_campaign", "version"]
        extra_kwargs = {"lane": {"help_text": "May only lower the event type's; empty: the event type's."}}

    def _now(self, attrs: Any, name: str) -> Any:
        return attrs[name] if name in attrs else getattr(self.instance, name, "")

    def validate(self, attrs: Any) -> Any:
        for name in ("condition", "recipient_ids"):
            if attrs.get(name):
                try:
                    validate_condition(attrs[name])
                except DjangoValidationError as error:
                    raise serializers.ValidationError({name: error.messages}) from None
        if self._now(attrs, "recipients") == Rule.Recipients.IDS and not self._now(attrs, "recipient_ids"):
            raise serializers.ValidationError(
                {
                    "recipient_ids": [
                        "Write a CEL expression that gives a list of ids, as event.data.watchers."
                    ]
                }
            )
        self._check_waiting(attrs)
        lane, kind = self._now(attrs, "lane"), self._now(attrs, "event_type")
        if lane and LANES.index(lane) < LANES.index(kind.lane):
            raise serializers.ValidationError(
                {"lane": [f"A rule may only lower the lane; “{kind.name}” goes in {kind.lane}."]}
            )
        return attrs

    def _check_waiting(self, attrs: Any) -> None:
        names = ("recipients", "delay", "once_days", "unless", "event_type")
        now = Rule(**{name: value for name in names if (value := self._now(attrs, name)) not in ("", None)})
        if problem := now.waiting_problem():
            raise serializers.ValidationError({problem[0]: [problem[1]]})

    def update(self, instance: Any, validated_data: Any) -> Any:
        # a new version gets a standing run of its own
        return super().update(instance, {**validated_data, "version": instance.version + 1})


class RuleViewSet(ScopedModelViewSet):
    """Rules of the application."""

    model = Rule
    related = ("event_type", "unless", "campaign")
    serializer_class = RuleSerializer
    required_scope = READING

    def perform_update(self, serializer: Any) -> None:
        self._check_own(serializer.instance)
        super().perform_update(serializer)

    def perform_destroy(self, instance: Any) -> None:
        self._check_own(instance)
        super().perform_destroy(instance)

    def _check_own(self, rule: Rule) -> None:
        if rule.of_campaign:
            raise refuse(
                409,
                "rule-of-campaign",
                "The rule belongs to its campaign",
                "It is written in the campaign's fields event_type, event_condition and the like: change these and"
                " approve or launch the campaign, or end it.",
            )


class ScheduleSerializer(StrictModelSerializer):
    """An event that the clock sends."""

    id = serializers.UUIDField(source="uid", read_only=True)
    event_type = ScopedRelatedField(slug_field="name", queryset=EventType.objects.all(), help_text="By name.")
    time_zone = ZoneField(allow_blank=False)
    data = serializers.JSONField(required=False, validators=[bounded])  # type: ignore[assignment]

    class Meta:
        model = Schedule
        fields = ["id", "name", "event_type", "crontab", "time_zone", "subject", "data", "enabled", "due_at"]
        read_only_fields = ["due_at"]

    def validate_crontab(self, value: str) -> str:
        try:
            validate_crontab(value)
        except CrontabError as error:
            raise serializers.ValidationError(str(error)) from None
        return value

    def validate_event_type(self, value: EventType) -> EventType:
        if "clock" not in value.senders:
            raise serializers.ValidationError("The clock may not send this type; add “clock” to its senders.")
        return value

    def update(self, instance: Any, validated_data: Any) -> Any:
        if validated_data.keys() & {"crontab", "time_zone", "enabled"}:
            # the clock finds the next instant anew
            validated_data = {**validated_data, "due_at": None}
        return super().update(instance, validated_data)


class ScheduleViewSet(ScopedModelViewSet):
    """Schedules of the application."""

    model = Schedule
    related = ("event_type",)
    serializer_class = ScheduleSerializer
    required_scope = READING

    def perform_create(self, serializer: Any) -> None:
        self.require_lane(serializer.validated_data["event_type"].lane)
        super().perform_create(serializer)
