"""`/runs`: what was launched, how far it is, and the four ways to stop it."""

from collections.abc import Callable
from typing import Any

import msgspec
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import reports, runs
from delivery.models import Run
from devices.isolation import ScopedViewSet
from devices.problems import refuse
from devices.strictness import StrictSerializer

STOPPING: dict[str, Callable[..., None]] = {
    "pause": runs.pause,
    "resume": runs.resume,
    "cancel": runs.cancel,
    "recall": runs.recall,
}
"""What may be done to a run that was launched."""


class RunSerializer(serializers.ModelSerializer[Run]):
    """One execution of a campaign version, or a rule's events of a day."""

    id = serializers.UUIDField(source="uid", read_only=True)
    category = serializers.CharField(source="category.key", default=None, read_only=True)

    class Meta:
        model = Run
        fields = [
            "id",
            "title",
            "kind",
            "origin",
            "lane",
            "state",
            "category",
            "reason",
            "brake",
            "created_at",
            "started_at",
            "finished_at",
            "expires_at",
            "recalled_at",
        ]
        read_only_fields = fields


_COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            "audience": {"type": "integer"},
            "stopped": _COUNTS,
            "logged": {"type": "integer"},
            "messages": {"type": "integer"},
            "outcomes": _COUNTS,
            "reasons": _COUNTS,
            "waiting": {"type": "integer"},
            "deferred": {"type": "integer"},
            "planned": {"type": "boolean"},
            "by_provider": {"type": "object", "additionalProperties": _COUNTS},
            "pace": {
                "type": "object",
                "properties": {
                    "rate": {"type": "number", "description": "Messages a second, lately."},
                    "planned": {"type": "number", "description": "Share of the audience, 0 to 1."},
                    "seconds_left": {"type": ["number", "null"]},
                },
            },
        },
    }
)
class ProgressField(serializers.Field[Any, Any, Any, Any]):
    """A run's sums; `audience = Σ stopped + logged`, `messages = Σ outcomes + waiting`."""

    def to_representation(self, value: Any) -> Any:
        sums = runs.progress(value)
        return {
            **msgspec.to_builtins(sums),
            "by_provider": runs.by_provider(value),
            "pace": msgspec.to_builtins(runs.pace(value, sums)),
        }


class RunProgressSerializer(RunSerializer):
    """A run with what it has come to so far."""

    progress = ProgressField(source="*", read_only=True)

    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "progress"]


class StageSerializer(serializers.Serializer[Any]):
    """A stage of the funnel."""

    name = serializers.ChoiceField(
        choices=["told", "accepted", "delivered", "displayed", "opened", "converted"]
    )
    people = serializers.IntegerField(allow_null=True, help_text="Each once; null where only messages count.")
    devices = serializers.IntegerField(allow_null=True, help_text="Each once; of `told` the messages.")
    share = serializers.FloatField(
        allow_null=True, help_text="Of the people told, 0 to 1; of `accepted`, of the messages."
    )


class ReachedSerializer(serializers.Serializer[Any]):
    """People and devices that did something, each once."""

    people = serializers.IntegerField()
    devices = serializers.IntegerField()


class DoneSerializer(serializers.Serializer[Any]):
    """People who did each thing."""

    acknowledged = serializers.IntegerField()
    displayed = serializers.IntegerField()
    opened = serializers.IntegerField()
    dismissed = serializers.IntegerField()
    converted = serializers.IntegerField()


class LineSerializer(DoneSerializer):
    """One platform, language or variant; null where something is not counted."""

    value = serializers.CharField()
    told = serializers.IntegerField(allow_null=True, help_text="People.")
    addressed = serializers.IntegerField(allow_null=True, help_text="Messages.")
    accepted = serializers.IntegerField(allow_null=True, help_text="Messages.")


class HourSerializer(DoneSerializer):
    """An hour in which somebody did something."""

    at = serializers.DateTimeField()


class IntervalSerializer(serializers.Serializer[Any]):
    """A value with the bounds of its 95 % interval."""

    low = serializers.FloatField()
    value = serializers.FloatField()
    high = serializers.FloatField()


class ArmSerializer(serializers.Serializer[Any]):
    """An arm of an experiment."""

    key = serializers.CharField()
    people = serializers.IntegerField()
    did = serializers.IntegerField(help_text="Of them, who did what is measured.")
    share = IntervalSerializer(help_text="Wilson.")
    difference = IntervalSerializer(allow_null=True, help_text="To control, Newcombe; null without one.")
    lift = serializers.FloatField(allow_null=True, help_text="The share over the control's, less 1.")


class TrialSerializer(serializers.Serializer[Any]):
    """What an experiment has shown so far."""

    metric = serializers.ChoiceField(choices=["opened", "converted"])
    control_percent = serializers.FloatField()
    variants = ArmSerializer(many=True)
    control = ArmSerializer(allow_null=True)
    winner = serializers.CharField(help_text="Empty without evidence.")
    because = serializers.CharField()


class GoalSerializer(serializers.Serializer[Any]):
    """What counts as converted."""

    event_type = serializers.CharField()
    seconds = serializers.IntegerField()


class ReportSerializer(serializers.Serializer[Any]):
    """How far a run's notifications got; docs/reference/reports.md defines every number."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    state = serializers.CharField(help_text="The run's, or `recalled`.")
    audience = serializers.IntegerField()
    told = serializers.IntegerField()
    messages = serializers.IntegerField()
    funnel = StageSerializer(many=True)
    dismissed = ReachedSerializer()
    platforms = LineSerializer(many=True)
    locales = LineSerializer(many=True)
    variants = LineSerializer(many=True)
    hours = HourSerializer(many=True)
    experiment = TrialSerializer(allow_null=True)
    goal = GoalSerializer(allow_null=True)
    stopped = serializers.DictField(child=serializers.IntegerField())
    reasons = serializers.DictField(child=serializers.IntegerField())


class ResumeSerializer(StrictSerializer):
    """How to go on."""

    retire_anyway = serializers.BooleanField(
        default=False,
        help_text="Retire every device whose token is refused, however many they are; without it a wave of "
        "refused tokens pauses the run again.",
    )


def do(name: str, run: Run, **how: bool) -> None:
    """Pause, resume, cancel or recall a run; raises a 409 problem when its state does not allow that."""
    try:
        STOPPING[name](run, **how)
    except runs.StateError as error:
        raise refuse(409, "run-state", "The run is in another state", str(error)) from None


class RunViewSet(ScopedViewSet, mixins.ListModelMixin, mixins.RetrieveModelMixin):
    """Runs of the application."""

    model = Run
    related = ("category", "application")
    serializer_class = RunSerializer
    required_scope = {"list": "runs:read", "retrieve": "runs:read", "report": "runs:read", "*": "runs:write"}
    parameters = ("state", "origin")

    def get_serializer_class(self) -> Any:
        return RunSerializer if self.action == "list" else RunProgressSerializer

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        if self.action == "list":
            if state := self.request.query_params.get("state"):
                if state not in Run.State.values:
                    raise serializers.ValidationError(
                        {"state": [f"“{state}” is not one of {', '.join(Run.State.values)}."]}
                    )
                rows = rows.filter(state=state)
            if origin := self.request.query_params.get("origin"):
                rows = rows.filter(origin__startswith=origin)
        return rows

    @extend_schema(
        parameters=[
            OpenApiParameter("state", OpenApiTypes.STR, description="In this state only."),
            OpenApiParameter(
                "origin", OpenApiTypes.STR, description="Whose origin starts so, as campaign:<id>."
            ),
        ]
    )
    def list(self, request: Request) -> Response:
        """Show runs, newest first."""
        return super().list(request)

    @extend_schema(responses={200: ReportSerializer})
    @action(detail=True, methods=["get"])
    def report(self, request: Request, uid: Any) -> Response:
        """Show how far the run's notifications got: a funnel, by platform, language, variant and hour."""
        return Response(ReportSerializer(reports.of(self.get_object())).data)

    def _do(self, name: str, **how: bool) -> Response:
        run = self.get_object()
        do(name, run, **how)
        self.note(name, run)
        return Response(self.get_serializer(run).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, uid: Any) -> Response:
        """Stop taking work of the run."""
        return self._do("pause")

    @extend_schema(request=ResumeSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, uid: Any) -> Response:
        """Go on with a paused run."""
        asked = ResumeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._do("resume", retire_anyway=asked.validated_data["retire_anyway"])

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uid: Any) -> Response:
        """End the run; what a provider has accepted cannot be stopped."""
        return self._do("cancel")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def recall(self, request: Request, uid: Any) -> Response:
        """Take back what the run said: readers hide its entries, nothing more of it is sent."""
        return self._do("recall")
