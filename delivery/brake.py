"""The brake: when many tokens of a run are refused at once, it is the configuration that is wrong, not the devices.

Only reasons that wrong credentials, a wrong topic or a wrong environment bring about count; what a provider
knows to be uninstalled is dead whoever asks.
"""

from collections import Counter

from django.conf import settings

from delivery.models import Parcel, WorkState
from delivery.remarks import REFUSED_TOKENS, SUSPECT

NEAR = 2_000
"""Parcels are looked for among so many of all runs before this one; nearby parcels were made nearby in time."""
MOST_PARCELS = 100


def wave(parcel: Parcel, *, answered: int, refused: Counter[str]) -> str:
    """Return what to check (a remark) when the refusals in a run's window are a wave, an empty text when not.

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
    words = {"count": count, "answered": answered, "code": reason, "advice": SUSPECT[reason]}
    return REFUSED_TOKENS % words


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
