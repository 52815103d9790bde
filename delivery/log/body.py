"""What an entry of the log holds: the rendered content, where it differs by platform, and its targets."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from delivery.content import Content


class Body(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The stored form of an entry's content.

    `by_platform` holds whole contents for the platforms where they differ; `platforms` names the
    only ones it is for (empty: all). `sent_at` is in epoch milliseconds.
    """

    content: Content
    category: str
    sent_at: int
    by_platform: dict[str, Content] = {}
    platforms: list[str] = []


class Shown(msgspec.Struct, frozen=True, gc=False):
    """An entry as a device gets it, over the socket and from the inbox alike."""

    id: str
    position: str
    kind: str
    run: str
    title: str
    body: str
    subtitle: str
    image: str
    link: str
    category: str
    data: dict[str, str]
    sent_at: str


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Body).decode
to_json = msgspec.json.Encoder().encode


def instant(milliseconds: int) -> str:
    """Return an instant as RFC 3339 text, in UTC."""
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def shown(body: Body, *, platform: str, identity: str, place: str, run: str) -> Shown | None:
    """Return an entry as a device of `platform` sees it, or None when it is not for that platform."""
    if body.platforms and platform not in body.platforms:
        return None
    content = body.by_platform.get(platform, body.content)
    return Shown(
        id=identity,
        position=place,
        kind="notification",
        run=run,
        title=content.title,
        body=content.body,
        subtitle=content.subtitle,
        image=content.image,
        link=content.link,
        category=body.category,
        data=content.data,
        sent_at=instant(body.sent_at),
    )


def as_dict(entry: Shown) -> dict[str, Any]:
    """Return a shown entry as JSON values."""
    return {name: getattr(entry, name) for name in entry.__struct_fields__}
