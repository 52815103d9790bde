"""A campaign as a document of the API: its fields, and the places of what is wrong with its content."""

from typing import Any

from rest_framework import serializers

from campaigns import launching
from campaigns.models import Campaign, EventType
from campaigns.models.limits import LONGEST_TTL
from campaigns.policy import FIELDS as POLICY_FIELDS
from devices.isolation import ScopedRelatedField
from devices.models import Category, Segment
from devices.strictness import StrictModelSerializer, bounded

OPTIONS = {
    "android": "FCM's options for Android, as channel_id, click_action, direct_boot_ok.",
    "ios": "APNs's options with underscores, as interruption_level, thread_id, push_type.",
    "web": "Options of a browser's notification, as icon, actions, require_interaction.",
}
"""What only one platform knows; `docs/reference/content.md` lists them."""


class CampaignSerializer(StrictModelSerializer):
    """A campaign; a text that does not render is refused with its line and reason."""

    id = serializers.UUIDField(source="uid", read_only=True)
    category = ScopedRelatedField(
        slug_field="key",
        queryset=Category.objects.all(),
        required=False,
        allow_null=True,
        help_text="By key.",
    )
    segment = ScopedRelatedField(
        slug_field="uid", queryset=Segment.objects.all(), required=False, allow_null=True, help_text="By id."
    )
    ttl = serializers.IntegerField(min_value=1, max_value=LONGEST_TTL, default=86_400)
    event_type = ScopedRelatedField(
        slug_field="name",
        queryset=EventType.objects.all(),
        required=False,
        allow_null=True,
        help_text="By name: whom an event of it is about is told; null: told by its times.",
    )
    event_unless = ScopedRelatedField(
        slug_field="name",
        queryset=EventType.objects.all(),
        required=False,
        allow_null=True,
        help_text="By name.",
    )
    data = serializers.DictField(  # type: ignore[assignment]
        child=serializers.CharField(
            max_length=2000,
            allow_blank=True,
            trim_whitespace=False,
            error_messages={"invalid": "Write a text; numbers and booleans as texts too."},
        ),
        required=False,
    )
    android = serializers.DictField(required=False, help_text=OPTIONS["android"])
    ios = serializers.DictField(required=False, help_text=OPTIONS["ios"])
    web = serializers.DictField(required=False, help_text=OPTIONS["web"])
    locales = serializers.DictField(child=serializers.DictField(), required=False)
    overrides = serializers.DictField(child=serializers.DictField(), required=False)

    class Meta:
        model = Campaign
        fields = [
            "id",
            "name",
            "state",
            "lane",
            "category",
            "segment",
            "title",
            "body",
            "subtitle",
            "link",
            "image",
            "sound",
            "badge",
            "data",
            "android",
            "ios",
            "web",
            "locales",
            "overrides",
            "send_at",
            "repeat",
            "repeat_zone",
            "repeat_until",
            "event_type",
            "event_condition",
            "event_delay",
            "event_unless",
            "event_once_days",
            "ttl",
            *POLICY_FIELDS,
            "silence_across_devices",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["state", "created_at", "updated_at"]

    def validate(self, attrs: Any) -> Any:
        for name in ("data", "android", "ios", "web", "locales", "overrides"):
            try:
                bounded(attrs.get(name))
            except serializers.ValidationError as error:
                raise serializers.ValidationError({name: error.detail}) from None
        written = as_written(self.instance, attrs, self.context["view"].application)
        try:
            # a draft may still be empty; what is written must render
            said = written.title or written.body or written.locales
            (launching.checked_snapshot if said else launching.snapshot_of)(written)
        except launching.LaunchError as error:
            raise at_field(error) from None
        return attrs


def as_written(campaign: Campaign | None, attrs: dict[str, Any], application: Any) -> Campaign:
    """Return an unsaved campaign as it would be with `attrs`."""
    written = Campaign(application=application)
    if campaign is not None:
        for field in Campaign._meta.concrete_fields:
            setattr(written, field.attname, getattr(campaign, field.attname))
    for name, value in attrs.items():
        setattr(written, name, value)
    return written


def at_field(error: launching.LaunchError) -> serializers.ValidationError:
    """Return what is wrong with the content at the place of its field."""
    detail: Any = [error.reason]
    for step in reversed(error.field.split(".")):
        detail = {step: detail}
    return serializers.ValidationError(detail)
