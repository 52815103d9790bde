"""How the schema of the API describes our two ways of authentication."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """API keys."""

    target_class = "devices.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "nh_<prefix>_<secret>"}


class SubscriberTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Subscriber tokens."""

    target_class = "devices.authentication.SubscriberTokenAuthentication"
    match_subclasses = True
    name = "subscriberToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWS"}
