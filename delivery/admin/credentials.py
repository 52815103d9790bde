"""The pages of the providers' credentials, which can be written and never read, and of their gates."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from delivery import gates
from delivery.credential_input import FIELDS, SECRETS, CredentialInputErrors, Written, read
from delivery.models import Credential, Gate
from devices.confirmation import RefusedError, confirmed
from devices.models import Power, Provider
from devices.scoped_admin import Empty, ReadOnlyAdmin, ScopedAdmin
from devices.scoped_form import ScopedForm
from devices.words import within


class SecretTextarea(UnfoldAdminTextareaWidget):
    """A text that goes to the hub and never comes back, not even beside an error."""

    def __init__(self, rows: int) -> None:
        super().__init__(attrs={"rows": rows, "autocomplete": "off", "spellcheck": "false"})

    def format_value(self, value: Any) -> str:
        return ""


class CredentialForm(ScopedForm):
    """A provider's credentials; what is stored never comes back into the form."""

    service_account = forms.CharField(
        label=_("Service account"),
        required=False,
        widget=SecretTextarea(8),
        help_text=_(
            "The JSON file from the Firebase console: Project settings, Service accounts, "
            "“Generate new private key”. Shown to nobody once it is saved."
        ),
    )
    private_key = forms.CharField(
        label=_("Private key"),
        required=False,
        widget=SecretTextarea(6),
        help_text=_(
            "APNs: the text of the .p8 file from Apple's developer site (Certificates, Identifiers & Profiles, "
            "Keys), or a certificate's key. Web Push: a VAPID key; left empty the hub makes one. "
            "Shown to nobody once it is saved."
        ),
    )
    key_id = forms.CharField(label=_("Key id"), required=False, widget=UnfoldAdminTextInputWidget())
    team_id = forms.CharField(label=_("Team id"), required=False, widget=UnfoldAdminTextInputWidget())
    certificate = forms.CharField(
        label=_("Certificate"),
        required=False,
        widget=SecretTextarea(6),
        help_text=_(
            "Instead of a signing key: the app's APNs certificate as PEM, perhaps with its key. It sends no "
            "live activities and no location pushes."
        ),
    )
    topic = forms.CharField(
        label=_("APNs topic"),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("The app's bundle id, as com.example.app."),
    )
    subject = forms.CharField(
        label=_("Subject"),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_(
            "Whom the push services write to about what you send: mailto:push@example.com, or an https:// page."
        ),
    )

    per_minute = forms.IntegerField(
        label=_("Messages a minute"),
        required=False,
        min_value=0,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=_(
            "The most that the provider takes, 0 for no limit. Empty: 600,000 for FCM, which is Firebase's "
            "quota for a project; no limit for the others. Less urgent lanes leave a part of it"
            " to the more urgent ones."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        self.fields["per_minute"].initial = self.instance.settings.get("per_minute")
        for name in ("key_id", "team_id"):
            self.fields[name].initial = self.instance.secret.get(name, "")
        for name in ("topic", "subject"):
            self.fields[name].initial = self.instance.settings.get(name, "")
        for name in SECRETS:
            if name in self.instance.secret:
                self.fields[name].widget.attrs["placeholder"] = gettext("Stored. Leave empty to keep it.")

    def _get_validation_exclusions(self) -> set[str]:
        return super()._get_validation_exclusions() | {"secret", "slot"}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        provider = cleaned.get("provider") or self.instance.provider
        if provider not in FIELDS:
            return cleaned
        given = {name: cleaned.get(name, "") for name in FIELDS[provider]}
        try:
            written = read(provider, given, None if self.instance.pk is None else self.instance.secret)
        except CredentialInputErrors as errors:
            for name, said in errors.faults.items():
                self.add_error(name, said)
            return cleaned
        self._store(provider, written)
        return cleaned

    def _store(self, provider: str, written: Written) -> None:
        from delivery import storing  # the senders come with it: not before they are needed

        application = self.cleaned_data.get("application") or self.instance.application
        if self.errors or application is None:
            return
        self.instance.provider, self.instance.application = provider, application
        try:
            storing.put(self.instance, written, per_minute=self.cleaned_data.get("per_minute"))
        except storing.TwoStoredError as error:
            self.add_error(None, str(error))
        # what a certificate says of its own end is not overwritten by an empty field
        self.cleaned_data["expires_at"] = (
            self.instance.expires_at if written.expires_at else self.cleaned_data.get("expires_at")
        )


@admin.register(Credential)
class CredentialAdmin(ScopedAdmin):
    """What an application shows a provider."""

    empty = Empty(
        _(
            "Credentials are what the hub shows FCM, APNs or Web Push to send for you; without them their"
            " messages wait. Add those of the platform that most of your people have."
        ),
        {"delivery.credential": _("Add credentials")},
    )
    form = CredentialForm
    changed_with = Power.MANAGE
    secret_fields = ("secret", "fingerprint", "settings")
    list_display = ["provider", "application", "fingerprint", "use", "expires_at", "stands_in", "gate"]
    list_filter = ["application", "provider"]
    list_select_related = ["application"]
    readonly_fields = ["fingerprint", "public_key", "use", "gate", "stored_at", "checked_at"]
    actions_detail = ["check_now"]
    # the provider is a field only on the page that adds one: afterwards only its own fields are there
    conditional_fields = {
        "service_account": "typeof provider == 'undefined' || provider == 'fcm'",
        "private_key": "typeof provider == 'undefined' || provider != 'fcm'",
        **dict.fromkeys(
            ("key_id", "team_id", "certificate", "topic"),
            "typeof provider == 'undefined' || provider == 'apns'",
        ),
        "subject": "typeof provider == 'undefined' || provider == 'webpush'",
    }

    @display(description=_("Gate"))
    def gate(self, credential: Credential) -> str:
        found = gates.state(credential.application_id, credential.provider)
        return f"{found.get_state_display()}{': ' if found.reason else ''}{found.because}"

    @display(
        description=_("Used"),
        label={"shown": "success", "spare": "info", "refused": "danger", "ended": "warning"},
    )
    def use(self, credential: Credential) -> tuple[str, str]:
        from delivery import credentials  # the senders come with it: not before they are needed

        if credential.refused_at is not None:
            return "refused", gettext("Refused")
        if not credentials.is_good(credential, timezone.now()):
            return "ended", gettext("Ended")
        first = credentials.stored(credential.application_id, credential.provider)[0]
        if first.pk == credential.pk or credential.provider == Provider.WEBPUSH:
            return "shown", gettext("Shown")
        return "spare", gettext("Spare")

    @display(description=_("Public key"))
    def public_key(self, credential: Credential) -> str:
        from delivery import credentials

        return credentials.public_key(credential)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        apns: list[Any] = ["private_key", ("key_id", "team_id"), "certificate", "topic"]
        own: dict[str, list[Any]] = {
            Provider.FCM: ["service_account"],
            Provider.APNS: apns,
            Provider.WEBPUSH: ["private_key", "subject"],
        }
        self_made: list[Any] = ["service_account", *apns, "subject"] if obj is None else own[obj.provider]
        if obj is not None and not self.has_change_permission(request, obj):
            self_made = []
        if self._asks_application(request, obj):
            first: list[Any] = ["application", "provider"]
        else:
            first = ["provider"]
        more = ["per_minute", "expires_at"] if self_made else []
        found = [(None, {"fields": [*first, *self_made, *more, "stands_in"]})]
        shown = ["fingerprint", *(["public_key"] if obj and obj.provider == Provider.WEBPUSH else [])]
        return (
            [*found, (gettext("Stored"), {"fields": [*shown, "use", "gate", "stored_at", "checked_at"]})]
            if obj
            else found
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), *(["provider"] if obj else []))

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"provider": Provider.FCM, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if gates.state(obj.application_id, obj.provider).state != Gate.State.OPEN:
            gates.open_(obj.application_id, obj.provider)
            messages.info(
                request,
                gettext("The gate to %(provider)s is open again.") % {"provider": obj.get_provider_display()},
            )

    def has_check_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    @action(description=_("Check now"), permissions=["check"], icon="fact_check")
    def check_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        from delivery import checking  # the senders come with it: not before they are needed

        credential: Credential = self.get_object(request, object_id)
        provider = credential.get_provider_display()

        def do() -> str:
            found = checking.check(credential)
            if not found.accepted:
                raise RefusedError(found.sentence)
            return f"{provider}: {found.sentence}"

        return confirmed(
            self,
            request,
            credential,
            question=gettext("Ask %(provider)s whether it takes these credentials?") % {"provider": provider},
            facts=[
                gettext("Nothing reaches a device."),
                gettext(
                    "If it takes them, a shut gate is opened. If it refuses them, the application's other"
                    " credentials are "
                    "used; without any the gate is shut and messages wait."
                ),
            ],
            button=gettext("Check now"),
            do=do,
        )


@admin.register(Gate)
class GateAdmin(ReadOnlyAdmin):
    """The providers' doors: open, slowed or shut, and why."""

    empty = Empty(
        _(
            "A gate is the door to one provider: open, slowed or shut, with the reason. It appears here when"
            " the provider first slows or refuses what is sent; to send at all, add its credentials."
        ),
        {"delivery.credential": _("Add credentials")},
    )
    list_display = ["provider", "application", "state_shown", "because", "until", "changed_at"]
    list_filter = ["application", "provider", "state"]
    list_select_related = ["application"]
    fields = ["application", "provider", "state", "because", "until", "streams", "changed_at"]
    readonly_fields = ["because", "streams"]
    actions_detail = ["open_again"]

    @display(
        description=_("State"),
        ordering="state",
        label={Gate.State.OPEN: "success", Gate.State.SLOWED: "warning", Gate.State.SHUT: "danger"},
    )
    def state_shown(self, gate: Gate) -> tuple[str, str]:
        state = Gate.State(gate.state) if gate.holds else Gate.State.OPEN
        return state, str(state.label)

    @display(description=_("reason"), ordering="reason")
    def because(self, gate: Gate) -> str:
        return gate.because or "—"

    @display(description=_("Requests under way at most"))
    def streams(self, gate: Gate) -> int:
        from delivery import allowance

        return allowance.streams_of(gate.application_id, gate.provider)

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.OPERATE, obj)

    def offers(self, action: str, obj: Any) -> bool:
        return bool(obj.holds)

    @action(
        description=_("Open again"), permissions=["operate"], icon="lock_open", variant=ActionVariant.PRIMARY
    )
    def open_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        gate: Gate = self.get_object(request, object_id)
        provider = gate.get_provider_display()

        def do() -> str:
            gates.open_(gate.application_id, gate.provider)
            return gettext("The gate to %(provider)s is open.") % {"provider": provider}

        return confirmed(
            self,
            request,
            gate,
            question=gettext("Open the gate to %(provider)s again?") % {"provider": provider},
            facts=[
                gettext("It is %(state)s: %(reason)s.")
                % {
                    "state": within(gate.get_state_display()),
                    "reason": gate.because or gettext("no reason was given"),
                },
                gettext(
                    "What waits for it is sent at once. If the reason still stands, the gate shuts again."
                ),
            ],
            button=gettext("Open the gate"),
            do=do,
        )
