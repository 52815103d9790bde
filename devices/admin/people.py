"""The pages of people, their devices, and what they may choose to hear of."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from devices import audit, closing, csv_out, freshness, registration, staff
from devices.confirmation import RefusedError, confirmed
from devices.models import Category, Device, Power, Preference, Subscriber
from devices.scoped_admin import Empty, ReadOnlyAdmin, ScopedAdmin
from devices.scoped_inlines import ScopedTabularInline


def mask(token: str) -> str:
    """Return enough of a token to tell two apart, and too little to send to."""
    if not token:
        return "—"
    return (
        _("…%(end)s (%(count)s characters)") % {"end": token[-4:], "count": len(token)}
        if len(token) >= 16
        else "•" * 8
    )


class DeviceInline(ScopedTabularInline):
    """A subscriber's devices: they come and go by the API, so they are shown and not edited."""

    model = Device
    read_only = True
    fields = ["device", "state", "token_shown", "locale", "app_version", "seen_at"]
    readonly_fields = fields
    ordering = ["-seen_at"]

    @display(description=gettext_lazy("Device"))
    def device(self, device: Device) -> str:
        return format_html(
            '<a class="text-link" href="{}">{}</a>',
            reverse("admin:devices_device_change", args=[device.pk]),
            device,
        )

    @display(description=gettext_lazy("Token"))
    def token_shown(self, device: Device) -> str:
        return mask(device.token)


class PreferenceInline(ScopedTabularInline):
    """What a subscriber chose, category by category."""

    model = Preference
    fields = ["category", "allowed", "changed_at"]
    readonly_fields = ["changed_at"]


@admin.register(Subscriber)
class SubscriberAdmin(ScopedAdmin):
    """People, with their devices and preferences."""

    empty = Empty(
        gettext_lazy(
            "Subscribers are the people whom you can tell something. Import them from a CSV file, or let your"
            " service register them by the API, with a key."
        ),
        {
            "devices.import": gettext_lazy("Import a CSV file"),
            "devices.apikey": gettext_lazy("Add an API key"),
        },
    )
    list_display = ["external_id", "application", "locale", "time_zone", "consent", "created_at"]
    list_filter = ["application", "consent"]
    list_select_related = ["application"]
    search_fields = ["external_id"]
    search_help_text = gettext_lazy("How the person's id in your own system begins")
    change_form_outer_before_template = "admin/devices/subscriber/before.html"
    actions_list = ["import_csv", "export"]
    readonly_fields = ["uid", "consent_at", "created_at", "updated_at"]
    fieldsets = [
        (None, {"fields": ["application", "external_id", ("locale", "time_zone"), "quiet_hours", "consent"]}),
        (
            gettext_lazy("Attributes"),
            {
                "fields": ["attributes"],
                "description": gettext_lazy("What texts and segments may use, as JSON."),
            },
        ),
        (
            gettext_lazy("For developers"),
            {"fields": ["uid", "revoked_before", ("consent_at", "created_at", "updated_at")]},
        ),
    ]

    def has_import_permission(self, request: HttpRequest) -> bool:
        return staff.may(request, Power.WRITE)

    @action(
        description=gettext_lazy("Import a CSV file"),
        url_path="import-csv",
        icon="upload_file",
        permissions=["import"],
    )
    def import_csv(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:devices_import_add"))

    @action(
        description=gettext_lazy("Export as CSV"),
        url_path="export",
        icon="download",
        permissions=["change"],
    )
    def export(self, request: HttpRequest) -> HttpResponseBase:
        """Hand out the subscribers of one application; whoever works in several first says of which."""
        mine = staff.applications(request, Power.WRITE)
        if len(mine) > 1:
            mine = mine.filter(
                pk__in=[
                    key
                    for key in [request.GET.get("application", "")]
                    if key.isascii() and key.isdigit() and len(key) < 19
                ]
            )
        application = mine.first()
        if application is None:
            links = format_html_join(
                ", ",
                '<a class="text-link" href="export/?application={}">{}</a>',
                ((one.pk, one.name) for one in staff.applications(request, Power.WRITE)),
            )
            messages.info(request, format_html("{} {}", _("Of which application?"), links))
            return HttpResponseRedirect(reverse("admin:devices_subscriber_changelist"))
        audit.note(audit.staff(request), "export", application)
        return csv_out.subscribers(application, None, name=f"{application.slug}-subscribers")

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        return [] if obj is None else [DeviceInline, PreferenceInline]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Look for how an id begins: what stands somewhere in a million of them no index finds."""
        beginning = search_term.strip()
        return (queryset.filter(external_id__startswith=beginning) if beginning else queryset), False

    def save_model(self, request: HttpRequest, obj: Subscriber, form: Any, change: bool) -> None:
        if not change or "consent" in form.changed_data:
            obj.consent_at = timezone.now()
        if change and obj.revoked_before and "revoked_before" in form.changed_data:
            closing.close_subscriber(obj.uid, before=obj.revoked_before)
        super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Subscriber) -> None:
        closing.close_subscriber(obj.uid)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for uid in queryset.values_list("uid", flat=True):
            closing.close_subscriber(uid)
        super().delete_queryset(request, queryset)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for inner in formset.forms:
            if isinstance(inner.instance, Preference) and "allowed" in inner.changed_data:
                inner.instance.changed_at = timezone.now()
        super().save_formset(request, form, formset, change)


class FreshnessFilter(admin.SimpleListFilter):
    """Devices by how long ago they gave a sign of life."""

    title = gettext_lazy("last sign of life")
    parameter_name = "freshness"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (freshness.FRESH, _("In the last 30 days")),
            (freshness.STALE, _("Stale: 30 days ago and more")),
            (freshness.LAPSED, _("Lapsed: 270 days ago and more")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(freshness.condition(self.value())) if self.value() else queryset


@admin.register(Device)
class DeviceAdmin(ReadOnlyAdmin):
    """Devices: applications register them through the API; here they are looked at and retired."""

    empty = Empty(
        gettext_lazy(
            "A device is one installation of your app, or one browser. It appears here when your service or"
            " the app has registered it by the API, for which it needs a key."
        ),
        {"devices.apikey": gettext_lazy("Add an API key")},
    )
    list_display = ["__str__", "application", "subscriber", "provider", "state_shown", "freshness", "seen_at"]
    list_filter = ["application", "platform", "provider", "state", FreshnessFilter]
    list_select_related = ["application", "subscriber"]
    search_fields = ["subscriber__external_id"]
    search_help_text = gettext_lazy("How the person's id in your own system begins")
    secret_fields = ("token", "token_digest")
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "application",
                    "subscriber",
                    ("platform", "provider"),
                    "token_shown",
                    ("sandbox", "purpose"),
                ]
            },
        ),
        (
            gettext_lazy("State"),
            {"fields": ["state", ("registered_at", "seen_at"), ("retired_at", "retired_reason")]},
        ),
        (gettext_lazy("Installation"), {"fields": [("locale", "time_zone"), "app_version", "uid"]}),
    ]
    readonly_fields = ["token_shown"]
    actions_detail = ["retire"]

    @display(description=gettext_lazy("Token"))
    def token_shown(self, device: Device) -> str:
        return mask(device.token)

    @display(
        description=gettext_lazy("Sign of life"),
        label={freshness.STALE: "warning", freshness.LAPSED: "danger"},
    )
    def freshness(self, device: Device) -> tuple[str, str] | str:
        found = freshness.freshness(device.seen_at, timezone.now())
        if found == freshness.FRESH:
            return ""
        return found, _("Stale") if found == freshness.STALE else _("Lapsed")

    @display(
        description=gettext_lazy("State"),
        ordering="state",
        label={Device.State.ACTIVE: "success", Device.State.RETIRED: "warning"},
    )
    def state_shown(self, device: Device) -> tuple[str, str]:
        return device.state, device.get_state_display()

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Look for how the person's id begins."""
        beginning = search_term.strip()
        return (
            queryset.filter(subscriber__external_id__startswith=beginning) if beginning else queryset
        ), False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        closing.close_devices([obj.uid])
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        closing.close_devices(list(queryset.values_list("uid", flat=True)))
        super().delete_queryset(request, queryset)

    def has_retire_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    def offers(self, action: str, obj: Any) -> bool:
        return bool(obj.state == Device.State.ACTIVE)

    @action(
        description=gettext_lazy("Retire"),
        permissions=["retire"],
        icon="phonelink_erase",
        variant=ActionVariant.DANGER,
    )
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponse:
        device: Device = self.get_object(request, object_id)

        def do() -> str:
            if not registration.retire(device, Device.Retired.BY_STAFF):
                raise RefusedError(_("This device was retired before."))
            return _("%(device)s is retired: nothing is sent to it any more.") % {"device": device}

        return confirmed(
            self,
            request,
            device,
            question=_("Retire this %(platform)s device of %(subscriber)s?")
            % {"platform": device.get_platform_display(), "subscriber": device.subscriber},
            facts=[_("Nothing is sent to it any more."), _("It comes back when the app registers it again.")],
            button=_("Retire the device"),
            do=do,
            danger=True,
        )


@admin.register(Category)
class CategoryAdmin(ScopedAdmin):
    """What a notification may be about, as far as people may choose."""

    empty = Empty(
        gettext_lazy(
            "Categories are what people choose to hear of or not, such as news or offers. Add one for each"
            " choice they should have, then name it in your campaigns."
        ),
        {"devices.category": gettext_lazy("Add a category")},
    )
    list_display = ["name", "application", "key", "opt_in", "transactional"]
    list_filter = ["application", "opt_in"]
    list_select_related = ["application"]
    search_fields = ["name", "key"]
    prepopulated_fields = {"key": ["name"]}
    fields = ["application", "name", "key", "opt_in", "transactional", "critical_overrides"]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else super().get_prepopulated_fields(request, obj)
