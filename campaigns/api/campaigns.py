"""`/campaigns`: what to say, to whom, when; look before the launch, launch, and stop."""

from typing import Any, cast

from django.db.models import Count
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import approval, editing, launching, preflight
from campaigns.api.campaign_document import CampaignSerializer, at_field
from campaigns.api.preflight_document import (
    LaunchSerializer,
    PreflightSerializer,
    SeenSerializer,
    as_document,
)
from campaigns.models import Campaign, CampaignVersion
from campaigns.notifications import OVERRIDE
from delivery.api.runs import RunSerializer, do
from delivery.models import Run
from delivery.runs import TRANSITIONS
from devices import segments
from devices.isolation import ScopedModelViewSet
from devices.models import Device
from devices.problems import refuse


class LaunchedSerializer(serializers.Serializer[Any]):
    """The run, or the instant at which the clock starts it; neither for one that its event starts."""

    run = serializers.UUIDField(allow_null=True)
    version = serializers.IntegerField()
    launch_at = serializers.DateTimeField(allow_null=True)


class RunsSerializer(serializers.Serializer[Any]):
    """The runs that were stopped or continued."""

    runs = RunSerializer(many=True)


class CampaignViewSet(ScopedModelViewSet):
    """Campaigns of the application."""

    model = Campaign
    related = ("category", "segment", "application", "event_type", "event_unless")
    serializer_class = CampaignSerializer
    parameters = ("everybody",)
    required_scope = {
        "list": "campaigns:read",
        "retrieve": "campaigns:read",
        "preflight": "campaigns:read",
        "create": "campaigns:write",
        "partial_update": "campaigns:write",
        "destroy": "campaigns:write",
        "*": "campaigns:launch",
    }

    def perform_create(self, serializer: Any) -> None:
        self.require_lane(serializer.validated_data.get("lane", "bulk"))
        super().perform_create(serializer)
        made = serializer.instance
        editing.note(made, f"key:{self.key.prefix}")
        made.save(update_fields=["revision", "edited_by", "authors", "settled"])

    def perform_update(self, serializer: Any) -> None:
        if "lane" in serializer.validated_data:
            self.require_lane(serializer.validated_data["lane"])
        if serializer.instance.state == Campaign.State.ARCHIVED:
            raise refuse(
                409, "campaign-state", "The campaign is archived", "An archived campaign is not changed."
            )
        if serializer.validated_data:
            editing.note(serializer.instance, f"key:{self.key.prefix}")
        super().perform_update(serializer)

    def perform_destroy(self, instance: Any) -> None:
        if instance.versions.exists():
            raise refuse(
                409,
                "campaign-state",
                "The campaign was approved or launched",
                "Its versions are kept for its runs; only a campaign that never left draft can be deleted.",
            )
        super().perform_destroy(instance)

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "everybody",
                OpenApiTypes.BOOL,
                description="Look at everybody, where a large audience would be sampled.",
            )
        ],
        responses=PreflightSerializer,
    )
    @action(detail=True, methods=["get"])
    def preflight(self, request: Request, uid: Any) -> Response:
        """Say whom a launch would reach now, what stands in its way, what to think about, and who has approved it."""
        campaign = self.get_object()
        predicate = campaign.segment.whole if campaign.segment else None
        people = segments.subscribers(self.application, predicate)
        consenting = people.filter(consent=True)
        active = Device.objects.filter(
            segments.devices_q(predicate), subscriber__in=consenting.values("pk"), state=Device.State.ACTIVE
        )
        by_provider = active.order_by().values_list("provider").annotate(Count("pk"))
        everybody = request.query_params.get("everybody", "").lower() in ("1", "true")
        looked = preflight.look(campaign, everybody=everybody)
        found = as_document(looked, approval.author_of(self._author))
        found |= {
            "subscribers": people.count(),
            "consenting": consenting.count(),
            "devices": dict(by_provider),
        }
        return Response(PreflightSerializer(found).data)

    @property
    def _author(self) -> str:
        return f"key {self.key.prefix}"

    @property
    def _may_override(self) -> bool:
        return OVERRIDE in self.key.scopes

    def _asked(self, serializer: type[SeenSerializer]) -> dict[str, Any]:
        asked = serializer(data=self.request.data)
        asked.is_valid(raise_exception=True)
        return cast("dict[str, Any]", asked.validated_data)

    @extend_schema(request=SeenSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, uid: Any) -> Response:
        """Approve what the campaign says and the dry run's numbers, so that it can be launched and rules may use it.

        The answer's state is `in_review` while the application wants somebody else's approval too.
        """
        campaign = self.get_object()
        self.require_lane(campaign.lane)
        numbers = _tried(preflight.seen, campaign, seal=self._asked(SeenSerializer)["seen"])
        _tried(
            launching.approve,
            campaign,
            by=self._author,
            may_override=self._may_override,
            numbers=numbers,
        )
        self.note("approve", campaign)
        return Response(self.get_serializer(campaign).data)

    @extend_schema(request=LaunchSerializer, responses={202: LaunchedSerializer})
    @action(detail=True, methods=["post"])
    def launch(self, request: Request, uid: Any) -> Response:
        """Launch the campaign to its audience, or a `canary` of it first: at once, or at a `send_at` to come."""
        campaign = self.get_object()
        self.require_lane(campaign.lane)
        asked = self._asked(LaunchSerializer)
        if asked["seen"]:
            _tried(preflight.seen, campaign, seal=asked["seen"])
        _tried(
            launching.launch,
            campaign,
            by=self._author,
            may_override=self._may_override,
            canary=asked["canary"],
        )
        self.note("launch", campaign)
        version = campaign.versions.first()
        return Response(
            {
                "run": None if campaign.event_type_id else str(launching.first_uid(version)),
                "version": version.number,
                "launch_at": version.launch_at if version.launched_at is None else None,
            },
            status=202,
        )

    @extend_schema(request=None, responses={202: LaunchedSerializer})
    @action(detail=True, methods=["post"], url_path="go-on")
    def go_on(self, request: Request, uid: Any) -> Response:
        """Tell the others after a canary; the winner alone, if one of an experiment's variants was chosen."""
        campaign = self.get_object()
        self.require_lane(campaign.lane)
        version = _tried(launching.waiting_canary, campaign)
        run = _tried(launching.go_on, version, by=self._author)
        self.note("go_on", campaign)
        return Response({"run": str(run.uid), "version": version.number, "launch_at": None}, status=202)

    @extend_schema(request=None, responses=RunsSerializer)
    @action(detail=True, methods=["post"], url_path="stop-canary")
    def stop_canary(self, request: Request, uid: Any) -> Response:
        """Stop after a canary: nobody else is told."""
        campaign = self.get_object()
        version = _tried(launching.waiting_canary, campaign)
        _tried(launching.stop_canary, version, by=self._author)
        self.note("stop_canary", campaign)
        first = Run.objects.filter(uid=launching.canary_uid(version)).select_related(
            "application", "category"
        )
        return Response({"runs": RunSerializer(first, many=True).data})

    @extend_schema(request=None, responses=RunsSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, uid: Any) -> Response:
        """Pause the campaign's runs."""
        return self._do("pause")

    @extend_schema(request=None, responses=RunsSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, uid: Any) -> Response:
        """Go on with the campaign's paused runs."""
        return self._do("resume")

    @extend_schema(request=None, responses=RunsSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uid: Any) -> Response:
        """End the campaign's runs, and take back a launch whose time has not come."""
        campaign = self.get_object()
        waiting = campaign.versions.filter(launch_at__isnull=False, launched_at=None).exists()
        if waiting:
            _tried(launching.unschedule, campaign)
            self.note("unschedule", campaign)
        return self._do("cancel", or_else=waiting)

    @extend_schema(request=None, responses=RunsSerializer)
    @action(detail=True, methods=["post"])
    def recall(self, request: Request, uid: Any) -> Response:
        """Take back what the campaign's runs said."""
        return self._do("recall")

    def _do(self, name: str, *, or_else: bool = False) -> Response:
        """Do `name` to every run of the campaign that allows it; a 409 when none does, unless `or_else`."""
        campaign = self.get_object()
        going = Run.objects.filter(
            application=self.application, origin__startswith=f"campaign:{campaign.uid}:"
        ).select_related("application", "category")
        if name == "recall":
            going = going.filter(recalled_at=None)
        else:
            going = going.filter(state__in=TRANSITIONS[name][0])
        done = list(going)
        if not done and not or_else:
            raise refuse(
                409, "run-state", "No run allows that", f"No run of this campaign can be {_PAST[name]} now."
            )
        for run in done:
            do(name, run)
            self.note(name, run)
        return Response({"runs": RunSerializer(done, many=True).data})


_PAST = {"pause": "paused", "resume": "resumed", "cancel": "cancelled", "recall": "recalled"}


def _tried(what: Any, of: Campaign | CampaignVersion, **values: Any) -> Any:
    """Do something with a campaign; a state that forbids it is a 409, content that does not hold a 400."""
    try:
        return cast(Any, what(of, **values))
    except launching.LaunchError as error:
        if error.field == launching.NOT_APPROVED:
            raise refuse(
                409, "campaign-approval", "An approval is missing or not allowed", error.reason
            ) from None
        if error.field == launching.CHANGED:
            raise refuse(409, "campaign-changed", "The campaign is another by now", error.reason) from None
        if error.field == "state":
            raise refuse(409, "campaign-state", "The campaign is in another state", error.reason) from None
        raise at_field(error) from None
