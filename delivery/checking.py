"""Asks a provider now whether it takes an application's credentials; nothing reaches a device."""

import msgspec
from django.utils import timezone
from django.utils.translation import gettext as _

from delivery import credentials, gates, remarks
from delivery.credentials import MissingCredentialError, sender_for
from delivery.models import Credential, Gate
from delivery.senders.contract import CredentialError, UnreachableError


class Checked(msgspec.Struct, frozen=True):
    """What a check came to: a code for machines and a sentence for people."""

    accepted: bool
    code: str
    sentence: str


def check(stored: Credential) -> Checked:
    """Ask a provider about one stored credential, and set the gate as the answer says.

    Accepted opens a shut gate. Refused shuts it, unless the application has another good one, which is shown then. When
    the provider cannot be asked all stays as it is. Takes as long as the provider, up to some ten seconds.
    """
    try:
        shown = credentials.as_shown(stored, others=[])
        sender_for(stored.provider).check(shown)
    except MissingCredentialError as error:
        return Checked(
            False, "missing", _("It cannot be checked: %(error)s.") % {"error": remarks.said(str(error))}
        )
    except UnreachableError as error:
        return Checked(False, error.code, str(error))
    except CredentialError as error:
        _note(stored, refused=True)
        if credentials.mark_refused(stored, error.code):
            return Checked(
                False,
                error.code,
                _("%(error)s The application's other credentials are used.") % {"error": error},
            )
        gates.shut(
            stored.application_id,
            stored.provider,
            remarks.CREDENTIALS_REFUSED % {"code": error.code},
        )
        return Checked(False, error.code, str(error))
    _note(stored, refused=False)
    if gates.state(stored.application_id, stored.provider).state == Gate.State.SHUT:
        gates.open_(stored.application_id, stored.provider)
        return Checked(True, "accepted", _("The provider takes the credentials; the gate is open again."))
    return Checked(True, "accepted", _("The provider takes the credentials."))


def _note(stored: Credential, *, refused: bool) -> None:
    changed: dict[str, object] = {"checked_at": timezone.now()}
    if not refused:
        changed |= {"refused_at": None, "refused_reason": ""}
    Credential.objects.filter(pk=stored.pk).update(**changed)
