"""The page of rules: which events send which campaign, to whom."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from campaigns.models import Rule
from devices import staff
from devices.models import Platform, Power
from devices.scoped_admin import Empty, ScopedAdmin
from devices.scoped_form import ChoicesField, ScopedForm

WAITING = ("delay", "once_days")
"""Numbers that may be left empty: 0."""


class RuleForm(ScopedForm):
    """A rule; its expressions are compiled when it is saved (the model's own validators)."""

    platforms = ChoicesField(
        label=_("Platforms"),
        choices=Platform.choices,
        required=False,
        help_text=_("None ticked: all of them."),
    )

    class Meta:
        widgets = {
            "condition": UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
            "recipient_ids": UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in WAITING:
            if name in self.fields:
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        for name in WAITING:
            if name in self.fields and cleaned.get(name) is None:
                cleaned[name] = 0
        lists = cleaned.get("recipients") == Rule.Recipients.IDS
        if lists and not cleaned.get("recipient_ids") and "recipient_ids" not in self.errors:
            self.add_error(
                "recipient_ids", gettext("Say whom: an expression that gives a list, as event.data.watchers.")
            )
        made = Rule(
            recipients=cleaned.get("recipients") or Rule.Recipients.SUBJECT,
            delay=cleaned.get("delay") or 0,
            once_days=cleaned.get("once_days") or 0,
            unless=cleaned.get("unless"),
            event_type=cleaned.get("event_type"),
        )
        if (problem := made.waiting_problem()) and problem[0] not in self.errors:
            self.add_error(*problem)
        return cleaned


@admin.register(Rule)
class RuleAdmin(ScopedAdmin):
    """Rules: events of one type that meet a condition go to a campaign."""

    empty = Empty(
        _(
            "A rule sends a campaign when an event arrives that meets its condition. It takes an event type"
            " and a campaign, then the rule itself."
        ),
        {
            "campaigns.eventtype": _("Add an event type"),
            "campaigns.campaign": _("Write a campaign"),
            "campaigns.rule": _("Add a rule"),
        },
    )
    form = RuleForm
    list_display = ["name", "application", "event_type", "campaign", "recipients", "enabled"]
    list_filter = ["application", "enabled", "event_type", "lane"]
    list_select_related = ["application", "event_type", "campaign"]
    search_fields = ["name"]
    conditional_fields = {"recipient_ids": "typeof recipients == 'undefined' || recipients == 'ids'"}
    fieldsets = [
        (None, {"fields": ["application", "name", "enabled"]}),
        (_("When"), {"fields": ["event_type", "condition", "max_age", "delay", "unless", "once_days"]}),
        (_("Then"), {"fields": ["campaign", "recipients", "recipient_ids", "platforms"]}),
        (_("More"), {"fields": ["lane", "beyond_sender", ("version", "uid")]}),
    ]
    readonly_fields = ["version", "uid"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # a campaign's own rule is written in the composer
        return super().has_change_permission(request, obj) and not (obj is not None and obj.of_campaign)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.of_campaign)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # to let one person's event reach others is for those who answer for what is sent
        where = obj.application_id if obj else None
        locked = [] if staff.may(request, Power.LAUNCH, where) else ["beyond_sender"]
        return (*super().get_readonly_fields(request, obj), *locked)
