"""System checks of the whole: what is missing or wrong in the settings, and how to put it right."""

import ssl
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from delivery.lanes import LANES
from delivery.senders.network import PROXY_SCHEMES

_PREPARE = "Run `manage.py prepare`, which makes it in the data folder, or set {name} in the environment."


@register(Tags.security)
def check_secrets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The secrets stand and can be used, and it is known who needs a second factor (E001 to E003, E015)."""
    found: list[CheckMessage] = []
    if not settings.KEY_RING:
        hint = _PREPARE.format(name="NOTIFYHUB_KEY_RING")
        found.append(
            Error("The key ring that encrypts credentials is missing.", hint=hint, id="notifyhub.E001")
        )
    for number, key in enumerate(settings.KEY_RING, start=1):
        try:
            Fernet(key)
        except ValueError:
            found.append(
                Error(
                    f"Key {number} of the key ring is no Fernet key (32 bytes in URL-safe base64).",
                    hint="NOTIFYHUB_KEY_RING holds such keys, newest first, with spaces between.",
                    id="notifyhub.E002",
                )
            )
    if settings.SECOND_FACTOR not in ("required", "optional"):
        found.append(
            Error(
                f"NOTIFYHUB_SECOND_FACTOR is {settings.SECOND_FACTOR!r}, which says neither.",
                hint="Write required or optional; left out it is required, with SQLite optional.",
                id="notifyhub.E015",
            )
        )
    # Read from the environment's copy: the attribute of Django's settings raises when it is empty.
    from notifyhub import settings as module

    if not module.SECRET_KEY:
        hint = _PREPARE.format(name="SECRET_KEY")
        found.append(Error("SECRET_KEY is missing.", hint=hint, id="notifyhub.E003"))
    return found


@register(Tags.compatibility)
def check_servers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The addresses of servers and the choice of the log are ones we know (E004 to E007, W001)."""
    found: list[CheckMessage] = []
    if urlsplit(settings.REDIS_URL).scheme not in ("redis", "rediss", "unix"):
        found.append(
            Error(
                "NOTIFYHUB_REDIS_URL is no address of a Redis.",
                hint="Write redis://:password@host:6379/0, or leave it out to use the embedded one.",
                id="notifyhub.E004",
            )
        )
    if urlsplit(settings.BROKER_URL).scheme not in ("redis", "rediss", "amqp", "amqps", "memory"):
        found.append(
            Error(
                "NOTIFYHUB_BROKER_URL is no address of a broker we know.",
                hint="Write amqp://user:password@host:5672/vhost or redis://…, or leave it out to use the Redis.",
                id="notifyhub.E005",
            )
        )
    if settings.LOG_STORE not in ("relational", "cassandra"):
        found.append(
            Error(
                f"NOTIFYHUB_LOG_STORE is {settings.LOG_STORE!r}, which is no log store.",
                hint="Write relational (the default) or cassandra.",
                id="notifyhub.E006",
            )
        )
    if settings.SERVER not in ("daphne", "uvicorn"):
        found.append(
            Error(
                f"NOTIFYHUB_SERVER is {settings.SERVER!r}, which is no server we know.",
                hint="Write daphne (the default) or uvicorn.",
                id="notifyhub.E011",
            )
        )
    for name, least in (
        ("LEASE_SECONDS", 2),
        ("PAGE_PEOPLE", 1),
        ("SHARDS", 1),
        ("STREAMS", 1),
        ("LOG_DAYS", 1),
        ("SOCKETS", 1),
        ("SOCKETS_PER_ADDRESS", 1),
        ("SOCKET_SECONDS", 60),
        ("REPLAYS_PER_SECOND", 1),
    ):
        if getattr(settings, name) < least:
            found.append(
                Error(
                    f"The setting {name} must be at least {least}.",
                    hint="See docs/reference/settings.md.",
                    id="notifyhub.E007",
                )
            )
    if settings.REDIS_EMBEDDED and not settings.REDIS_PASSWORD:
        found.append(
            Warning(
                "The embedded Redis has no password yet.",
                hint="Run `manage.py prepare`, which makes one.",
                id="notifyhub.W001",
            )
        )
    return found


@register(Tags.compatibility)
def check_providers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """How providers are reached can work: the proxy, the file of authorities, the times (E012 to E014)."""
    found: list[CheckMessage] = []
    if settings.PROVIDER_PROXY and (wrong := _fault_of_proxy(settings.PROVIDER_PROXY)):
        found.append(
            Error(
                f"NOTIFYHUB_PROVIDER_PROXY {wrong}.",
                hint="Write http://name:password@proxy.example:3128, a colon in the password as %3A; or leave it out.",
                id="notifyhub.E012",
            )
        )
    if settings.PROVIDER_CA_FILE:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(settings.PROVIDER_CA_FILE)
        except OSError as error:  # that of TLS is one of these
            reason = "holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
            found.append(
                Error(
                    f"NOTIFYHUB_PROVIDER_CA_FILE: {settings.PROVIDER_CA_FILE}: {reason}.",
                    hint="Write the path of a PEM file that can be read; or leave it out for the public authorities.",
                    id="notifyhub.E013",
                )
            )
    for name, least, most in (
        ("PROVIDER_SECONDS", 1, 50),
        ("PROVIDER_CONNECTION_SECONDS", 10, 86_400),
        ("PROVIDER_PING_SECONDS", 1, 3_600),
    ):
        value = getattr(settings, name)
        if not least <= value <= most:
            found.append(
                Error(
                    f"NOTIFYHUB_{name} must be from {least} to {most} seconds, not {value:g}.",
                    hint="See docs/reference/settings.md.",
                    id="notifyhub.E014",
                )
            )
    return found


def _fault_of_proxy(url: str) -> str:
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return "has a port that is none"
    if split.scheme not in PROXY_SCHEMES:
        return f"must begin with one of {', '.join(f'{scheme}://' for scheme in PROXY_SCHEMES)}"
    if not split.hostname:
        return "names no host"
    if split.path.strip("/") or split.query:
        return "has something after the host and port; a proxy has no path"
    return "has no port" if port is None else ""


@register(Tags.compatibility)
def check_lanes(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What is set by lane names lanes that there are, with values that can work (E008)."""
    found: list[CheckMessage] = []
    for name, lanes, most in (
        ("NOTIFYHUB_LANE_RESERVES", settings.LANE_RESERVES, 0.95),
        ("NOTIFYHUB_SILENCE_SECONDS", settings.SILENCE_SECONDS, 3_600.0),
    ):
        for lane, value in lanes.items():
            wrong = "is no lane" if lane not in LANES else ""
            wrong = wrong or ("" if 0 <= value <= most else f"must be from 0 to {most:g}, not {value:g}")
            if wrong:
                hint = f"Write pairs as bulk={most / 2:g}, with commas between; the lanes are {', '.join(LANES)}."
                found.append(Error(f"{name}: {lane} {wrong}.", hint=hint, id="notifyhub.E008"))
    if not 0 < settings.BRAKE_SHARE <= 1 or settings.BRAKE_MESSAGES < 1:
        found.append(
            Error(
                "NOTIFYHUB_BRAKE_SHARE must be above 0 and at most 1, NOTIFYHUB_BRAKE_MESSAGES at least 1.",
                hint="A share of 1 pauses a run only when every token is refused.",
                id="notifyhub.E008",
            )
        )
    return found
