"""The pages of work that was given up after too many attempts, to see what is stuck and why."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from delivery.models import Page, Parcel, WorkState
from devices.scoped_admin import ReadOnlyAdmin, instant


class StuckAdmin(ReadOnlyAdmin):
    """What pages and parcels have in common once they are given up."""

    list_filter = ["application", "lane"]
    list_select_related = ["application", "run"]
    list_display_links = ["__str__"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(state=WorkState.DEAD)

    @display(description="What went wrong")
    def last_words(self, work: Any) -> str:
        """Return the last line of the error: the rest stands on the object's own page."""
        lines = work.error.strip().splitlines()
        return lines[-1][:160] if lines else "—"

    @display(description="Made", ordering="created_at")
    def made_at(self, work: Any) -> str:
        return instant(work.created_at)


@admin.register(Page)
class PageAdmin(StuckAdmin):
    """Pages that could not be planned."""

    list_display = ["__str__", "application", "run", "lane", "kind", "last_words", "made_at"]
    fields = ["application", "run", ("lane", "kind"), "error", ("fence", "worker"), "made_at"]
    readonly_fields = ["made_at"]


@admin.register(Parcel)
class ParcelAdmin(StuckAdmin):
    """Parcels that could not be sent."""

    list_display = ["__str__", "application", "run", "lane", "provider", "size", "last_words", "made_at"]
    list_filter = ["application", "provider", "lane"]
    fields = [
        "application",
        "run",
        ("lane", "provider"),
        ("size", "attempt"),
        "error",
        ("fence", "worker"),
        "made_at",
    ]
    readonly_fields = ["made_at"]
