"""Why somebody was not told, or a message not sent: every reason code once, with a sentence for people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from devices.words import instant, number

STOPPED = {
    "no_consent": _("The subscriber wants no notifications."),
    "category_off": _("The subscriber switched this category off."),
    "not_opted_in": _("The category reaches only those who asked for it, and the subscriber has not."),
    "duplicate": _("The subscriber stood in the page twice with the same notification."),
    "expired": _("The notification was past its time when its turn came."),
    "capped": _("The subscriber has been told as often as a frequency cap allows."),
    "unknown_subscriber": _("The subscriber was deleted before their turn came."),
    "render_failed": _("The text could not be rendered with this subscriber's attributes."),
    "given_up": _("Their page could not be planned, and somebody gave it up."),
    "control_group": _("The subscriber is in the experiment's control group, which is told nothing."),
    "no_hour": _("The subscriber's quiet hours leave no hour of the campaign's window."),
    "not_in_audience": _("An event was about the subscriber, whom the campaign's segment does not choose."),
}
"""Subscribers whom the planner stopped: they have no entry in their log."""

DEFERRED = {
    "capped": _("A frequency cap is full: the subscriber is told when it has room again."),
    "quiet_hours": _("The subscriber has quiet hours: they are told when those end."),
    "best_hour": _("The campaign is told at the hour at which the subscriber opens most, which is to come."),
    "window": _(
        "The campaign is told between two times of day only; the subscriber is told when it is time."
    ),
    "local_time": _("The campaign is told at a time of the subscriber's own clock, which is to come."),
}
"""Subscribers whom the planner put off: they are planned again at an instant."""

OUTCOMES = {
    "accepted": _("The provider accepted the message."),
    "shortened": _("The provider accepted the message; its text was too long for it and was cut."),
    "written": _("The message was written to the device's WebSocket."),
    "acknowledged": _("The device acknowledged the message on its WebSocket, so it needed no push."),
    "seen_elsewhere": _(
        "Another device of the subscriber showed it, and the campaign does not push after that."
    ),
    "offline": _("The device held no WebSocket; the message waits in its log."),
    "node_silent": _("The node that held the WebSocket did not answer; the message waits in its log."),
    "expired": _("The message was past its time before it could be sent."),
    "quiet_hours": _(
        "The subscriber's quiet hours began before the message could be sent; it waits in their log."
    ),
    "gave_up": _("The provider could not take the message in as many attempts as there are."),
    "given_up": _("The message could not be sent, and somebody gave it up."),
    "cancelled": _("The run was cancelled before the message was sent."),
    "recalled": _("The run was recalled before the message was sent."),
    "opted_out": _("The subscriber opted out before the message was sent."),
    "device_gone": _("The device was retired or removed before the message was sent."),
    "no_device": _("The subscriber has no device that this run is for."),
}
"""What became of messages; `failed` outcomes carry what the provider said besides (`PROVIDERS`)."""

PROVIDERS = {
    "unregistered": _(
        "The provider knows the token no more: the app was removed, or its permission was taken back."
    ),
    "sender_id_mismatch": _("The token was made for another FCM project than the credentials are for."),
    "bad_device_token": _("APNs says that this is no token, or one of its other environment."),
    "device_token_not_for_topic": _("The token was made for another app than the APNs topic names."),
    "missing_device_token": _("The device has no token."),
    "expired_token": _("The token is past its time; the app has to register anew."),
    "invalid_argument": _("FCM does not accept the message; the field it names stands behind the code."),
    "third_party_auth_error": _("APNs or a push service refuses what Firebase shows it for this app."),
    "content_not_json": _("The content cannot be written as JSON."),
    "bad_collapse_id": _("APNs does not accept the display identity."),
    "bad_expiration_date": _("APNs does not accept the expiry."),
    "bad_message_id": _("APNs does not accept the message's identity."),
    "bad_priority": _("APNs does not accept the priority."),
    "bad_path": _("APNs does not know the address."),
    "duplicate_headers": _("APNs was sent a header twice."),
    "invalid_push_type": _("APNs does not accept the kind of push."),
    "method_not_allowed": _("APNs does not accept the method of the request."),
    "payload_empty": _("The message holds nothing for APNs."),
    "payload_too_large": _(
        "The message's data is larger than the provider takes; the limit in bytes stands behind it."
    ),
    "bad_environment_key_in_token": _("The APNs key is not for the development environment of this device."),
    "subscription_expired": _(
        "The browser's subscription has ended: its permission was taken back, or it was replaced."
    ),
    "subscription_unknown": _("The push service knows no such subscription."),
    "bad_subscription": _("The device's token is no push subscription."),
    "vapid_key_mismatch": _(
        "The browser subscribed with another application server key than the application has."
    ),
    "endpoint_not_allowed": _(
        "The subscription's host is not on the list of push services (NOTIFYHUB_WEB_PUSH_HOSTS)."
    ),
    "address_not_public": _("The name of the push service leads to an address that is not public."),
    "push_type_needs_apns": _(
        "The kind of push needs APNs itself; FCM carries alerts and background pushes only."
    ),
    "needs_signing_key": _("The kind of push needs APNs's signing key; a certificate may not send it."),
    "reserved_data_key": _("The data has a key that is the hub's or Apple's own; it stands behind the code."),
    "bad_request": _("The push service does not accept the request."),
    "encoding_not_taken": _("The push service does not take the encryption aes128gcm."),
}
"""Codes of the providers that end a message as `failed`; a field may stand behind one, after a colon."""

VALUES = {
    "category": _("category"),
    "count": _("count"),
    "hours": _("hours"),
    "expired_at": _("expired at"),
    "notification": _("notification"),
    "field": _("field"),
    "line": _("line"),
    "reason": _("reason"),
}
"""What the values are called that led to a stop."""


def stopped_sentence(code: str, detail: Mapping[str, Any] | None = None) -> str:
    """Return why a subscriber was stopped, with the values that led to it."""
    return _told(STOPPED, code) + _values(detail or {})


def outcome_sentence(code: str) -> str:
    """Return why a message came to its outcome."""
    code, _, field = code.partition(":")
    said = _told({**PROVIDERS, **OUTCOMES}, code)
    if field.isdigit():
        return gettext("%(said)s (limit: %(bytes)s bytes)") % {"said": said, "bytes": number(int(field))}
    return gettext("%(said)s (field: %(field)s)") % {"said": said, "field": field} if field else said


def deferred_sentence(code: str) -> str:
    """Return why a subscriber was put off."""
    return _told(DEFERRED, code)


def _told(table: Mapping[str, str], code: str) -> str:
    return gettext(table[code]) if code in table else f"{code.replace('_', ' ').capitalize()}."


def _values(detail: Mapping[str, Any]) -> str:
    """Return the values in brackets; instants, which end in `_at` or `until`, as people write them."""
    said = []
    for name, value in detail.items():
        if isinstance(value, int | float) and (name.endswith("_at") or name == "until"):
            value = instant(datetime.fromtimestamp(value, UTC))
        said.append(f"{gettext(VALUES.get(name, name.replace('_', ' ')))}: {value}")
    return f" ({', '.join(said)})" if said else ""
