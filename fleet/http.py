"""What the fleet's endpoints and its server say to each other: a request, an answer, and what else may become of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

JSON = ("content-type", "application/json; charset=UTF-8")


class Request(NamedTuple):
    """What an endpoint may look at; `query` is still encoded.

    `headers` are by lower-case name; what came on several lines is joined by a comma and named in `repeated`.
    `peer` is the digest of the client's certificate where it showed one, `first` the `authorization` by which its
    connection was found to be allowed more than one stream.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    repeated: tuple[str, ...] = ()
    peer: str = ""
    first: str = ""


class Reset(NamedTuple):
    """Instead of an answer the stream ends with this error; over HTTP/1.1 the connection does."""

    code: str


class Goaway(NamedTuple):
    """After the answer the connection takes no new streams, and ends when those before have their answers.

    `abrupt`: it ends at once and owes them. `reason` goes along as APNs sends it.
    """

    reason: str = ""
    abrupt: bool = False


class Broken(NamedTuple):
    """The answer's body ends after so many bytes though more were announced."""

    after: int


class Reply(NamedTuple):
    """An answer; with `wait` it goes out that many seconds later, with None never; `mishap` may befall it."""

    status: int
    body: bytes
    headers: list[tuple[str, str]]
    wait: float | None = 0.0
    mishap: Reset | Goaway | Broken | None = None


Handler = Callable[[Request], Reply] | Callable[[Request], Awaitable[Reply]]


def json_reply(status: int, content: Any, *headers: tuple[str, str], wait: float | None = 0.0) -> Reply:
    """Answer with JSON."""
    return Reply(status, msgspec.json.encode(content), [JSON, *headers], wait)


def too_large(most: int) -> Reply:
    """Refuse a body before it is read to its end."""
    return json_reply(413, {"error": f"the body has more than {most} bytes"})


def broken_off(reason: str) -> Reply:
    """Refuse what is no request."""
    return json_reply(400, {"error": reason})
