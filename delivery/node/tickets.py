"""Single-use tickets: what a device without subprotocols shows in a WebSocket's address instead of its token.

A ticket is good once and for half a minute. Redis holds the token under the ticket's digest, so that nobody who can
list Redis's keys can use one.
"""

import hashlib
import secrets
from typing import cast
from urllib.parse import parse_qsl

from delivery.node.database import blocking
from delivery.redis_client import client
from devices.tokens import TokenError

SECONDS = 30
MOST_QUERY = 512


def issue(token: str) -> str:
    """Return a ticket for a token that was verified."""
    ticket = secrets.token_urlsafe(24)
    client().set(_key(ticket), token, ex=SECONDS)
    return ticket


def of_query(query: bytes) -> str:
    """Return the ticket in a query string, else nothing."""
    for name, value in parse_qsl(query.decode("latin-1")[:MOST_QUERY]):
        if name == "ticket":
            return value
    return ""


@blocking
def token_of(ticket: str) -> str:
    """Return the token of a ticket, which is then used up; raises `TokenError` for one that is not known any more."""
    token = cast(bytes | None, client().getdel(_key(ticket)))
    if token is None:
        raise TokenError(
            "This ticket is not known, or was used, or is older than half a minute; get a new one."
        )
    return token.decode()


def _key(ticket: str) -> str:
    return "nh:ticket:" + hashlib.sha256(ticket.encode()).hexdigest()
