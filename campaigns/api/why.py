"""`/why`: why a subscriber got a campaign's notification, or did not."""

from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import why
from campaigns.models import Campaign
from devices.isolation import Scoped
from devices.models import Subscriber


class WhyView(Scoped):
    """From the audience to the receipts, for one person."""

    required_scope = "why:read"

    @extend_schema(
        operation_id="why_ask",
        parameters=[
            OpenApiParameter("subscriber", OpenApiTypes.STR, required=True, description="By external id."),
            OpenApiParameter("campaign", OpenApiTypes.UUID, required=True, description="By id."),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """Say what became of a campaign for a subscriber, stage by stage."""
        asked = request.query_params
        missing = [name for name in ("subscriber", "campaign") if not asked.get(name)]
        if missing:
            raise serializers.ValidationError({name: ["Say which."] for name in missing})
        subscriber = (
            Subscriber.objects.filter(application=self.application, external_id=asked["subscriber"])
            .select_related("application")
            .first()
        )
        if subscriber is None:
            raise NotFound("There is no such subscriber.")
        campaign = (
            Campaign.objects.filter(application=self.application, uid=_uuid(asked["campaign"]))
            .select_related("application", "segment", "category")
            .first()
        )
        if campaign is None:
            raise NotFound("There is no such campaign.")
        return Response(why.compose(self.application, subscriber, campaign))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such campaign.") from None
