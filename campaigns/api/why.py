"""`/why`: why a subscriber got a campaign's notification, or did not."""

from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import why
from campaigns.models import Campaign
from delivery.models import Run
from devices.isolation import Scoped
from devices.models import Subscriber

Row = TypeVar("Row", bound=Model)


class WhyView(Scoped):
    """From the audience to the receipts, for one person."""

    required_scope = "why:read"
    parameters = ("subscriber", "campaign", "run")

    @extend_schema(
        operation_id="why_ask",
        parameters=[
            OpenApiParameter("subscriber", OpenApiTypes.STR, required=True, description="By external id."),
            OpenApiParameter(
                "campaign", OpenApiTypes.UUID, description="By id: its newest run, or none yet."
            ),
            OpenApiParameter("run", OpenApiTypes.UUID, description="By id: this run, of a campaign or not."),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """Say what became of a campaign or a run for a subscriber: in sentences, and stage by stage."""
        asked = request.query_params
        missing = {}
        if not asked.get("subscriber"):
            missing["subscriber"] = ["Say whom, as ?subscriber=ada: the service's own id."]
        if not asked.get("campaign") and not asked.get("run"):
            missing["campaign"] = ["Say of what: &campaign= and its id, or &run= and its id."]
        if missing:
            raise serializers.ValidationError(missing)
        subscriber = (
            Subscriber.objects.filter(application=self.application, external_id=asked["subscriber"])
            .select_related("application")
            .first()
        )
        if subscriber is None:
            raise NotFound("There is no such subscriber.")
        campaign = run = None
        if asked.get("campaign"):
            campaign = self._found(
                Campaign.objects.select_related("application", "segment", "category"), asked["campaign"]
            )
        if asked.get("run"):
            run = self._found(Run.objects.all(), asked["run"])
        return Response(why.compose(self.application, subscriber, campaign, run=run))

    def _found(self, rows: QuerySet[Row], uid: str) -> Row:
        """Return the application's row with a uid, or raise the 404 that a foreign or missing one is."""
        name = rows.model._meta.verbose_name
        try:
            found = rows.filter(application=self.application, uid=UUID(uid)).first()
        except ValueError:
            found = None
        if found is None:
            raise NotFound(f"There is no such {name}.")
        return found
