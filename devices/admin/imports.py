"""The pages of imports: a CSV file goes in, a bar says how far it is, and what was refused comes back as a file."""

from itertools import islice
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from devices import csv_in, csv_out, importing, staff
from devices.confirmation import RefusedError, confirmed
from devices.models import Application, Import, Power, Segment
from devices.scoped_admin import Empty, ReadOnlyAdmin
from devices.words import number

State = Import.State
SHOWN = 5
"""Rows that were refused, on the page of an import; all of them are in the file."""


class UploadForm(forms.Form):
    """What to import, into which application."""

    application: Any = forms.ModelChoiceField(
        queryset=Application.objects.none(),
        label=gettext_lazy("Application"),
        widget=UnfoldAdminSelectWidget(),
    )
    kind = forms.ChoiceField(
        choices=Import.Kind.choices, label=gettext_lazy("What it is"), widget=UnfoldAdminSelectWidget()
    )
    segment: Any = forms.ModelChoiceField(
        queryset=Segment.objects.none(),
        required=False,
        label=gettext_lazy("Into the list"),
        empty_label=gettext_lazy("A new one, named below"),
        widget=UnfoldAdminSelectWidget(),
        help_text=gettext_lazy("For a fixed list only."),
    )
    name = forms.CharField(
        required=False,
        max_length=100,
        label=gettext_lazy("Name of the new list"),
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("For a fixed list only."),
    )
    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        allow_empty_file=True,
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,text/csv"}),
        help_text=gettext_lazy(
            "The first line names the columns. external_id must be there; locale, time_zone, quiet_hours and consent"
            " are known; every other column becomes an attribute, and tags are separated by “|”. At most 500,000 rows."
        ),
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = staff.applications(request, Power.WRITE)
        application, segment = self.fields["application"], self.fields["segment"]
        assert isinstance(application, forms.ModelChoiceField) and isinstance(segment, forms.ModelChoiceField)
        application.queryset = mine
        lists = Segment.objects.filter(application__in=mine, is_static=True).select_related("application")
        segment.queryset = lists.order_by("name")
        keys = staff.enters(request, Power.WRITE)
        if len(keys) == 1:
            application.required = False
            application.widget = forms.HiddenInput()
            self.only = mine.first()
        else:
            self.only = None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        application = cleaned.get("application") or self.only
        cleaned["application"] = application
        if cleaned.get("kind") != Import.Kind.SEGMENT or application is None:
            return cleaned
        segment, name = cleaned.get("segment"), (cleaned.get("name") or "").strip()
        if segment is None and not name:
            self.add_error("name", _("Name the new list, or choose one that there is."))
        elif segment is not None and segment.application_id != application.pk:
            self.add_error("segment", _("This list belongs to another application."))
        elif segment is None and Segment.objects.filter(application=application, name=name).exists():
            self.add_error("name", _("There is a segment of that name already."))
        return cleaned


@admin.register(Import)
class ImportAdmin(ReadOnlyAdmin):
    """Imports of CSV files."""

    empty = Empty(
        gettext_lazy(
            "An import reads people, or those of a fixed list, from a CSV file with a column external_id."
            " People who are not known yet are made, the others changed."
        ),
        {"devices.import": gettext_lazy("Import a CSV file")},
    )
    list_display = ["file_name", "application", "kind", "state_shown", "progress", "created_at"]
    list_filter = ["application", "kind", "state"]
    list_select_related = ["application"]
    search_fields = ["file_name"]
    actions_detail = ["refused", "stop"]
    change_form_outer_before_template = "admin/devices/import/progress.html"
    fieldsets = [
        (None, {"fields": ["application", "file_name", "kind", "segment", "by", "created_at", "finished_at"]})
    ]

    class Media:
        css = {"all": ["devices/segment-builder.css"]}

    @display(
        description=gettext_lazy("State"),
        ordering="state",
        label={State.DONE: "success", State.FAILED: "danger"},
    )
    def state_shown(self, source: Import) -> tuple[str, str]:
        return source.state, source.get_state_display()

    @display(description=gettext_lazy("Rows"))
    def progress(self, source: Import) -> str:
        through = f"{number(source.done)} / {number(source.rows)}"
        if not source.refused:
            return through
        return _("%(through)s, %(refused)s refused") % {"through": through, "refused": number(source.refused)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return staff.may(request, Power.WRITE)

    def has_refused_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.WRITE, obj)

    def has_stop_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.WRITE, obj)

    def offers(self, action: str, obj: Import) -> bool:
        if "stop" in action:
            return obj.state in (State.WAITING, State.RUNNING)
        return obj.refused > 0

    def get_urls(self) -> list[Any]:
        progress = path(
            "<path:object_id>/progress/",
            self.admin_site.admin_view(self.progress_view),
            name="devices_import_progress",
        )
        return [progress, *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        initial = {"segment": request.GET.get("segment")}
        if initial["segment"]:
            initial["kind"] = Import.Kind.SEGMENT
        form = UploadForm(request, request.POST or None, request.FILES or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                source = self._take(request, form)
            except csv_in.FileError as error:
                form.add_error("file", ValidationError(str(error)))
            else:
                self.log_addition(request, source, f"{source.rows} rows")
                return HttpResponseRedirect(reverse("admin:devices_import_change", args=[source.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Import a CSV file"),
            "opts": self.opts,
            "form": form,
        }
        return TemplateResponse(request, "admin/devices/import/upload.html", context)

    def _take(self, request: HttpRequest, form: UploadForm) -> Import:
        asked = form.cleaned_data
        file = asked["file"]
        made: Segment | None = None
        with transaction.atomic():
            segment = asked["segment"] if asked["kind"] == Import.Kind.SEGMENT else None
            if asked["kind"] == Import.Kind.SEGMENT and segment is None:
                segment = made = Segment.objects.create(
                    application=asked["application"], name=asked["name"].strip(), is_static=True
                )
            source = Import.objects.create(
                application=asked["application"],
                kind=asked["kind"],
                segment=segment,
                file_name=(file.name or "file")[-200:],
                by_id=request.user.pk,
            )
        try:
            importing.take(source, file.file)
        except csv_in.FileError:
            if made is not None:
                made.delete()
            raise
        return source

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return how far an import is, for the page's bar."""
        source: Import = self.get_object(request, object_id)
        return JsonResponse(
            {
                "state": source.state,
                "over": source.state in (State.DONE, State.FAILED),
                "percent": source.percent,
                "sentence": sentence(source),
            }
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        source: Import = self.get_object(request, object_id)
        mine = source.refused and self.has_refused_permission(request, source)
        more = {
            **(extra_context or {}),
            "source": source,
            "sentence": sentence(source),
            "refused": list(islice(importing.refused_rows(source), SHOWN)) if mine else [],
        }
        return super().change_view(request, object_id, form_url, more)

    @action(
        description=gettext_lazy("Rows that were refused"),
        url_path="refused",
        icon="download",
        permissions=["refused"],
    )
    def refused(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        source: Import = self.get_object(request, object_id)
        rows = ([["line", "reason", *source.header]], importing.refused_rows(source))
        lines = (csv_out.line(row) for some in rows for row in some)
        return csv_out.response(lines, name=f"{source.file_name.removesuffix('.csv')}-refused")

    @action(
        description=gettext_lazy("Stop"),
        url_path="stop",
        icon="stop_circle",
        permissions=["stop"],
        variant=ActionVariant.DANGER,
    )
    def stop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        source: Import = self.get_object(request, object_id)

        def do() -> str:
            if not importing.cancel(source):
                raise RefusedError(_("It was over before."))
            return _("The import is stopped; what was imported stays.")

        return confirmed(
            self,
            request,
            source,
            question=_("Stop importing %(file)s?") % {"file": source.file_name},
            facts=[
                _("%(done)s of %(rows)s rows are through; they stay.")
                % {"done": number(source.done), "rows": number(source.rows)}
            ],
            button=_("Stop the import"),
            do=do,
            danger=True,
        )


def sentence(source: Import) -> str:
    """Return how far an import is."""
    numbers = {
        "done": number(source.done),
        "rows": number(source.rows),
        "made": number(source.made),
        "changed": number(source.changed),
        "refused": number(source.refused),
    }
    if source.kind == Import.Kind.SEGMENT:
        text = _(
            "%(done)s of %(rows)s rows: %(made)s put into the list, %(changed)s were in it, %(refused)s refused."
        )
    else:
        text = _("%(done)s of %(rows)s rows: %(made)s made, %(changed)s changed, %(refused)s refused.")
    said = text % numbers
    return f"{said} {source.because}" if source.state == State.FAILED else said
