"""One application per request: every queryset and every related field of the API starts from the caller's."""

from collections.abc import Mapping
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db.models import Model, ProtectedError, QuerySet
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.views import APIView

from devices import audit
from devices.models import ApiKey, Application
from devices.problems import refuse
from devices.strictness import refuse_unknown


class Scoped(APIView):
    """What every view has: the application of whoever sends the request."""

    required_scope: str | Mapping[str, str]
    parameters: tuple[str, ...] = ()
    """What may stand behind the `?` of the view's addresses, besides where and how long a page of a list is."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # a filter that is not known would choose everything
        paging = ("after", "limit") if getattr(self, "action", "") == "list" else ()
        refuse_unknown(request.query_params, (*self.parameters, *paging), noun="parameter")

    @property
    def application(self) -> Application:
        application: Application = cast(Any, self.request.auth).application
        return application

    @property
    def key(self) -> ApiKey:
        """The API key of the request, on views that take nothing else."""
        return cast(ApiKey, self.request.auth)

    def require_lane(self, lane: str) -> None:
        """Refuse what would use a lane that the key was not granted."""
        if lane not in self.key.lanes:
            raise refuse(
                403,
                "lane",
                "The lane is not granted",
                f"The key “{self.key.name}” may use {', '.join(self.key.lanes) or 'no lane'}, not “{lane}”.",
                pointer="/lane",
            )

    def note(self, action: str, obj: Model, **how: Any) -> None:
        """Write to the audit log what the service did."""
        audit.note(audit.service(self.request), action, obj, **how)


class ScopedViewSet(Scoped, viewsets.GenericViewSet[Any]):
    """A resource of the caller's application; another application's object is 404 like one that is not there."""

    model: type[Model]
    application_path = "application"
    related: tuple[str, ...] = ()
    lookup_field = "uid"
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[Any]:
        rows = self.model._default_manager.filter(**{self.application_path: self.application})
        return rows.select_related(*self.related) if self.related else rows

    # -- what the ways that a resource offers come to, which the audit log tells

    def perform_create(self, serializer: Any) -> None:
        serializer.save(application=self.application)
        audit.made(audit.service(self.request), serializer.instance)

    def perform_update(self, serializer: Any) -> None:
        before = audit.stored(serializer.instance)
        serializer.save()
        if changes := audit.difference(before, audit.state_of(serializer.instance)):
            self.note(audit.CHANGED, serializer.instance, changes=changes)

    def perform_destroy(self, instance: Any) -> None:
        gone = audit.gone(audit.service(self.request), instance)
        try:
            instance.delete()
        except ProtectedError as error:
            raise refuse(
                409,
                "in-use",
                "It is in use",
                f"It is used by {users_of(error)}; change that first.",
            ) from None
        audit.write(gone)


class ScopedModelViewSet(ScopedViewSet, viewsets.ModelViewSet[Any]):
    """The five ways with a resource of the application."""

    http_method_names = ["get", "post", "patch", "delete", "head", "options"]


MOST_USERS = 5


def users_of(error: ProtectedError) -> str:
    """Return who uses what could not be deleted: `the campaign “Spring” and the segment “VIPs”`."""
    users = sorted({f"the {row._meta.verbose_name} “{row}”" for row in error.protected_objects})
    more = len(users) - MOST_USERS
    return " and ".join(users[:MOST_USERS]) + (f" and {more} more" if more > 0 else "")


class ScopedRelatedField(serializers.SlugRelatedField[Any]):
    """A relation written and read as one field of the related object, looked up in the caller's application only."""

    def get_queryset(self) -> QuerySet[Any]:
        rows = cast("QuerySet[Any]", super().get_queryset())
        return rows.filter(application=self.context["view"].application)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or len(data) > 300:
            raise serializers.ValidationError(f"Write the {self.slug_field} as a text.")
        try:
            return super().to_internal_value(data)
        except (serializers.ValidationError, ValidationError, ValueError, TypeError):
            kind = self.get_queryset().model._meta.verbose_name
            known_by = {"uid": "id", "external_id": "external id"}.get(str(self.slug_field), self.slug_field)
            raise serializers.ValidationError(
                f"There is no {kind} with the {known_by} “{data[:100]}”."
            ) from None

    def to_representation(self, value: Any) -> Any:
        return str(super().to_representation(value))
