"""The page of segments: who is in one, as JSON, and how many that is now."""

from typing import Any

from django.contrib import admin
from unfold.decorators import display

from devices import segments
from devices.models import Segment, Subscriber
from devices.scoped_admin import ScopedAdmin


@admin.register(Segment)
class SegmentAdmin(ScopedAdmin):
    """Saved predicates over subscribers and devices."""

    list_display = ["name", "application", "created_at"]
    list_filter = ["application"]
    list_select_related = ["application"]
    search_fields = ["name"]
    readonly_fields = ["people", "created_at"]
    fieldsets = [
        (None, {"fields": ["application", "name", "predicate", "people"]}),
        ("More", {"fields": ["created_at"]}),
    ]

    @display(description="People in it now")
    def people(self, segment: Segment) -> str:
        """Count on the segment's own page only: on the list it would count once a row."""
        inside = segments.subscribers(segment.application, segment.predicate).count()
        everybody = Subscriber.objects.filter(application_id=segment.application_id).count()
        return f"{inside:,} of {everybody:,}"

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None:
            return fieldsets
        name, options = fieldsets[0]
        return [(name, {"fields": [field for field in options["fields"] if field != "people"]})]
