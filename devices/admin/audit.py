"""The pages of the audit log."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from devices import audit, csv_out, history, staff
from devices.models import AuditEntry, Power
from devices.scoped_admin import Empty, ReadOnlyAdmin

MOST_ROWS = 200_000


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what in an application: for its operators and administrators, and nobody changes it."""

    empty = Empty(
        _(
            "Who did what, when and from where: approvals, launches, stops, keys, members, exports. There is"
            " nothing to set up: the first change will stand here."
        ),
    )
    seen_with = Power.AUDIT
    list_display = ["at", "actor", "done", "what", "says", "application", "origin", "address"]
    list_filter = ["application", "origin", "at"]
    list_select_related = ["application"]
    list_display_links = ["at"]
    search_fields = ["actor", "object_name", "action"]
    fields = ["at", "application", "actor", "origin", "address", "done", "what", "says", "differences"]
    readonly_fields = fields
    ordering = ["-pk"]
    actions_list = ["download"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = AuditEntry.objects.filter(application__in=staff.enters(request, Power.AUDIT))
        return rows.order_by("-pk")

    @display(description=_("Done"), ordering="action")
    def done(self, entry: AuditEntry) -> str:
        model = self._model(entry)
        return history.word_of(entry.action, self.admin_site._registry.get(model) if model else None)

    @display(description=_("What"), ordering="object_name")
    def what(self, entry: AuditEntry) -> str | SafeString:
        model = self._model(entry)
        kind = str(model._meta.verbose_name) if model else entry.model
        name = f"{kind} “{entry.object_name}”"
        if entry.action == audit.DELETED:
            return name
        try:
            address = reverse(f"admin:{entry.model.replace('.', '_')}_history", args=[entry.object_key])
        except NoReverseMatch:
            return name
        return format_html('<a class="nh-link" href="{}">{}</a>', address, name)

    @display(description=_("Changes"))
    def differences(self, entry: AuditEntry) -> SafeString:
        rows = history.changes_of(entry, self._model(entry))
        return format_html_join("", '<p><strong>{}</strong><br><span class="nh-diff">{}</span></p>', rows)

    def _model(self, entry: AuditEntry) -> type[Model] | None:
        return next(
            (model for model in self.admin_site._registry if model._meta.label_lower == entry.model), None
        )

    @action(description=_("Download as CSV"), url_path="download", permissions=["view"], icon="download")
    def download(self, request: HttpRequest) -> HttpResponseBase:
        """Return what the member may read as a file, newest first."""
        rows = self.get_queryset(request).select_related("application")[:MOST_ROWS]
        return csv_out.response(_lines(rows), name="audit-log")


def _lines(rows: QuerySet[Any]) -> Iterator[str]:
    yield csv_out.line(
        ["at", "application", "who", "from", "address", "action", "model", "key", "name", "says", "changes"]
    )
    for one in rows.iterator(chunk_size=1_000):
        yield csv_out.line(
            [
                one.at.isoformat(),
                one.application.slug if one.application else "",
                one.actor,
                one.origin,
                one.address,
                one.action,
                one.model,
                one.object_key,
                one.object_name,
                one.says,
                one.changes or "",
            ]
        )
