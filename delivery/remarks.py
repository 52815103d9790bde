"""What the hub itself notes on runs, gates, holds and decisions: stored in English, said in the reader's language.

Each remark stands here once. Who writes one fills in its values; who shows one finds them again (`said`).
What a person wrote, or an earlier version, stays as it is.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from devices.words import gettext, instant, number, percent
from devices.words import gettext_noop as _

REFUSED_TOKENS = _("%(count)s of %(answered)s tokens were refused (%(code)s): %(advice)s.")
CANCELLED_BY = _("cancelled by %(user)s")
RECALLED = _("recalled")
CANARY_STOPPED = _("the canary was stopped")
BY_THE_BUTTON = _("stopped by the button")
CREDENTIALS_REFUSED = _("the provider refuses the credentials: %(code)s")
NO_CREDENTIALS = _("no %(provider)s credentials: add them under Delivery, Credentials")
NOT_OF_THE_FLEET = _("the fleet that runs knows no %(provider)s: start it anew")
NO_FLEET = _("the credentials say 'send to the fleet', but none runs (%(path)s)")
UNREACHABLE = _("the provider cannot be reached: %(code)s")
QUOTA_USED_UP = _("the quota is used up")
REFUSES_MOST = _("the provider refuses most for now")
ASKS_TO_WAIT = _("the provider asks to wait")

CANARY_TITLE = _("%(campaign)s: first %(share)s")

NO_MAIL_SERVER = _("The hub has no mail server: set NOTIFYHUB_EMAIL_URL.")
LONG_ADDRESS = _("Write an address of at most %(most)s ASCII characters, without spaces.")
NO_ADDRESS = _("This is no address.")
NOT_HTTPS = _("A webhook's address begins with https://.")
NO_HOST = _("A webhook's address has a host, and neither a user nor a fragment.")
DID_NOT_ANSWER = _("%(host)s did not answer: %(error)s")
ANSWERED = _("%(host)s answered %(status)s.")
NOT_LOOKED_UP = _("%(host)s cannot be looked up: %(error)s.")
NOT_PUBLIC = _("%(host)s leads to no public address.")

OF_POSTS = (
    NO_MAIL_SERVER,
    LONG_ADDRESS,
    NO_ADDRESS,
    NOT_HTTPS,
    NO_HOST,
    DID_NOT_ANSWER,
    ANSWERED,
    NOT_LOOKED_UP,
    NOT_PUBLIC,
)
"""Why a note to the staff was not taken."""

TITLES = (CANARY_TITLE,)
"""What the hub itself calls runs."""

SUSPECT = {
    "sender_id_mismatch": _(
        "the tokens belong to another Firebase project: check that the service account is of the project that"
        " the app was built with"
    ),
    "invalid_argument:message.token": _(
        "these are no FCM tokens: check what the app registers, and as which provider"
    ),
    "bad_device_token": _(
        "the tokens do not belong to this APNs environment: check that devices of development builds are"
        " registered with sandbox"
    ),
    "device_token_not_for_topic": _(
        "the tokens belong to another app: check that the credential's APNs topic is the app's bundle id"
    ),
    "third_party_auth_error": _(
        "APNs or a push service refuses what Firebase shows it: check the APNs key and the web push"
        " certificate in the Firebase console, Project settings, Cloud Messaging"
    ),
    "vapid_key_mismatch": _(
        "the subscriptions were made with another application server key: check that the pages subscribe with"
        " the public key of this application's Web Push credentials"
    ),
}
"""Reason codes of messages that failed → what to check."""

REMARKS = (
    REFUSED_TOKENS,
    CANCELLED_BY,
    RECALLED,
    CANARY_STOPPED,
    BY_THE_BUTTON,
    CREDENTIALS_REFUSED,
    NO_CREDENTIALS,
    NOT_OF_THE_FLEET,
    NO_FLEET,
    UNREACHABLE,
    QUOTA_USED_UP,
    REFUSES_MOST,
    ASKS_TO_WAIT,
)

AT = "%Y-%m-%d %H:%M:%S UTC"
"""How an instant stands in a remark, as its value `at`."""

_WHOLE = ("count", "answered", "age", "most")
_VALUE = re.compile(r"%\\\((\w+)\\\)s")
_SHARE_TEXT = r"\d+(?:\.\d+)?%"
_SHARE = re.compile(r"(\d+(?:\.(\d+))?)%")


def said(stored: str, remarks: Sequence[str] = REMARKS) -> str:
    """Return a stored remark in the language that is active; a text that is none of `remarks` as it is.

    A `reason` or `hint` within one may itself be one of them.
    """
    for remark in remarks:
        found = _pattern(remark).fullmatch(stored)
        if found:
            words = {name: _word(name, value, remarks) for name, value in found.groupdict().items()}
            return gettext(remark) % words
    return stored


@cache
def _pattern(remark: str) -> re.Pattern[str]:
    return re.compile(_VALUE.sub(_value, re.escape(remark)), re.DOTALL)


def _value(found: re.Match[str]) -> str:
    # a share is per cent: a campaign “Friday: first come, first served” is called that
    return f"(?P<{found[1]}>{_SHARE_TEXT if found[1] == 'share' else '.+?'})"


def _word(name: str, value: str, remarks: Sequence[str]) -> str:
    if name in ("reason", "hint"):
        return said(value, remarks)
    if name == "at":
        return _moment(value)
    if name == "advice":
        return gettext(value) if value in SUSPECT.values() else value
    if name in _WHOLE:
        return number(int(value)) if value.isdecimal() else value
    if name in ("confidence", "share") and (share := _SHARE.fullmatch(value)):
        return percent(float(share[1]) / 100, len(share[2] or ""))
    return value


def _moment(stored: str) -> str:
    try:
        return instant(datetime.strptime(stored, AT).replace(tzinfo=UTC))
    except ValueError:
        return stored
