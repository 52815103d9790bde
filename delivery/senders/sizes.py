"""How many bytes a message is to its provider, without a credential: for those who ask before anything is sent."""

from functools import partial
from typing import Literal

import msgspec

from delivery.content import Content
from delivery.senders.apns import payload as apns
from delivery.senders.contract import Envelope
from delivery.senders.fcm import payload as fcm
from delivery.senders.fcm.builder import Builder
from delivery.senders.fitting import TooLargeError, fitted
from delivery.senders.webpush import encryption
from delivery.senders.webpush import payload as webpush

TOKEN = "t" * 160
NOTIFICATION = "00000000-0000-0000-0000-000000000000"
"""Stand for a device and a notification that are not known yet."""

_builder = Builder()
_encode = msgspec.json.Encoder().encode


class Fit(msgspec.Struct, frozen=True):
    """How a content fits into a message: its bytes, the provider's limit, and what the sender would do."""

    size: int
    limit: int
    outcome: Literal["whole", "shortened", "too_large"]


def fit(
    provider: str,
    content: Content,
    envelope: Envelope,
    *,
    platform: str,
    token: str = TOKEN,
    notification: str = NOTIFICATION,
) -> Fit:
    """Return how a content fits at `fcm`, `apns` or `webpush`; what cannot be said there at all has no bytes."""
    words = {"platform": platform, "token": token, "notification": notification}
    return fit_and_cut(provider, content, envelope, **words)[0]


def fit_and_cut(
    provider: str,
    content: Content,
    envelope: Envelope,
    *,
    platform: str,
    token: str = TOKEN,
    notification: str = NOTIFICATION,
) -> tuple[Fit, Content]:
    """Return how a content fits, and the content as the sender would cut it; one that is too large as it is."""
    limit = limit_of(provider, content)
    weigh = partial(
        _weigh, provider, envelope=envelope, platform=platform, token=token, notification=notification
    )
    try:
        size = weigh(content)
        if size <= limit:
            return Fit(size, limit, "whole"), content
        cut = fitted(content, weigh, limit)
    except TooLargeError as error:
        return Fit(error.size, limit, "too_large"), content
    except (TypeError, ValueError):
        return Fit(0, limit, "whole"), content
    return Fit(size, limit, "shortened"), cut


def limit_of(provider: str, content: Content) -> int:
    """Return how many bytes of a content the provider takes."""
    if provider == "apns":
        return apns.limit(content)
    return encryption.LIMIT if provider == "webpush" else fcm.LIMIT


def _weigh(
    provider: str, content: Content, *, envelope: Envelope, platform: str, token: str, notification: str
) -> int:
    if provider == "apns":
        return len(_encode(apns.document(content, envelope, notification=notification)))
    if provider == "webpush":
        return len(_encode(webpush.document(content, envelope, notification=notification)))
    words = fcm.parameters(content, envelope, token=token, notification=notification, platform=platform)
    return fcm.weight(_builder.payload(**words))
