"""Asks a provider now whether it takes an application's credentials; nothing reaches a device."""

import msgspec

from delivery import gates
from delivery.credentials import MissingCredentialError, credential_for, sender_for
from delivery.models import Gate
from delivery.senders.contract import CredentialError, UnreachableError


class Checked(msgspec.Struct, frozen=True):
    """What a check came to: a code for machines and a sentence for people."""

    accepted: bool
    code: str
    sentence: str


def check(application_id: int, provider: str) -> Checked:
    """Ask a provider about an application's credentials, and set the gate as the answer says.

    Accepted opens a shut gate, refused shuts it; when the provider cannot be asked it stays as it is.
    Takes as long as the provider, up to some ten seconds.
    """
    try:
        credential = credential_for(application_id, provider, fresh=True)
        sender_for(provider).check(credential)
    except MissingCredentialError as error:
        return Checked(False, "missing", f"It cannot be checked: {error}.")
    except UnreachableError as error:
        return Checked(False, error.code, str(error))
    except CredentialError as error:
        gates.shut(application_id, provider, f"the provider refuses the credentials: {error.code}")
        return Checked(False, error.code, str(error))
    if gates.state(application_id, provider).state == Gate.State.SHUT:
        gates.open_(application_id, provider)
        return Checked(True, "accepted", "The provider takes the credentials; the gate is open again.")
    return Checked(True, "accepted", "The provider takes the credentials.")
