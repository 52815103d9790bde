"""Dead tokens: a device whose token the provider refuses for good is never pushed to again."""

from collections.abc import Mapping
from datetime import UTC, datetime

from django.db.models import Q
from django.utils import timezone

from devices import closing
from devices.models import Device, Provider


def retire(dead: Mapping[int, float | None], *, tokens: Mapping[int, str], asked_at: float) -> int:
    """Retire devices by primary key; return how many were.

    `dead` gives the instant (epoch seconds) since when the provider knows the token to be dead, where it says, else it
    is known since the provider was asked (`asked_at`); a token registered after that is alive again and stays. So does
    a device that has another token by now than the one in `tokens`.

    A browser whose push subscription is dead is still there when its page is opened: it is a WebSocket device again.
    """
    now = timezone.now()
    retired = 0
    ended: list[int] = []
    for device, since in dead.items():
        known = datetime.fromtimestamp(asked_at if since is None else since, UTC)
        same = Device.objects.filter(
            Q(pk=device, state=Device.State.ACTIVE, token=tokens[device], registered_at__lte=known)
        )
        without_push = same.filter(provider=Provider.WEBPUSH).update(
            provider=Provider.SOCKET,
            token="",
            token_digest="",
            retired_at=now,
            retired_reason=Device.Retired.DEAD_SUBSCRIPTION,
        )
        if without_push:
            retired += 1
        elif same.update(
            state=Device.State.RETIRED, retired_at=now, retired_reason=Device.Retired.DEAD_TOKEN
        ):
            ended.append(device)
    if ended:
        closing.close_devices(Device.objects.filter(pk__in=ended).values_list("uid", flat=True))
    return retired + len(ended)
