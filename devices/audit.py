"""Writes the audit log: every page of the admin, view of the API and command that changes something says so here."""

import getpass
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest

from devices import addresses
from devices.models import Application, AuditEntry
from devices.scoped_form import application_id_of
from devices.secrets import EncryptedJSONField

CREATED, CHANGED, DELETED = "create", "change", "delete"
MOST_TEXT = 4_000
"""Characters of a value that are kept."""
SECRET = {"password", "digest", "token", "jwk", "recovery"}
LEFT_OUT = {
    "id",
    "uid",
    "application",
    "created_at",
    "updated_at",
    "used_at",
    "revision",
    "edited_by",
    "authors",
}
HIDDEN = "•••"

State = dict[str, str]
"""An object's fields as people read them."""


class By(NamedTuple):
    """Who does something, and from where."""

    actor: str
    origin: AuditEntry.Origin
    address: str = ""


def staff(request: HttpRequest) -> By:
    """Return the signed-in person."""
    return By(f"user:{request.user.get_username()}", AuditEntry.Origin.ADMIN, addresses.of_request(request))


def service(request: Any) -> By:
    """Return the service whose key a request of the API shows."""
    return By(
        f"key:{request.auth.prefix} {request.auth.name}", AuditEntry.Origin.API, addresses.of_request(request)
    )


def command() -> By:
    """Return whoever is at the command line."""
    try:
        return By(getpass.getuser(), AuditEntry.Origin.COMMAND)
    except (KeyError, OSError):  # a user id without a name, as in a container
        return By("somebody", AuditEntry.Origin.COMMAND)


def clock() -> By:
    """Return the clock, which does what somebody has planned."""
    return By("clock", AuditEntry.Origin.CLOCK)


def state_of(obj: Model) -> State:
    """Return what an object's fields hold; of secrets a mark that changes with them and says nothing."""
    found: State = {}
    for field in obj._meta.concrete_fields:
        if field.name in LEFT_OUT:
            continue
        value = getattr(obj, field.attname)
        if isinstance(field, EncryptedJSONField) or field.name in SECRET:
            found[field.name] = f"{HIDDEN}{hash(repr(value))}" if value else ""
        elif isinstance(field, ForeignKey):
            found[field.name] = "" if value is None else str(getattr(obj, field.name, value))
        else:
            found[field.name] = _text(value)
    return found


def stored(obj: Model) -> State:
    """Return what the database holds of an object, before it is written."""
    before = type(obj)._base_manager.filter(pk=obj.pk).first()
    return state_of(before) if before is not None else {}


def difference(before: State, after: State) -> dict[str, list[str]]:
    """Return, of the fields that are not the same, what they were and what they are."""
    return {
        name: [_shown(before.get(name, "")), _shown(after.get(name, ""))]
        for name in {**before, **after}
        if before.get(name, "") != after.get(name, "")
    }


def note(by: By, action: str, obj: Model, **how: Any) -> None:
    """Write that something was done to an object; `how` is as `entry` takes it."""
    write(entry(by, action, obj, **how))


def entry(
    by: By,
    action: str,
    obj: Model,
    *,
    says: str = "",
    changes: Mapping[str, list[str]] | None = None,
    path: str = "application",
) -> AuditEntry:
    """Return an entry that is not written yet; `path` leads from the object to its application as in a lookup."""
    return AuditEntry(
        application_id=application_id_of(obj, "pk" if isinstance(obj, Application) else path),
        actor=by.actor[:160],
        origin=by.origin,
        address=by.address,
        action=action[:64],
        model=obj._meta.label_lower,
        object_key=str(obj.pk),
        object_name=str(obj)[:200],
        says=says[:MOST_TEXT],
        changes=dict(changes or {}),
    )


def made(by: By, obj: Model, **how: Any) -> None:
    """Write that an object was made, with what it holds."""
    note(by, CREATED, obj, changes=difference({}, state_of(obj)), **how)


def gone(by: By, obj: Model, **how: Any) -> AuditEntry:
    """Return the entry of an object that is deleted, with what it holds still, to be written once it is gone."""
    return entry(by, DELETED, obj, changes=difference(state_of(obj), {}), **how)


def write(*entries: AuditEntry) -> None:
    """Write entries."""
    AuditEntry.objects.bulk_create(entries)


def of(obj: Model) -> QuerySet[AuditEntry]:
    """Return what was done to an object, newest first."""
    return AuditEntry.objects.filter(model=obj._meta.label_lower, object_key=str(obj.pk)).order_by("-pk")


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, dict | list | tuple):
        return msgspec.json.encode(value, enc_hook=str, order="deterministic").decode() if value else ""
    return str(value)


def _shown(text: str) -> str:
    return HIDDEN if text.startswith(HIDDEN) else text[:MOST_TEXT]
