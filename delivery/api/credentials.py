"""`/credentials`: what the application shows providers, written and never read back; `/web-push-key` for browsers."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import checking, credentials, gates, storing
from delivery.credential_input import FIELDS, CredentialInputErrors, read
from delivery.models import Credential
from delivery.models.providers import OUTSIDE
from devices.authentication import ApiKeyAuthentication, Client, SubscriberTokenAuthentication
from devices.isolation import Scoped, ScopedViewSet
from devices.models import Provider
from devices.problems import refuse
from devices.strictness import StrictSerializer

_TEXT: dict[str, Any] = {
    "required": False,
    "write_only": True,
    "allow_blank": True,
    "max_length": 16_384,
    "trim_whitespace": False,
}


class CredentialSerializer(StrictSerializer):
    """Credentials; which fields are needed says the provider.

    FCM: `service_account`. APNs: `private_key`, `key_id`, `team_id` and `topic`, or `certificate` and `private_key`.
    Web Push: `subject`, and `private_key` unless the hub is to make one.
    """

    id = serializers.UUIDField(source="uid", read_only=True)
    provider = serializers.ChoiceField(choices=OUTSIDE)
    service_account = serializers.JSONField(
        required=False, write_only=True, help_text="Google's JSON key file."
    )
    private_key = serializers.CharField(**_TEXT)
    key_id = serializers.CharField(**_TEXT)
    team_id = serializers.CharField(**_TEXT)
    certificate = serializers.CharField(**_TEXT)
    topic = serializers.CharField(**_TEXT)
    subject = serializers.CharField(**_TEXT)
    per_minute = serializers.IntegerField(required=False, write_only=True, min_value=0, max_value=10**9)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    stands_in = serializers.BooleanField(required=False, help_text="Deliver to the fleet instead.")
    fingerprint = serializers.CharField(read_only=True)
    public_key = serializers.SerializerMethodField(help_text="Web Push: what browsers subscribe with.")
    shown = serializers.SerializerMethodField(help_text="Whether it is what the provider is shown now.")
    refused_at = serializers.DateTimeField(read_only=True)
    refused_reason = serializers.CharField(read_only=True)
    checked_at = serializers.DateTimeField(read_only=True)
    stored_at = serializers.DateTimeField(read_only=True)

    def get_public_key(self, row: Credential) -> str:
        return credentials.public_key(row) if row.provider == Provider.WEBPUSH else ""

    def get_shown(self, row: Credential) -> bool:
        first = credentials.stored(row.application_id, row.provider)[0]
        return row.provider == Provider.WEBPUSH or first.pk == row.pk

    def validate(self, attrs: Any) -> Any:
        allowed = FIELDS[attrs["provider"]]
        surplus = [
            name for names in FIELDS.values() for name in names if name in attrs and name not in allowed
        ]
        if surplus:
            sentence = f"This is not {attrs['provider']}'s; it has {', '.join(allowed)}."
            raise serializers.ValidationError({name: [sentence] for name in surplus})
        try:
            attrs["written"] = read(attrs["provider"], attrs)
        except CredentialInputErrors as errors:
            raise serializers.ValidationError(
                {name: [said] for name, said in errors.faults.items()}
            ) from None
        return attrs

    def create(self, values: Any) -> Credential:
        row = Credential(
            application=values["application"],
            provider=values["provider"],
            stands_in=values.get("stands_in", False),
            expires_at=values.get("expires_at"),
        )
        try:
            storing.put(row, values["written"], per_minute=values.get("per_minute"))
        except storing.TwoStoredError as error:
            raise refuse(409, "two-stored", "There are two already", str(error)) from None
        row.save()
        gates.open_(row.application_id, row.provider)
        return row


class CheckedSerializer(serializers.Serializer[Any]):
    """What a provider said of credentials."""

    accepted = serializers.BooleanField()
    code = serializers.CharField()
    sentence = serializers.CharField()


class CredentialViewSet(
    ScopedViewSet,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.DestroyModelMixin,
):
    """Credentials at the providers, at most two for each: the one in use and its successor."""

    model = Credential
    serializer_class = CredentialSerializer
    required_scope = "credentials:write"

    @extend_schema(request=None, responses=CheckedSerializer)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, uid: Any) -> Response:
        """Ask the provider now whether it takes them; nothing reaches a device."""
        found = checking.check(self.get_object())
        return Response({"accepted": found.accepted, "code": found.code, "sentence": found.sentence})


class WebPushKeySerializer(serializers.Serializer[Any]):
    """The application server key that browsers subscribe with: 65 bytes in base64url."""

    public_key = serializers.CharField()


class WebPushKeyView(Scoped):
    """What a page needs to subscribe a browser to Web Push."""

    authentication_classes = [ApiKeyAuthentication, SubscriberTokenAuthentication]
    required_scope = "subscribers:read"

    @extend_schema(
        operation_id="web_push_key", responses={200: WebPushKeySerializer, 404: OpenApiTypes.OBJECT}
    )
    def get(self, request: Request) -> Response:
        """Show the newest key: new subscriptions are made with it."""
        auth: Any = request.auth
        application = auth.application if isinstance(auth, Client) else self.application
        rows = credentials.stored(application.pk, Provider.WEBPUSH)
        if not rows:
            sentence = "This application has no Web Push credentials; add them under Delivery, Credentials."
            raise refuse(404, "no-web-push", "There is no Web Push key", sentence)
        return Response({"public_key": credentials.public_key(rows[0])})
