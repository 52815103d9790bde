"""The pages of applications and of the staff who work in them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from devices import staff
from devices.models import Application, Category, Membership, Role
from devices.models.application import validate_caps
from devices.scoped_admin import ScopedAdmin
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
    """Applications: their members see theirs, owners change it, superusers add more."""

    form = ApplicationForm
    application_path = "pk"
    change_role = Role.OWNER
    change_form_outer_before_template = "admin/devices/application/before.html"
    list_display = ["name", "slug", "time_zone", "locale"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    fieldsets = [
        (None, {"fields": ["name", "slug", ("time_zone", "locale")]}),
        (_("Policy"), {"fields": ["quiet_hours", "caps"]}),
        (_("Approval"), {"fields": [("approval_from", "second_approval_from")]}),
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
        may_stop = staff.may(request, Role.APPROVER, application.pk)
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


class MembershipForm(ScopedForm):
    """A member is named by their user name: a list to choose from would show other applications' staff."""

    username = forms.CharField(
        label=_("User name"),
        max_length=150,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Of a staff account that exists; an administrator of the hub makes accounts."),
    )

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"].strip()
        user = get_user_model().objects.filter(username=name, is_active=True, is_staff=True).first()
        if user is None:
            raise ValidationError(
                gettext("There is no active staff account “%(name)s”; ask an administrator to make one.")
                % {"name": name}
            )
        self.instance.user = user
        return name

    def _get_validation_exclusions(self) -> set[str]:
        # the user comes from the name, and "one membership per application" must see it
        return (
            super()._get_validation_exclusions() - {"user"} if "username" in self.cleaned_data else {"user"}
        )


@admin.register(Membership)
class MembershipAdmin(ScopedAdmin):
    """Who works in an application, and as what."""

    form = MembershipForm
    change_role = Role.OWNER
    list_display = ["user", "application", "role_shown"]
    list_filter = ["application", "role"]
    list_select_related = ["user", "application"]
    search_fields = ["user__username"]
    radio_fields = {"role": admin.VERTICAL}

    @display(description=_("Role"), ordering="role")
    def role_shown(self, member: Membership) -> str:
        return member.get_role_display()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["application", "username" if obj is None else "user", "role"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), *(["user"] if obj else []))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            kwargs["form"] = ScopedForm
        return super().get_form(request, obj, change=change, **kwargs)
