"""The brake: when many tokens of a run are refused at once, it is the configuration that is wrong, not the devices.

Only reasons that wrong credentials, a wrong topic or a wrong environment bring about count; what a provider
knows to be uninstalled is dead whoever asks.
"""

from collections import Counter

from django.conf import settings

from delivery.models import Parcel, WorkState

SUSPECT = {
    "sender_id_mismatch": "the tokens belong to another Firebase project: check that the service account "
    "is of the project that the app was built with",
    "invalid_argument:message.token": "these are no FCM tokens: check what the app registers, and as which provider",
    "bad_device_token": "the tokens do not belong to this APNs environment: check that devices of development "
    "builds are registered with sandbox",
    "device_token_not_for_topic": "the tokens belong to another app: check that the credential's APNs topic "
    "is the app's bundle id",
    "third_party_auth_error": "APNs or a push service refuses what Firebase shows it: check the APNs key and the "
    "web push certificate in the Firebase console, Project settings, Cloud Messaging",
    "vapid_key_mismatch": "the subscriptions were made with another application server key: check that the pages "
    "subscribe with the public key of this application's Web Push credentials",
}
"""Reason codes of messages that failed → what to check."""

NEAR = 2_000
"""Parcels are looked for among so many of all runs before this one; nearby parcels were made nearby in time."""
MOST_PARCELS = 100


def wave(parcel: Parcel, *, answered: int, refused: Counter[str]) -> str:
    """Return what to check when the refusals in a run's window are a wave, an empty text when they are not.

    `answered` of the parcel's messages were sent or refused, `refused` of them for suspicious reasons. A parcel
    too small to judge by is seen together with those of the run before it.
    """
    suspects = Counter({reason: refused[reason] for reason in SUSPECT if refused[reason]})
    if not suspects:
        return ""
    if answered < settings.BRAKE_MESSAGES:
        answered += _before(parcel, settings.BRAKE_MESSAGES - answered, suspects)
    count = suspects.total()
    if answered < settings.BRAKE_MESSAGES or count < settings.BRAKE_SHARE * answered:
        return ""
    reason, _ = suspects.most_common(1)[0]
    return f"{count} of {answered} tokens were refused ({reason}): {SUSPECT[reason]}."


def _before(parcel: Parcel, wanted: int, suspects: Counter[str]) -> int:
    """Add the refusals of the run's last closed parcels to `suspects` until they answered for `wanted` messages."""
    rows = Parcel.objects.filter(
        run_id=parcel.run_id,
        provider=parcel.provider,
        state=WorkState.DONE,
        pk__lt=parcel.pk,
        pk__gte=parcel.pk - NEAR,
    ).order_by("-pk")
    answered = 0
    for sent, failed, reasons in rows.values_list("sent", "failed", "reasons")[:MOST_PARCELS]:
        if answered >= wanted:
            break
        answered += sent + failed
        suspects.update({reason: reasons[reason] for reason in SUSPECT if reason in reasons})
    return answered
