"""How providers are reached: through which proxy, trusting whom, and with how much patience."""

import msgspec

REQUEST_SECONDS = 10.0
"""FCM asks to wait at least so long for an answer (firebase.google.com/docs/cloud-messaging/scale-fcm)."""
CONNECTION_SECONDS = 3_600.0
PING_SECONDS = 30.0
PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


class Network(msgspec.Struct, frozen=True):
    """What an engine is told once.

    `proxy` is a URL with one of `PROXY_SCHEMES`, empty for the environment's own (`https_proxy`, `all_proxy`); what
    `no_proxy` names and this machine are reached without. `ca_file` is a PEM file of the authorities to trust instead
    of the public ones. A request has `request_seconds` for its answer. A connection takes no more requests after
    `connection_seconds`; its provider may long have moved elsewhere. One that was silent for `ping_seconds` is asked
    for a sign of life.
    """

    proxy: str = ""
    ca_file: str = ""
    request_seconds: float = REQUEST_SECONDS
    connection_seconds: float = CONNECTION_SECONDS
    ping_seconds: float = PING_SECONDS


DIRECT = Network()
