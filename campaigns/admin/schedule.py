"""The page of schedules: events that the clock sends."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from campaigns.models import Schedule
from devices.scoped_admin import Empty, ScopedAdmin


@admin.register(Schedule)
class ScheduleAdmin(ScopedAdmin):
    """Schedules: a type, a crontab and a time zone."""

    empty = Empty(
        _(
            "A schedule sends an event at set times, and rules answer it. It takes an event type that the"
            " clock may send. A campaign that repeats needs none: it has times of its own."
        ),
        {"campaigns.eventtype": _("Add an event type"), "campaigns.schedule": _("Add a schedule")},
    )
    list_display = ["name", "application", "event_type", "crontab", "time_zone", "enabled", "due_at"]
    list_filter = ["application", "enabled"]
    list_select_related = ["application", "event_type"]
    search_fields = ["name"]
    readonly_fields = ["due_at"]
    fieldsets = [
        (None, {"fields": ["application", "name", "enabled"]}),
        (_("When"), {"fields": ["crontab", "time_zone", "due_at"]}),
        (_("Event"), {"fields": ["event_type", "subject", "data"]}),
    ]
