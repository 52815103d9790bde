"""The pages of the audit log, and of one object's history."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from devices import audit, csv_out, staff
from devices.models import AuditEntry, Power
from devices.scoped_admin import ReadOnlyAdmin

ON_A_PAGE = 50
MOST_ROWS = 200_000
WORDS = {
    audit.CREATED: _("Made"),
    audit.CHANGED: _("Changed"),
    audit.DELETED: _("Deleted"),
}
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")


def word_of(name: str) -> str:
    """Return an action for people; what a button did is called by its name."""
    return str(WORDS.get(name) or capfirst(name.replace("_", " ")))


def difference(before: str, after: str) -> SafeString:
    """Return two texts as one, word by word, with what went and what came marked."""
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    if len(old) + len(new) > 4_000:
        old, new = [before], [after]
    pieces: list[SafeString] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(format_html("{}", "".join(old[a:b])))
            continue
        if b > a:
            pieces.append(format_html("<del>{}</del>", "".join(old[a:b])))
        if d > c:
            pieces.append(format_html("<ins>{}</ins>", "".join(new[c:d])))
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def changes_of(entry: AuditEntry, model: type[Model] | None) -> list[tuple[str, SafeString]]:
    """Return the fields that an entry says have changed, by the names that their pages use."""
    return [(_field_name(model, name), difference(*pair)) for name, pair in entry.changes.items()]


def _field_name(model: type[Model] | None, name: str) -> str:
    if model is not None:
        try:
            return str(capfirst(str(getattr(model._meta.get_field(name), "verbose_name", name))))
        except FieldDoesNotExist:
            pass
    return name


def history(page: Any, request: HttpRequest, obj: Model) -> HttpResponse:
    """Return the page of what was done to an object, newest first."""
    found = Paginator(audit.of(obj), ON_A_PAGE).get_page(request.GET.get("p"))
    context = {
        **page.admin_site.each_context(request),
        "title": gettext("History of “%(name)s”") % {"name": obj},
        "opts": page.opts,
        "object": obj,
        "rows": [(one, word_of(one.action), changes_of(one, type(obj))) for one in found],
        "found": found,
    }
    return TemplateResponse(request, "admin/devices/history.html", context)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what in an application: for its operators and administrators, and nobody changes it."""

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

    def has_module_permission(self, request: HttpRequest) -> bool:
        return staff.may(request, Power.AUDIT)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.AUDIT, obj)

    @display(description=_("Done"), ordering="action")
    def done(self, entry: AuditEntry) -> str:
        return word_of(entry.action)

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
        rows = changes_of(entry, self._model(entry))
        return format_html_join("", '<p><strong>{}</strong><br><span class="nh-diff">{}</span></p>', rows)

    def _model(self, entry: AuditEntry) -> type[Model] | None:
        return next(
            (model for model in self.admin_site._registry if model._meta.label_lower == entry.model), None
        )

    # -- the file

    def get_urls(self) -> list[URLPattern]:
        file = path(
            "download/", self.admin_site.admin_view(self.download_view), name="devices_audit_download"
        )
        return [file, *super().get_urls()]

    @action(description=_("Download as CSV"), url_path="as-csv", icon="download")
    def download(self, request: HttpRequest) -> HttpResponseBase:
        return self.download_view(request)

    def download_view(self, request: HttpRequest) -> HttpResponseBase:
        """Return what the member may read as a file, newest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
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
