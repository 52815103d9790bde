"""Who sends a request: a service with an API key, or a device with a subscriber token; and what a key may do."""

from typing import Any, cast

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from devices import keys, tokens
from devices.models import ApiKey, Application, Subscriber
from devices.problems import refuse

CHALLENGE = 'Bearer realm="notifyhub"'


class Client:
    """A device that has shown its subscriber token; what a view finds in `request.auth`."""

    def __init__(self, identity: tokens.Identity) -> None:
        self.identity = identity
        self.subscriber = Subscriber.objects.select_related("application").get(pk=identity.subscriber_id)
        self.application: Application = self.subscriber.application


class _BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer …` (RFC 6750 section 2.1)."""

    def authenticate_header(self, request: HttpRequest | Request) -> str:
        return CHALLENGE

    def bearer(self, request: Request) -> str:
        """Return what stands behind `Bearer`, or an empty text; raises when the header is something else."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return ""
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise AuthenticationFailed(
                "Write the header as “Authorization: Bearer <API key or subscriber token>”."
            )
        return str(text.strip())


class ApiKeyAuthentication(_BearerAuthentication):
    """A service, by its API key; `request.auth` is the `ApiKey`."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        text = self.bearer(request)
        if not text.startswith(keys.MARK):
            return None
        try:
            return None, keys.verify(text)
        except keys.ApiKeyError as error:
            raise AuthenticationFailed(str(error)) from None


class SubscriberTokenAuthentication(_BearerAuthentication):
    """A device, by its subscriber's token; `request.auth` is a `Client`.

    `unregistered` lets a device in that was never registered, for the view where it registers itself.
    """

    def __init__(self, *, unregistered: bool = False) -> None:
        self.unregistered = unregistered

    def authenticate(self, request: Request) -> tuple[None, Client] | None:
        text = self.bearer(request)
        if not text or text.startswith(keys.MARK):
            return None
        try:
            return None, Client(tokens.verify(text, unregistered=self.unregistered))
        except tokens.TokenError as error:
            raise AuthenticationFailed(str(error)) from None


class HasScope(BasePermission):
    """Lets a key in that has the view's scope, and a client where the view takes subscriber tokens.

    A view says `required_scope`: a scope, or a scope for each action.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.auth is None:
            takes = [type(way) for way in request.authenticators or ()]
            wanted = " or ".join(
                name
                for way, name in (
                    (ApiKeyAuthentication, "an API key"),
                    (SubscriberTokenAuthentication, "a subscriber token"),
                )
                if any(issubclass(taken, way) for taken in takes)
            )
            raise NotAuthenticated(f"This address needs {wanted}: “Authorization: Bearer …”.")
        if isinstance(request.auth, Client):
            return True
        key: ApiKey = cast(Any, request.auth)
        scope = required_scope(view)
        if scope not in key.scopes:
            raise refuse(
                403,
                "scope-missing",
                "The key lacks a scope",
                f"This needs the scope “{scope}”; the key “{key.name}” has "
                f"{', '.join(key.scopes) or 'none'}.",
                scope=scope,
            )
        return True


def required_scope(view: Any) -> str:
    """Return the scope that a view wants for its present action."""
    wanted = view.required_scope
    if isinstance(wanted, str):
        return wanted
    scope: str = wanted.get(getattr(view, "action", None)) or wanted["*"]
    return scope
