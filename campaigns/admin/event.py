"""The pages of event types, and of the events that came with what was decided about each."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import OuterRef
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from unfold.decorators import display

from campaigns import reasons
from campaigns.deciding import said
from campaigns.models import Decision, Event, EventType
from delivery.models import Run
from devices import staff
from devices.scoped_admin import Empty, ReadOnlyAdmin, ScopedAdmin, instant
from devices.scoped_form import ChoicesField, ScopedForm
from devices.scoped_inlines import ScopedTabularInline

SENDERS = [
    ("keys", _("Keys: services with an API key")),
    ("clients", _("Clients: apps and browsers with a subscriber token")),
    ("clock", _("Clock: schedules")),
]


class EventTypeForm(ScopedForm):
    """An event type; its schema is checked as a schema."""

    senders = ChoicesField(choices=SENDERS, initial=["keys"], label=_("Who may send it"))

    def clean_schema(self) -> Any:
        schema = self.cleaned_data["schema"]
        if schema is None:
            return None
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            where = "/".join(str(part) for part in error.absolute_path) or gettext("its top level")
            raise ValidationError(
                gettext("This is no JSON Schema: at %(where)s, %(message)s.")
                % {"where": where, "message": error.message}
            ) from None
        return schema


@admin.register(EventType)
class EventTypeAdmin(ScopedAdmin):
    """What may happen: names, lanes, who may send them."""

    empty = Empty(
        _(
            "An event type names something that happens in your product, such as an order, and says who may"
            " send it. Add one before your service sends events."
        ),
        {"campaigns.eventtype": _("Add an event type")},
    )
    form = EventTypeForm

    def get_urls(self) -> list[Any]:
        names = path("names/", self.admin_site.admin_view(self.names_view), name="campaigns_eventtype_names")
        return [names, *super().get_urls()]

    def names_view(self, request: HttpRequest) -> HttpResponse:
        """Return the names of an application's event types, for the builder of segments."""
        wanted = request.GET.get("application", "")
        mine = [key for key in staff.enters(request) if str(key) == wanted]
        names = EventType.objects.filter(application__in=mine).order_by("name").values_list("name", flat=True)
        return JsonResponse({"events": list(names[:1_000])})

    list_display = ["name", "application", "lane", "description"]
    list_filter = ["application", "lane"]
    list_select_related = ["application"]
    search_fields = ["name", "description"]
    fieldsets = [
        (None, {"fields": ["application", "name", "description", "lane", "senders"]}),
        (_("More"), {"fields": ["schema"]}),
    ]


class DecisionInline(ScopedTabularInline):
    """What each rule made of an event."""

    model = Decision
    read_only = True
    fields = ["rule", "forwarded", "because", "recipients", "run_link"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        runs = Run.objects.filter(application=OuterRef("event__application"), uid=OuterRef("run"))
        found = super().get_queryset(request).select_related("event", "rule")
        return found.annotate(run_key=runs.values("pk")[:1], run_title=runs.values("title")[:1])

    @display(description=_("Why"))
    def because(self, decision: Decision) -> str:
        detail = said(decision.detail)
        return f"{reasons.sentence(decision.reason)}{f' ({detail})' if detail else ''}"

    @display(description=_("Run"))
    def run_link(self, decision: Any) -> str:
        if decision.run_key is None:
            return "—"
        address = reverse("admin:delivery_run_change", args=[decision.run_key])
        return format_html(
            '<a class="text-link" href="{}">{}</a>', address, str(Run(title=decision.run_title))
        )


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """What happened, as it was accepted."""

    empty = Empty(
        _(
            "Events are what services and apps tell the hub; each is listed with what every rule made of it."
            " Add an event type first, then let your service send one."
        ),
        {"campaigns.eventtype": _("Add an event type")},
    )
    list_display = ["type", "application", "subject", "source", "lane", "decided", "received"]
    list_filter = ["application", "lane", "decided"]
    list_select_related = ["application"]
    search_fields = ["=event_id", "=subject"]
    search_help_text = _("The event's id, or its subject")
    ordering = ["-id"]
    secret_fields = ("digest", "claim")
    inlines = [DecisionInline]
    fieldsets = [
        (None, {"fields": ["application", "type", "subject", ("source", "event_id"), ("time", "received")]}),
        (_("Data"), {"fields": ["data"]}),
        (_("State"), {"fields": [("lane", "sender"), ("decided", "attempts"), "uid"]}),
    ]
    readonly_fields = ["received"]

    @display(description=_("Received"), ordering="received_at")
    def received(self, event: Event) -> str:
        return instant(event.received_at)
