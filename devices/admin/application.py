"""The pages of applications."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from devices import staff
from devices.models import Application, Category, Power
from devices.models.application import validate_caps
from devices.scoped_admin import Empty, ScopedAdmin
from devices.scoped_form import ScopedForm


def validate_origins(origins: Any) -> None:
    """Refuse anything but a list of web origins (RFC 6454: scheme, host, port; no path)."""
    if not isinstance(origins, list) or not all(isinstance(origin, str) for origin in origins):
        raise ValidationError(gettext('Write a list of texts, as ["https://app.example.com"].'))
    for origin in origins:
        scheme, _, host = origin.partition("://")
        if scheme not in ("http", "https") or not host or "/" in host:
            raise ValidationError(
                gettext("“%(origin)s” is no web origin; write scheme and host, as https://app.example.com.")
                % {"origin": origin}
            )


class ApplicationForm(ScopedForm):
    """An application's settings; origins are checked one by one."""

    def clean_origins(self) -> Any:
        origins = self.cleaned_data["origins"] or []
        validate_origins(origins)
        return origins

    def clean_caps(self) -> Any:
        caps = self.cleaned_data["caps"] or []
        validate_caps(caps)
        wanted = {cap["category"] for cap in caps if cap.get("category")}
        known = Category.objects.filter(application=self.instance.pk).values_list("key", flat=True)
        if unknown := sorted(wanted - set(known)):
            raise ValidationError(
                gettext("This application has no category %(listed)s.") % {"listed": ", ".join(unknown)}
            )
        return caps


@admin.register(Application)
class ApplicationAdmin(ScopedAdmin):
    """Applications: their members see theirs, administrators change it, superusers add more."""

    empty = Empty(
        _("An application is a product with its own people, keys and credentials."),
        {"devices.application": _("Add the first application")},
    )
    form = ApplicationForm
    application_path = "pk"
    changed_with = Power.MANAGE
    change_form_outer_before_template = "admin/devices/application/before.html"
    list_display = ["name", "slug", "time_zone", "locale"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    fieldsets = [
        (None, {"fields": ["name", "slug", ("time_zone", "locale")]}),
        (_("Policy"), {"fields": ["quiet_hours", "caps"]}),
        (_("Approval"), {"fields": [("approval_from", "second_approval_from")]}),
        (_("Links"), {"fields": ["link_schemes"]}),
        (_("WebSocket"), {"fields": ["origins"]}),
        (_("For developers"), {"fields": ["uid", "created_at"]}),
    ]
    readonly_fields = ["uid", "created_at"]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        application = self.get_object(request, object_id)
        may_stop = staff.may(request, Power.HALT, application.pk)
        more = {**(extra_context or {}), "may_stop": may_stop}
        return super().change_view(request, object_id, form_url, more)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # its people, runs and events would go with it, in one transaction of any size
        return False

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # a slug in use must not follow the name
        return {} if obj else super().get_prepopulated_fields(request, obj)
