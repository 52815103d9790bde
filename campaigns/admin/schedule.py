"""The page of schedules: events that the clock sends."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from campaigns.models import Schedule
from devices.scoped_admin import ScopedAdmin


@admin.register(Schedule)
class ScheduleAdmin(ScopedAdmin):
    """Schedules: a type, a crontab and a time zone."""

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
