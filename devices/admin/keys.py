"""The pages of API keys and of the keys that sign subscriber tokens; what is secret is shown once or never."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from devices import closing, keys
from devices.confirmation import RefusedError, confirmed
from devices.language import moment
from devices.models import ApiKey, Power, SigningKey
from devices.models.application import LANE_CHOICES
from devices.scoped_admin import Empty, ScopedAdmin
from devices.scoped_form import ChoicesField, ScopedForm


def scope_choices() -> list[tuple[str, str]]:
    """Return the scopes with what they allow, in the language of whoever looks."""
    return [(scope, f"{scope}: {gettext(said)}") for scope, said in keys.SCOPES.items()]


class ApiKeyForm(ScopedForm):
    """What a key may do; the key itself is minted by the hub."""

    scopes = ChoicesField(label=_("Scopes"), choices=scope_choices)
    lanes = ChoicesField(
        label=_("Lanes"),
        choices=LANE_CHOICES,
        help_text=_("Lanes this key may use; an event in another is refused."),
    )


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin):
    """What services authenticate with."""

    empty = Empty(
        _(
            "With an API key your service registers people and devices, sends events and reads reports. The"
            " key is shown once, when it is made."
        ),
        {"devices.apikey": _("Add an API key")},
    )
    form = ApiKeyForm
    changed_with = Power.MANAGE
    secret_fields = ("digest",)
    list_display = ["name", "application", "shown", "standing", "used_at", "expires_at"]
    list_filter = ["application"]
    list_select_related = ["application"]
    search_fields = ["name", "prefix"]
    fieldsets = [
        (None, {"fields": ["application", "name"]}),
        (_("What it may do"), {"fields": ["scopes", "lanes", "source_prefixes"]}),
        (_("When"), {"fields": ["expires_at"]}),
        (_("Use"), {"fields": ["shown", "standing", ("created_at", "used_at", "revoked_at")]}),
    ]
    readonly_fields = ["shown", "standing", "created_at", "used_at", "revoked_at"]
    actions_detail = ["revoke"]

    @display(description=_("Key"))
    def shown(self, key: ApiKey) -> str:
        return f"nh_{key.prefix}_…" if key.prefix else gettext("Shown once, when it is saved.")

    @display(description=_("State"), label={"works": "success", "revoked": "danger", "expired": "warning"})
    def standing(self, key: ApiKey) -> tuple[str, str]:
        if key.revoked_at:
            return "revoked", gettext("Revoked")
        if key.expires_at and key.expires_at <= timezone.now():
            return "expired", gettext("Expired")
        return "works", gettext("Works")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else fieldsets[:-1]

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"lanes": ["normal", "bulk"], **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        minted, plain = keys.mint(
            obj.application,
            name=obj.name,
            scopes=obj.scopes,
            lanes=obj.lanes,
            source_prefixes=obj.source_prefixes,
            expires_at=obj.expires_at,
        )
        vars(obj).update(vars(minted))
        messages.warning(
            request,
            format_html(gettext("Copy this key now, it is shown only this once: <code>{}</code>"), plain),
        )

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    def offers(self, action: str, obj: Any) -> bool:
        return obj.revoked_at is None

    @action(description=_("Revoke"), permissions=["revoke"], icon="key_off", variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key: ApiKey = self.get_object(request, object_id)

        def do() -> str:
            if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
                raise RefusedError(gettext("This key was revoked before."))
            return gettext("The key “%(key)s” is revoked.") % {"key": key.name}

        used = moment(key.used_at) if key.used_at else gettext("never")
        return confirmed(
            self,
            request,
            key,
            question=gettext("Revoke the key “%(key)s” for good?") % {"key": key.name},
            facts=[
                gettext("Last used: %(used)s.") % {"used": used},
                gettext("Services that use it are refused within a second."),
                gettext("It cannot be undone."),
            ],
            button=gettext("Revoke the key"),
            do=do,
            danger=True,
        )


class SigningKeyForm(ScopedForm):
    """A signing key: the public half is pasted (EdDSA), a shared secret (HS256) is made by the hub."""

    public_key = forms.CharField(
        label=_("Public key"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_(
            "EdDSA only: an Ed25519 public key, as PEM or as a JWK (RFC 7517). Leave empty for HS256."
        ),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        text = (cleaned.get("public_key") or "").strip()
        if cleaned.get("algorithm") == SigningKey.Algorithm.HS256:
            if text:
                self.add_error(
                    "public_key",
                    gettext("Leave this empty: the hub makes the shared secret and shows it once."),
                )
            self.instance.jwk = OctKey.generate_key(256).as_dict(private=True)
        elif not text:
            self.add_error(
                "public_key", gettext("Paste the public key that your service's private key belongs to.")
            )
        else:
            try:
                self.instance.jwk = read_public_key(text)
            except ValidationError as error:
                self.add_error("public_key", error)
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        return super()._get_validation_exclusions() | {"jwk"}


def read_public_key(text: str) -> dict[str, Any]:
    """Return an Ed25519 public key as a JWK, from PEM or JWK; raises `ValidationError` for anything else."""
    if "PRIVATE KEY" in text:
        raise ValidationError(
            gettext("This is the private key: keep it to yourself and paste the public one.")
        )
    try:
        key = OKPKey.import_key(json.loads(text) if text.startswith("{") else text)
    except (JoseError, ValueError, KeyError, TypeError):
        raise ValidationError(
            gettext(
                'This is no public key; paste PEM (“-----BEGIN PUBLIC KEY-----…”) or a JWK as {"kty": "OKP", …}.'
            )
        ) from None
    if key.is_private:
        raise ValidationError(
            gettext("This is the private key: keep it to yourself and paste the public one.")
        )
    jwk: dict[str, Any] = dict(key.as_dict(private=False))
    if jwk.get("crv") != "Ed25519":
        raise ValidationError(
            gettext("EdDSA here means Ed25519; this key is %(curve)s.") % {"curve": jwk.get("crv")}
        )
    return jwk


@admin.register(SigningKey)
class SigningKeyAdmin(ScopedAdmin):
    """Keys that sign subscriber tokens."""

    empty = Empty(
        _(
            "With a signing key your service makes the tokens by which an app or a browser shows whose it is."
            " Paste your public key, or let the hub make a shared secret."
        ),
        {"devices.signingkey": _("Add a signing key")},
    )
    form = SigningKeyForm
    changed_with = Power.MANAGE
    secret_fields = ("jwk",)
    list_display = ["kid", "application", "algorithm", "created_at", "retired_at"]
    list_filter = ["application", "algorithm"]
    list_select_related = ["application"]
    search_fields = ["kid"]
    readonly_fields = ["created_at", "retired_at"]
    actions_detail = ["retire"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ["application", "kid", "algorithm", "public_key"]
        return ["application", "kid", "algorithm", "created_at", "retired_at"]

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"kid": f"key-{get_random_string(8).lower()}", **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    def save_model(self, request: HttpRequest, obj: SigningKey, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.algorithm == SigningKey.Algorithm.HS256:
            shown = format_html(
                gettext("Copy this secret now, it is shown only this once: <code>{}</code>"), obj.jwk["k"]
            )
            messages.warning(request, shown)

    def delete_model(self, request: HttpRequest, obj: SigningKey) -> None:
        closing.close_keys([obj.pk])
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        closing.close_keys(list(queryset.values_list("pk", flat=True)))
        super().delete_queryset(request, queryset)

    def has_retire_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    def offers(self, action: str, obj: Any) -> bool:
        return obj.retired_at is None

    @action(description=_("Retire"), permissions=["retire"], icon="key_off", variant=ActionVariant.DANGER)
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key: SigningKey = self.get_object(request, object_id)

        def do() -> str:
            with transaction.atomic():
                if not SigningKey.objects.filter(pk=key.pk, retired_at=None).update(
                    retired_at=timezone.now()
                ):
                    raise RefusedError(gettext("This key was retired before."))
                closing.close_keys([key.pk])
            return gettext("The signing key %(kid)s is retired.") % {"kid": key.kid}

        return confirmed(
            self,
            request,
            key,
            question=gettext("Retire the signing key %(kid)s?") % {"kid": key.kid},
            facts=[
                gettext(
                    "Subscriber tokens signed with it are refused from now on, and open connections that showed"
                    " one end."
                ),
                gettext("It cannot be undone."),
            ],
            button=gettext("Retire the key"),
            do=do,
            danger=True,
        )
