"""`/segments` and `/categories`: saved predicates, and what notifications may be about."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices import counting, predicates, segments
from devices.isolation import ScopedModelViewSet
from devices.models import Category, Segment
from devices.problems import refuse
from devices.strictness import StrictModelSerializer, StrictSerializer, bounded

CONDITIONS: dict[str, Any] = {
    "type": "object",
    "description": (
        "One condition or group an object; docs/reference/predicates.md says all of them. At most 8 deep and of 100."
    ),
    "examples": [
        {"all": [{"attribute": "plan", "is": "pro"}, {"locale": "de"}]},
        {"not": {"any": [{"tag": "vip"}, {"platform": ["tv", "stick"]}]}},
        {"event": "com.example.order.placed", "at_least": 3, "within_days": 30},
        {"opened": {"at_most": 0, "within_days": 90}},
        {"segment": "0d6f5a2e-6c1b-4a55-8f5e-2f6a1f0f4a11"},
    ],
    "properties": {
        **{name: {"type": "array", "minItems": 1, "items": {"type": "object"}} for name in ("all", "any")},
        "not": {"type": "object"},
        "attribute": {"type": "string", "maxLength": 64},
        "event": {"type": "string", "maxLength": predicates.MAX_EVENT},
        "segment": {"type": "string", "format": "uuid"},
        "within_days": {"type": "integer", "minimum": 1, "maximum": predicates.MAX_DAYS},
        "at_least": {"type": "integer", "minimum": 1, "maximum": predicates.MAX_TIMES},
        "at_most": {"type": "integer", "minimum": 0, "maximum": predicates.MAX_TIMES},
    },
}


@extend_schema_field(CONDITIONS)
class PredicateField(serializers.JSONField):
    """A predicate; a wrong one is refused with its place."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        bounded(value)
        try:
            segments.parse(value)
        except segments.PredicateError as error:
            raise at(error) from None
        return value


def at(error: segments.PredicateError) -> serializers.ValidationError:
    """Return the refusal of a predicate, which an answer places as `/predicate` and the pointer inside it."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in error.pointer.split("/")[1:]]
    detail: Any = [str(error)]
    for step in reversed(steps):
        detail = {step: detail}
    return serializers.ValidationError(detail)


class SegmentSerializer(StrictModelSerializer):
    """A saved predicate over subscribers and devices; a static one is a list, filled by importing a CSV file."""

    id = serializers.UUIDField(source="uid", read_only=True)
    predicate = PredicateField()

    class Meta:
        model = Segment
        fields = ["id", "name", "predicate", "is_static", "created_at"]
        read_only_fields = ["is_static", "created_at"]

    def validate(self, attrs: Any) -> Any:
        if self.instance is not None and self.instance.is_static and "predicate" in attrs:
            raise serializers.ValidationError(
                {"predicate": ["A static segment is a list; import a CSV file to change who is in it."]}
            )
        return attrs


class PredicateSerializer(StrictSerializer):
    """A predicate to try."""

    predicate = PredicateField(allow_null=True)


class CountSerializer(serializers.Serializer[Any]):
    """How many subscribers, exactly or with a margin."""

    count = serializers.IntegerField()
    everybody = serializers.IntegerField(help_text="All subscribers of the application.")
    willing = serializers.IntegerField(help_text="Of the chosen, those who want notifications at all.")
    devices = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Active devices of the willing that it means, by platform.",
    )
    exact = serializers.BooleanField(help_text="False: estimated from a sample.")
    margin = serializers.IntegerField(help_text="19 times of 20 the true count is within so many of it.")


class SegmentViewSet(ScopedModelViewSet):
    """Segments of the application."""

    model = Segment
    serializer_class = SegmentSerializer
    required_scope = {
        "list": "segments:read",
        "retrieve": "segments:read",
        "count": "segments:read",
        "try_out": "segments:read",
        "*": "segments:write",
    }

    @extend_schema(responses=CountSerializer)
    @action(detail=True, methods=["get"])
    def count(self, request: Request, uid: Any) -> Response:
        """Count the segment's subscribers now."""
        return self._count(self.get_object().predicate)

    @extend_schema(request=PredicateSerializer, responses=CountSerializer)
    @action(detail=False, methods=["post"], url_path="count")
    def try_out(self, request: Request) -> Response:
        """Count the subscribers that a predicate chooses, without saving it; null: everybody."""
        serializer = PredicateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return self._count(serializer.validated_data["predicate"])

    def _count(self, predicate: Any) -> Response:
        try:
            found = counting.count(self.application, predicate)
        except segments.PredicateError as error:
            raise serializers.ValidationError({"predicate": at(error).detail}) from None
        except counting.TooSlowError:
            raise refuse(
                503, "too-slow", "It cannot be counted in time", "The database is busy; try again."
            ) from None
        return Response(
            {
                "count": found.people,
                "everybody": found.everybody,
                "willing": found.willing,
                "devices": found.devices,
                "exact": found.exact,
                "margin": found.margin,
            }
        )


class CategorySerializer(StrictModelSerializer):
    """What a notification is about, as far as people may choose."""

    class Meta:
        model = Category
        fields = ["key", "name", "opt_in", "transactional", "critical_overrides"]


class CategoryViewSet(ScopedModelViewSet):
    """Categories of the application, by key."""

    model = Category
    serializer_class = CategorySerializer
    lookup_field = "key"
    lookup_value_converter = "slug"
    required_scope = {"list": "segments:read", "retrieve": "segments:read", "*": "segments:write"}
