"""`/subscribers/{external_id}/preference-link`: a signed link to a person's preference centre."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from devices import preference_links
from devices.isolation import Scoped
from devices.models import Category, Subscriber
from devices.strictness import StrictSerializer


class LinkAskedSerializer(StrictSerializer):
    """For how long, and what one click on `opt_out_url` switches off."""

    days = serializers.IntegerField(
        min_value=1, max_value=preference_links.LONGEST_DAYS, default=preference_links.DAYS
    )
    category = serializers.CharField(
        max_length=50, required=False, allow_blank=True, help_text="Key of a category; empty: everything."
    )


class LinkSerializer(serializers.Serializer[Any]):
    """A link, to be given to the subscriber alone."""

    url = serializers.URLField(help_text="The page of all choices.")
    opt_out_url = serializers.URLField(
        help_text="GET asks, POST opts out (RFC 8058): fit for a List-Unsubscribe header."
    )
    expires_at = serializers.DateTimeField()


class PreferenceLinkView(Scoped):
    """Links to the preference centre."""

    required_scope = "subscribers:write"

    @extend_schema(
        operation_id="subscribers_preference_link",
        request=LinkAskedSerializer,
        responses={201: LinkSerializer},
    )
    def post(self, request: Request, external_id: str) -> Response:
        """Make a link; those made before the subscriber's `revoked_before` no longer open anything."""
        serializer = LinkAskedSerializer(data=request.data or {})
        serializer.is_valid(raise_exception=True)
        subscriber = Subscriber.objects.filter(application=self.application, external_id=external_id).first()
        if subscriber is None:
            raise NotFound("There is no such subscriber.")
        category = serializer.validated_data.get("category", "")
        if category and not Category.objects.filter(application=self.application, key=category).exists():
            raise serializers.ValidationError({"category": ["There is no such category."]})
        token, expires_at = preference_links.make(
            subscriber, category=category, days=serializer.validated_data["days"]
        )
        return Response(
            {
                "url": request.build_absolute_uri(reverse("preferences", args=[token])),
                "opt_out_url": request.build_absolute_uri(reverse("preferences-opt-out", args=[token])),
                "expires_at": expires_at,
            },
            status=201,
            headers={"Cache-Control": "no-store"},
        )
