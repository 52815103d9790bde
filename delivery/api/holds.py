"""`/holds`: stop all of the application, or one of its lanes, and let it go on."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import holds
from delivery.lanes import LANES
from delivery.models import Hold
from devices.isolation import Scoped
from devices.models.application import LANE_CHOICES
from devices.problems import refuse
from devices.strictness import StrictSerializer


class StopSerializer(StrictSerializer):
    """What to stop: one lane, or with null every lane."""

    lane = serializers.ChoiceField(choices=LANE_CHOICES, allow_null=True, default=None)
    reason = serializers.CharField(max_length=300, allow_blank=True, default="")


class ResumeSerializer(StrictSerializer):
    """What goes on: one lane, or without it all that is stopped."""

    lane = serializers.ChoiceField(choices=LANE_CHOICES, allow_null=True, default=None)


class HoldSerializer(serializers.ModelSerializer[Hold]):
    """A stop that is in force."""

    lane = serializers.SerializerMethodField()

    class Meta:
        model = Hold
        fields = ["lane", "reason", "by", "at"]
        read_only_fields = fields

    @extend_schema(responses=OpenApiTypes.STR)
    def get_lane(self, hold: Hold) -> str | None:
        return hold.lane or None


class HoldListSerializer(serializers.Serializer[Any]):
    """Every stop in force."""

    items = HoldSerializer(many=True)


class HoldView(Scoped):
    """Stop all, or one lane: acts within two seconds, also on what is being sent."""

    required_scope = "runs:write"
    parameters = ("lane",)

    @extend_schema(operation_id="holds_list", responses=HoldListSerializer)
    def get(self, request: Request) -> Response:
        """Show what is stopped."""
        return self._all()

    @extend_schema(operation_id="holds_stop", request=StopSerializer, responses=HoldListSerializer)
    def post(self, request: Request) -> Response:
        """Stop: nothing more is planned or sent; all of it waits, and expires at its time."""
        asked = StopSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        lane = asked.validated_data["lane"] or ""
        self._require(lane)
        by = f"key {self.key.prefix}"
        reason = asked.validated_data["reason"]
        holds.stop(self.application, lane=lane, by=by, reason=reason)
        self.note("stop", self.application, says=f"{lane or 'every lane'}: {reason}")
        return self._all()

    @extend_schema(
        operation_id="holds_resume",
        parameters=[OpenApiParameter("lane", OpenApiTypes.STR, description="Without one: every stop.")],
        responses=HoldListSerializer,
    )
    def delete(self, request: Request) -> Response:
        """Go on, with what waits first. The lane may stand in a body too, as it does when it is stopped."""
        asked = ResumeSerializer(data=request.data or request.query_params.dict())
        asked.is_valid(raise_exception=True)
        lane = asked.validated_data["lane"] or ""
        self._require(lane)
        try:
            holds.resume(self.application, lane=lane, by=f"key {self.key.prefix}")
        except holds.NotHeldError as error:
            raise refuse(409, "not-stopped", "It is not stopped", str(error)) from None
        self.note("resume", self.application, says=lane or "every lane")
        return self._all()

    def _require(self, lane: str) -> None:
        for one in (lane,) if lane else LANES:
            self.require_lane(one)

    def _all(self) -> Response:
        found = Hold.objects.filter(application=self.application)
        return Response({"items": HoldSerializer(found, many=True).data})
