"""The pages of the providers' credentials, which can be written and never read, and of their gates."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from delivery import gates
from delivery.credential_input import (
    CredentialInputError,
    read_apns_key,
    read_apple_id,
    read_service_account,
    read_topic,
)
from delivery.models import Credential, Gate
from devices.confirmation import RefusedError, confirmed
from devices.models import Provider, Role
from devices.scoped_admin import ReadOnlyAdmin, ScopedAdmin
from devices.scoped_form import ScopedForm

SECRETS = ("service_account", "private_key")


class SecretTextarea(UnfoldAdminTextareaWidget):
    """A text that goes to the hub and never comes back, not even beside an error."""

    def __init__(self, rows: int) -> None:
        super().__init__(attrs={"rows": rows, "autocomplete": "off", "spellcheck": "false"})

    def format_value(self, value: Any) -> str:
        return ""


class CredentialForm(ScopedForm):
    """A provider's credentials; what is stored never comes back into the form."""

    service_account = forms.CharField(
        required=False,
        widget=SecretTextarea(8),
        help_text="The JSON file from the Firebase console: Project settings, Service accounts, "
        "“Generate new private key”. Shown to nobody once it is saved.",
    )
    private_key = forms.CharField(
        label="Signing key",
        required=False,
        widget=SecretTextarea(6),
        help_text="The text of the .p8 file from Apple's developer site (Certificates, Identifiers & Profiles, Keys). "
        "Shown to nobody once it is saved.",
    )
    key_id = forms.CharField(label="Key id", required=False, widget=UnfoldAdminTextInputWidget())
    team_id = forms.CharField(label="Team id", required=False, widget=UnfoldAdminTextInputWidget())
    topic = forms.CharField(
        label="APNs topic",
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="The app's bundle id, as com.example.app.",
    )

    per_minute = forms.IntegerField(
        label="Messages a minute",
        required=False,
        min_value=0,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="The most that the provider takes, 0 for no limit. Empty: 600,000 for FCM, which is Firebase's "
        "quota for a project; no limit for APNs. Less urgent lanes leave a part of it to the more urgent ones.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        self.fields["per_minute"].initial = self.instance.settings.get("per_minute")
        for name in ("key_id", "team_id"):
            self.fields[name].initial = self.instance.secret.get(name, "")
        self.fields["topic"].initial = self.instance.settings.get("topic", "")
        for name in SECRETS:
            self.fields[name].widget.attrs["placeholder"] = "Stored. Leave empty to keep it."

    def _get_validation_exclusions(self) -> set[str]:
        return super()._get_validation_exclusions() | {"secret"}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        provider = cleaned.get("provider") or self.instance.provider
        if provider == Provider.FCM:
            account = self._read("service_account", read_service_account)
            self._store({"service_account": account}, {})
        elif provider == Provider.APNS:
            secret = {
                "private_key": self._read("private_key", read_apns_key),
                "key_id": self._read("key_id", lambda text: read_apple_id(text, "key id")),
                "team_id": self._read("team_id", lambda text: read_apple_id(text, "team id")),
            }
            self._store(secret, {"topic": self._read("topic", read_topic)})
        return cleaned

    def _read(self, name: str, read: Any) -> Any:
        """Return a field as read, what is stored when it was left empty, or None after an error beside it."""
        text = self.cleaned_data.get(name, "")
        if not text and name in SECRETS and self.instance.pk is not None:
            return self.instance.secret.get(name)
        if not text:
            self.add_error(name, "This is needed.")
            return None
        try:
            return read(text)
        except CredentialInputError as error:
            self.add_error(name, str(error))
            return None

    def _store(self, secret: dict[str, Any], settings: dict[str, Any]) -> None:
        from delivery.credentials import fingerprint  # the senders come with it: not before they are needed

        if self.errors:
            return
        self.instance.secret = secret
        kept = {name: value for name, value in self.instance.settings.items() if name != "per_minute"}
        if self.cleaned_data.get("per_minute") is not None:
            settings = {**settings, "per_minute": self.cleaned_data["per_minute"]}
        self.instance.settings = {**kept, **settings}
        self.instance.fingerprint = fingerprint(secret)


@admin.register(Credential)
class CredentialAdmin(ScopedAdmin):
    """What an application shows a provider."""

    form = CredentialForm
    change_role = Role.OWNER
    secret_fields = ("secret", "fingerprint", "settings")
    list_display = ["provider", "application", "fingerprint", "stands_in", "gate", "created_at"]
    list_filter = ["application", "provider"]
    list_select_related = ["application"]
    readonly_fields = ["fingerprint", "gate", "created_at"]
    actions_detail = ["check_now"]
    # the provider is a field only on the page that adds one: afterwards only its own fields are there
    conditional_fields = {
        "service_account": "typeof provider == 'undefined' || provider == 'fcm'",
        **dict.fromkeys(
            ("private_key", "key_id", "team_id", "topic"),
            "typeof provider == 'undefined' || provider == 'apns'",
        ),
    }

    @display(description="Gate")
    def gate(self, credential: Credential) -> str:
        found = gates.state(credential.application_id, credential.provider)
        return f"{found.get_state_display()}{': ' if found.reason else ''}{found.reason}"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        self_made = ["service_account", "private_key", ("key_id", "team_id"), "topic"]
        if obj is not None:
            fcm = obj.provider == Provider.FCM
            self_made = ["service_account"] if fcm else ["private_key", ("key_id", "team_id"), "topic"]
        if obj is not None and not self.has_change_permission(request, obj):
            self_made = []
        if self._asks_application(request, obj):
            first: list[Any] = ["application", "provider"]
        else:
            first = ["provider"]
        quota = ["per_minute"] if self_made else []
        found = [(None, {"fields": [*first, *self_made, *quota, "stands_in"]})]
        return [*found, ("Stored", {"fields": ["fingerprint", "gate", "created_at"]})] if obj else found

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), *(["provider"] if obj else []))

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"provider": Provider.FCM, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if gates.state(obj.application_id, obj.provider).state != Gate.State.OPEN:
            gates.open_(obj.application_id, obj.provider)
            messages.info(request, f"The gate to {obj.get_provider_display()} is open again.")

    def has_check_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.change_role, obj)

    @action(description="Check now", permissions=["check"], icon="fact_check")
    def check_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        from delivery import checking  # the senders come with it: not before they are needed

        credential: Credential = self.get_object(request, object_id)
        provider = credential.get_provider_display()

        def do() -> str:
            found = checking.check(credential.application_id, credential.provider)
            if not found.accepted:
                raise RefusedError(found.sentence)
            return f"{provider}: {found.sentence}"

        return confirmed(
            self,
            request,
            credential,
            question=f"Ask {provider} whether it takes these credentials?",
            facts=[
                "Nothing reaches a device.",
                "If it takes them, a shut gate is opened. If it refuses them, the gate is shut and messages wait.",
            ],
            button="Check now",
            do=do,
        )


@admin.register(Gate)
class GateAdmin(ReadOnlyAdmin):
    """The providers' doors: open, slowed or shut, and why."""

    list_display = ["provider", "application", "state_shown", "reason", "until", "changed_at"]
    list_filter = ["application", "provider", "state"]
    list_select_related = ["application"]
    fields = ["application", "provider", "state", "reason", "until", "streams", "changed_at"]
    readonly_fields = ["streams"]
    actions_detail = ["open_again"]

    @display(
        description="State",
        ordering="state",
        label={"Open": "success", "Slowed": "warning", "Shut": "danger"},
    )
    def state_shown(self, gate: Gate) -> str:
        return gate.get_state_display() if gate.holds else str(Gate.State.OPEN.label)

    @display(description="Requests under way at most")
    def streams(self, gate: Gate) -> int:
        from delivery import allowance

        return allowance.streams_of(gate.application_id, gate.provider)

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Role.APPROVER, obj)

    def offers(self, action: str, obj: Any) -> bool:
        return bool(obj.holds)

    @action(
        description="Open again", permissions=["operate"], icon="lock_open", variant=ActionVariant.PRIMARY
    )
    def open_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        gate: Gate = self.get_object(request, object_id)
        provider = gate.get_provider_display()

        def do() -> str:
            gates.open_(gate.application_id, gate.provider)
            return f"The gate to {provider} is open."

        return confirmed(
            self,
            request,
            gate,
            question=f"Open the gate to {provider} again?",
            facts=[
                f"It is {gate.get_state_display().lower()}: {gate.reason or 'no reason was given'}.",
                "What waits for it is sent at once. If the reason still stands, the gate shuts again.",
            ],
            button="Open the gate",
            do=do,
        )
