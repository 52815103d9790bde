"""Which sender goes with which provider."""

from delivery.senders.apns.sender import ApnsSender
from delivery.senders.contract import Sender, TokenStore
from delivery.senders.engine import STREAMS
from delivery.senders.fcm.sender import FcmSender
from delivery.senders.network import DIRECT, Network
from delivery.senders.tokens import SharedTokens
from delivery.senders.webpush.sender import WebPushSender


def sender_for(
    provider: str, *, tokens: TokenStore, streams: int = STREAMS, network: Network = DIRECT
) -> Sender:
    """Return a new sender for a provider; keep it, one for each process. Raises `LookupError` for one unknown."""
    shared = SharedTokens(tokens)
    if provider == FcmSender.provider:
        return FcmSender(shared, streams=streams, network=network)
    if provider == ApnsSender.provider:
        return ApnsSender(shared, streams=streams, network=network)
    if provider == WebPushSender.provider:
        return WebPushSender(shared, streams=streams, network=network)
    raise LookupError(f"there is no sender for {provider!r}, only for 'fcm', 'apns' and 'webpush'")
