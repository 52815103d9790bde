"""Dead tokens: a device whose token the provider refuses for good is never sent to again."""

from collections.abc import Mapping
from datetime import UTC, datetime

from django.db.models import Q
from django.utils import timezone

from devices.models import Device


def retire(dead: Mapping[int, float | None], *, tokens: Mapping[int, str], reason: str = "dead_token") -> int:
    """Retire devices by primary key; return how many were.

    `dead` gives the instant (epoch seconds) since when the provider knows the token to be dead,
    where it says; a token registered after that is alive again and stays. So does a device that
    has another token by now than the one in `tokens`.
    """
    retired = 0
    for device, since in dead.items():
        same = Q(pk=device, state=Device.State.ACTIVE, token=tokens[device])
        if since is not None:
            same &= Q(registered_at__lte=datetime.fromtimestamp(since, UTC))
        retired += Device.objects.filter(same).update(
            state=Device.State.RETIRED, retired_at=timezone.now(), retired_reason=reason
        )
    return retired
