"""The pages of alerts: whom the staff has told of what, and the incidents there were."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from delivery import alerts, posting
from delivery.models import AlertNote, AlertRule, Incident
from delivery.models.alert import KINDS, new_secret
from devices.confirmation import confirmed
from devices.language import moment
from devices.models import Power
from devices.scoped_admin import Empty, ReadOnlyAdmin, ScopedAdmin
from devices.scoped_form import ChoicesField, ScopedForm

MOST_ADDRESSES = 20


class AlertRuleForm(ScopedForm):
    """An alert rule; what its way does not need may stay empty."""

    kinds = ChoicesField(label=_("Tells of"), choices=list(KINDS.items()), initial=list(KINDS))

    class Meta:
        model = AlertRule
        fields: list[str] = []
        widgets = {
            "emails": UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
            "url": UnfoldAdminTextInputWidget(attrs={"placeholder": "https://"}),
        }

    def clean_emails(self) -> str:
        found = self.cleaned_data["emails"].replace(",", " ").replace(";", " ").split()
        if len(found) > MOST_ADDRESSES:
            raise ValidationError(
                gettext("%(count)s addresses; at most %(most)s.")
                % {"count": len(found), "most": MOST_ADDRESSES}
            )
        for address in found:
            try:
                validate_email(address)
            except ValidationError:
                raise ValidationError(
                    gettext("“%(address)s” is no e-mail address.") % {"address": address[:100]}
                ) from None
        return "\n".join(dict.fromkeys(found))

    def clean(self) -> dict[str, Any]:
        from django.conf import settings

        cleaned: dict[str, Any] = super().clean()
        way = cleaned.get("way")
        if way == AlertRule.Way.EMAIL and not cleaned.get("emails") and "emails" not in self.errors:
            self.add_error("emails", gettext("Write at least one e-mail address."))
        if way == AlertRule.Way.WEBHOOK:
            try:
                posting.check(cleaned.get("url") or "", private=settings.WEBHOOK_PRIVATE_HOSTS)
            except posting.PostError as error:
                self.add_error("url", str(error))
        return cleaned


@admin.register(AlertRule)
class AlertRuleAdmin(ScopedAdmin):
    """Alert rules: made by operators and administrators, tried out by a button."""

    empty = Empty(
        _(
            "An alert rule tells your staff, by e-mail or webhook, when something needs them: a gate is shut,"
            " a run is paused, an approval waits."
        ),
        {"delivery.alertrule": _("Add an alert rule")},
    )
    form = AlertRuleForm
    changed_with = Power.OPERATE
    secret_fields = ("secret",)
    list_display = ["name", "application", "way", "tells_of", "enabled"]
    list_filter = ["application", "way", "enabled"]
    list_select_related = ["application"]
    search_fields = ["name"]
    readonly_fields = ["latest"]
    actions_detail = ["test", "new_secret"]
    conditional_fields: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("emails", "language"), "typeof way == 'undefined' || way == 'email'"),
        "url": "typeof way == 'undefined' || way == 'webhook'",
    }
    fieldsets: ClassVar[list[Any]] = [
        (None, {"fields": ["application", "name", "enabled", "kinds"]}),
        (_("Where to"), {"fields": ["way", "emails", "language", "url"]}),
        (_("Latest notes"), {"fields": ["latest"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        found = super().get_fieldsets(request, obj)
        return found if obj is not None else found[:-1]

    @display(description=_("tells of"))
    def tells_of(self, rule: AlertRule) -> str:
        return ", ".join(str(KINDS[kind]) for kind in rule.kinds if kind in KINDS)

    @display(description=_("notes"))
    def latest(self, rule: AlertRule) -> str | SafeString:
        return _notes(rule.notes.select_related("incident").order_by("-pk")[:10])

    def save_model(self, request: HttpRequest, obj: AlertRule, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.way == AlertRule.Way.WEBHOOK and (not change or "way" in form.changed_data):
            _show_secret(request, obj)

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.OPERATE, obj)

    def offers(self, action: str, obj: Any) -> bool:
        return action != "new_secret" or obj.way == AlertRule.Way.WEBHOOK

    @action(description=_("Send a test alert"), permissions=["operate"], icon="send")
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rule: AlertRule = self.get_object(request, object_id)

        def do() -> str:
            alerts.test(rule)
            return gettext("A test alert is on its way; what became of it stands under “Latest notes”.")

        receivers = rule.url if rule.way == AlertRule.Way.WEBHOOK else ", ".join(rule.emails.split())
        return confirmed(
            self,
            request,
            rule,
            question=gettext("Send a test alert to “%(rule)s”?") % {"rule": rule},
            facts=[receivers],
            button=gettext("Send it"),
            do=do,
        )

    @action(
        description=_("New signing secret"),
        permissions=["operate"],
        icon="key",
        variant=ActionVariant.DANGER,
    )
    def new_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rule: AlertRule = self.get_object(request, object_id)

        def do() -> str:
            rule.secret = new_secret()
            rule.save(update_fields=["secret"])
            _show_secret(request, rule)
            return gettext("The webhook is signed with a new secret from now on.")

        return confirmed(
            self,
            request,
            rule,
            question=gettext("Sign the webhook of “%(rule)s” with a new secret?") % {"rule": rule},
            facts=[gettext("The old one is used no more: the receiver must know the new one.")],
            button=gettext("Make a new secret"),
            do=do,
            danger=True,
        )


def _show_secret(request: HttpRequest, rule: AlertRule) -> None:
    messages.warning(
        request,
        gettext("The webhook's signing secret, shown this once: %(secret)s") % {"secret": rule.secret},
    )


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    """Incidents, newest first, with the notes that told of them."""

    empty = Empty(
        _(
            "Incidents are what alert rules told of: when it began, when it was over, and who heard of it."
            " Add an alert rule; what goes wrong from then on stands here."
        ),
        {"delivery.alertrule": _("Add an alert rule")},
    )
    list_display = ["said", "application", "kind", "opened_at", "resolved_at"]
    list_filter = ["application", "kind"]
    list_select_related = ["application"]
    fields = ["application", "said", "kind", "opened_at", "resolved_at", "told"]
    readonly_fields = ["said", "told"]

    @display(description=_("what"), ordering="sentence")
    def said(self, incident: Incident) -> str:
        return incident.said

    @display(description=_("told"))
    def told(self, incident: Incident) -> str | SafeString:
        return _notes(incident.notes.select_related("rule", "incident").order_by("pk")[:50])


def _notes(notes: "QuerySet[AlertNote]") -> str | SafeString:
    """Return notes as lines: when, what, what became of it."""
    lines = [
        (
            moment(note.created_at),
            note.get_says_display(),
            note.incident.said if note.incident else "",
            note.get_state_display(),
            note.because,
        )
        for note in notes
    ]
    return format_html_join("", "<p>{}: {} {} — <strong>{}</strong> {}</p>", lines) or gettext("None yet.")
