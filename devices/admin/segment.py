"""The pages of segments: who is in one, built of conditions, and how many that is now."""

import difflib
import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import PROTECT, ProtectedError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.urls import path, reverse
from django.utils.html import format_html, json_script
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action, display

from devices import counting, csv_out, facts, staff
from devices.admin.builder import PredicateWidget, bind, words
from devices.isolation import users_of
from devices.known_attributes import MOST, known_attributes
from devices.models import Application, FactKind, Platform, Segment
from devices.models.segment import want_facts
from devices.predicates import BEHAVIOUR
from devices.scoped_admin import Empty, ScopedAdmin
from devices.scoped_form import ScopedForm
from devices.segments import PredicateError, conditions, parse
from devices.words import number

MOST_SEGMENTS = 500
MOST_BYTES = 65_536
MOST_USERS = 20


class SegmentForm(ScopedForm):
    """A segment with the builder; a text that is no JSON is said to be none by the field itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        application = None
        if getattr(self.instance, "application_id", None) is not None:
            application = self.instance.application
        bind(self, application, "" if self.instance._state.adding else str(self.instance.uid))


@admin.register(Segment)
class SegmentAdmin(ScopedAdmin):
    """Saved predicates over subscribers and devices, and lists."""

    empty = Empty(
        gettext_lazy(
            "A segment says who a campaign is for. Build one of conditions, or import a CSV file as a fixed"
            " list."
        ),
        {
            "devices.segment": gettext_lazy("Add a segment"),
            "devices.import": gettext_lazy("Import a CSV file"),
        },
    )
    form = SegmentForm
    list_display = ["name", "application", "kind", "created_at"]
    list_filter = ["application", "is_static"]
    list_select_related = ["application"]
    search_fields = ["name"]
    readonly_fields = ["people", "created_at", "used"]
    fieldsets = [
        (None, {"fields": ["application", "name", "predicate", "people"]}),
        (gettext_lazy("More"), {"fields": ["used", "created_at"]}),
    ]
    actions_detail = ["export"]
    change_form_outer_before_template = "admin/devices/segment/before.html"

    class Media:
        css = {"all": ["devices/segment-builder.css"]}
        js = PredicateWidget.Media.js

    # -- fields

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "predicate":
            kwargs.update(widget=PredicateWidget(), help_text="")
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        left_out = set()
        if obj is None:
            left_out = {"people", "used"}
        elif obj.is_static:
            left_out = {"predicate"}
        elif self.has_change_permission(request, obj):
            left_out = {"people"}  # the builder says so itself
        return [
            (name, {**options, "fields": [field for field in options["fields"] if field not in left_out]})
            for name, options in super().get_fieldsets(request, obj)
        ]

    @display(description=gettext_lazy("Kind"))
    def kind(self, segment: Segment) -> str:
        return _("List") if segment.is_static else _("Conditions")

    @display(description=gettext_lazy("People in it now"))
    def people(self, segment: Segment) -> str:
        """Leave the place where the page's script puts the count: the page itself does not wait for it."""
        said = json_script({"predicate": segment.predicate, "text": words()})
        return format_html(
            '<div class="nh-builder" data-segment-count data-application="{}" data-count="{}">{}</div>',
            segment.application_id,
            reverse("admin:devices_segment_count"),
            said,
        )

    @display(description=gettext_lazy("Used by"))
    def used(self, segment: Segment) -> str:
        names = [f"“{use.segment.name}”" for use in segment.used_by.select_related("segment")[:20]]
        return ", ".join(names) or _("no other segment")

    # -- deleting

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name what goes and what is in the way, without the people of a list: there may be a million."""
        keys = [one.pk for one in objs]
        protected = []
        for relation in Segment._meta.related_objects:
            if relation.on_delete is PROTECT:
                users = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": keys})
                kind = relation.related_model._meta.verbose_name
                protected += [f"{kind}: {user}" for user in users[:MOST_USERS]]
        return [str(one) for one in objs], {str(self.opts.verbose_name_plural): len(keys)}, set(), protected

    def delete_model(self, request: HttpRequest, obj: Segment) -> None:
        self._delete(request, Segment.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        self._delete(request, queryset)

    def _delete(self, request: HttpRequest, queryset: Any) -> None:
        applications = set(queryset.values_list("application_id", flat=True))
        try:
            super().delete_queryset(request, queryset)
        except ProtectedError as error:
            # somebody began to use it since the page that asks was shown
            messages.error(
                request, _("Nothing was deleted: it is used by %(users)s.") % {"users": users_of(error)}
            )
        for application in applications:
            want_facts(application)

    # -- what the builder asks

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("count/", view(self.count_view), name="devices_segment_count"),
            path("suggest/", view(self.suggest_view), name="devices_segment_suggest"),
            *super().get_urls(),
        ]

    def count_view(self, request: HttpRequest) -> HttpResponse:
        """Count what a POST of `{application, predicate}` chooses; a wrong predicate is told with its places."""
        if request.method != "POST":
            return JsonResponse({"problem": "POST"}, status=405)
        try:
            asked = json.loads(request.body[: MOST_BYTES + 1]) if len(request.body) <= MOST_BYTES else None
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or "predicate" not in asked:
            return JsonResponse({"problem": _("This is too large, or cannot be read.")}, status=400)
        application = _application(request, asked.get("application"))
        predicate = asked["predicate"]
        try:
            parse(predicate)
            found = counting.count(application, predicate)
        except PredicateError as error:
            reason = error.reason[:1].upper() + error.reason[1:]
            return JsonResponse({"errors": [{"pointer": error.pointer, "reason": reason}]})
        except counting.TooSlowError:
            return JsonResponse(
                {"problem": _("The database is too busy to count it now; it can be saved all the same.")}
            )
        return JsonResponse(
            {
                "sentence": _sentence(found),
                "people": found.people,
                "everybody": found.everybody,
                "exact": found.exact,
                "margin": found.margin,
                "devices": {
                    str(Platform(name).label): number for name, number in sorted(found.devices.items())
                },
                "notes": _notes(application, predicate, found),
            }
        )

    def suggest_view(self, request: HttpRequest) -> HttpResponse:
        """Return the attributes, tags and segments that an application has."""
        application = _application(request, request.GET.get("application"))
        mine = Segment.objects.filter(application=application).order_by("name")[:MOST_SEGMENTS]
        return JsonResponse(
            {
                **counting.suggested(application),
                "segments": [{"uid": str(one.uid), "name": one.name} for one in mine.only("uid", "name")],
            }
        )

    # -- the people of a segment as a file

    @action(
        description=gettext_lazy("Export as CSV"),
        url_path="export",
        icon="download",
        permissions=["change"],
    )
    def export(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        segment: Segment = self.get_object(request, object_id)
        try:
            self._note(request, "export", segment)
            return csv_out.subscribers(segment.application, segment.whole, name=segment.name)
        except PredicateError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:devices_segment_change", args=[segment.pk]))


def _application(request: HttpRequest, key: Any) -> Application:
    """Return one of the member's applications by its primary key; else 404."""
    mine = staff.enters(request)
    text = str(key)
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) in mine):
        raise Http404(_("There is no such application."))
    return Application.objects.get(pk=int(text))


def _sentence(found: counting.Count) -> str:
    values = {"people": number(found.people), "all": number(found.everybody), "margin": number(found.margin)}
    if found.exact:
        return ngettext("%(people)s person of %(all)s", "%(people)s people of %(all)s", found.people) % values
    return _("About %(people)s people of %(all)s, give or take %(margin)s") % values


def _notes(application: Application, predicate: Any, found: counting.Count) -> list[str]:
    notes = []
    if away := found.people - found.willing:
        notes.append(_("%(number)s of them want no notifications.") % {"number": number(away)})
    if not found.everybody:
        notes.append(_("The application has no subscribers yet: import a CSV file, or add them by the API."))
    chosen = list(conditions(parse(predicate)))
    notes += _unknown(application, {one.name for one in chosen if one.field == "attribute"})
    asked = {one.kind for one in chosen if one.field in BEHAVIOUR}
    if asked:
        since = dict(
            FactKind.objects.filter(application=application, wanted=True, name__in=asked).values_list(
                "name", "since"
            )
        )
        for kind in sorted(asked):
            what = facts.said_of(kind)
            if kind in since:
                notes.append(
                    _("“%(what)s” is counted since %(day)s.")
                    % {"what": what, "day": f"{since[kind]:%Y-%m-%d}"}
                )
            else:
                notes.append(_("“%(what)s” is counted from when this segment is saved.") % {"what": what})
    return notes


def _unknown(application: Application, names: set[str]) -> list[str]:
    """Return a sentence for each attribute that no subscriber looked at has; none where none, or not all, are known."""
    known = {one.name for one in known_attributes(application.pk)}
    if len(known) == MOST:
        return []
    known |= {name.partition(".")[0] for name in known}
    notes = []
    for name in sorted(names - known) if known else []:
        near = difflib.get_close_matches(name, sorted(known), n=1)
        notes.append(
            _("`%(name)s`: did you mean `%(meant)s`?") % {"name": name, "meant": near[0]}
            if near
            else _("`%(name)s`: no subscriber looked at has this attribute.") % {"name": name}
        )
    return notes
