"""`/tokens`: subscriber tokens for the apps of a service that does not sign its own."""

import uuid
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from devices import tokens
from devices.isolation import Scoped
from devices.models import Device, Subscriber
from devices.strictness import StrictSerializer


class TokenRequestSerializer(StrictSerializer):
    """Whose token: a subscriber's, for one device; a device not named is a new one."""

    subscriber = serializers.CharField(max_length=255, help_text="By external id.")
    device = serializers.UUIDField(required=False)
    seconds = serializers.IntegerField(min_value=60, max_value=tokens.LONGEST, default=3600)


class TokenSerializer(serializers.Serializer[Any]):
    """The token, the device it is for and when it ends."""

    token = serializers.CharField()
    device = serializers.UUIDField()
    expires_at = serializers.DateTimeField()


class TokenView(Scoped):
    """Mint subscriber tokens."""

    required_scope = "tokens:mint"

    @extend_schema(
        operation_id="tokens_mint", request=TokenRequestSerializer, responses={201: TokenSerializer}
    )
    def post(self, request: Request) -> Response:
        """Mint a token for a subscriber's device; 404 when the subscriber is not known or the device is another's."""
        serializer = TokenRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        subscriber = (
            Subscriber.objects.filter(application=self.application, external_id=wanted["subscriber"])
            .select_related("application")
            .first()
        )
        if subscriber is None:
            raise NotFound(
                f"There is no subscriber “{wanted['subscriber'][:100]}”; make it with PUT /subscribers/…."
            )
        device = wanted.get("device") or uuid.uuid4()
        if Device.objects.filter(uid=device).exclude(subscriber=subscriber).exists():
            raise NotFound("There is no such device of this subscriber.")
        issued = tokens.issue(subscriber, device, seconds=wanted["seconds"])
        return Response(
            {
                "token": issued.token,
                "device": str(device),
                "expires_at": datetime.fromtimestamp(issued.expires_at, UTC),
            },
            status=201,
        )
