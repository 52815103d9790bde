"""The page of test devices: which of the subscribers' devices are sent tests of campaigns."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from campaigns.models import TestDevice
from devices.scoped_admin import Empty, ScopedAdmin


@admin.register(TestDevice)
class TestDeviceAdmin(ScopedAdmin):
    """Test devices, by name."""

    empty = Empty(
        _(
            "Test devices are sent a campaign before anybody else is, from the campaign's page. Let your own"
            " phone or browser register, then find it here by its subscriber's id and name it."
        ),
        {"campaigns.testdevice": _("Add a test device")},
    )
    list_display = ["name", "application", "device", "person"]
    list_filter = ["application"]
    list_select_related = ["application", "device__subscriber"]
    search_fields = ["name", "device__subscriber__external_id"]
    autocomplete_fields = ["device"]
    fieldsets = [(None, {"fields": ["application", "name", "device"]})]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "device" and field is not None:
            field.help_text = _(
                "Search for the id of the subscriber who holds it. It is sent tests as theirs."
            )
        return field

    @admin.display(description=_("Subscriber"))
    def person(self, tested: TestDevice) -> str:
        return tested.device.subscriber.external_id
