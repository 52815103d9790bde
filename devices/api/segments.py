"""`/segments` and `/categories`: saved predicates, and what notifications may be about."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices import segments
from devices.isolation import ScopedModelViewSet
from devices.models import Category, Segment
from devices.strictness import StrictModelSerializer, StrictSerializer, bounded


@extend_schema_field(
    {"type": "object", "example": {"all": [{"attribute": "plan", "is": "pro"}, {"locale": "de"}]}}
)
class PredicateField(serializers.JSONField):
    """A predicate; a wrong one is refused with its place."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        bounded(value)
        try:
            segments.parse(value)
        except segments.PredicateError as error:
            raise serializers.ValidationError(str(error)) from None
        return value


class SegmentSerializer(StrictModelSerializer):
    """A saved predicate over subscribers and devices."""

    id = serializers.UUIDField(source="uid", read_only=True)
    predicate = PredicateField()

    class Meta:
        model = Segment
        fields = ["id", "name", "predicate", "created_at"]
        read_only_fields = ["created_at"]


class PredicateSerializer(StrictSerializer):
    """A predicate to try."""

    predicate = PredicateField(allow_null=True)


class CountSerializer(serializers.Serializer[Any]):
    """How many subscribers."""

    count = serializers.IntegerField()


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
        return Response({"count": segments.subscribers(self.application, predicate).count()})


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
