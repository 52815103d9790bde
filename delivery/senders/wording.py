"""Contents in a provider's words, cheaply: one template for each shape of content, filled with each message's texts.

A content that is personal is used once, so what is built for a content would be built for every message. What the
contents of a campaign share is their shape: which texts there are, the data's keys, and all options.
"""

import time
from collections.abc import Callable

import msgspec

from delivery.content import Content
from delivery.senders.contract import Envelope, Message
from delivery.senders.template import Fill, Marks

MOST_TEMPLATES = 512
TEXTS = ("title", "body", "subtitle", "image", "link")
"""The texts of a content; with the values of its data they are the gaps. All else is a part of its shape."""
BAD_CONTENT = "content_not_json"

Build = Callable[[Content, Envelope, Marks], bytes | str]
"""Builds the payload of a content and an envelope made of marks, with the marks `token`, `notification` and `ttl`
where these belong; or says as a reason code why there is none. The envelope's `expires_at` only says whether there is
an end."""
Ttl = Callable[[float, float], str]
"""(expires_at, now) → what stands in the mark `ttl`."""

assert Content.__struct_fields__[:6] == (*TEXTS, "data")
_ARGUMENTS = ("content", "token", "notification", "run", "ttl")
"""Of a template. The last three come as JSON, because one is used twice and two are the same for many messages."""
_READS = {name: f"encode(content.{name})" for name in TEXTS} | {"token": "encode(token)"}
_READS |= {name: name for name in _ARGUMENTS[2:]}
_fields = msgspec.structs.astuple
_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


class Templates:
    """A process's templates for one provider; safe to share between threads."""

    def __init__(self, build: Build, *, ttl: Ttl | None = None) -> None:
        self._build = build
        self._kept: dict[bytes, Fill | str] = {}
        self.ttl = ttl

    def wording(self, envelope: Envelope) -> "Wording":
        """Return what says an envelope's messages."""
        return Wording(self, envelope)

    def of(self, shape: bytes, content: Content, envelope: Envelope, *, ends: bool) -> Fill | str:
        """Return the template of a content's shape in an envelope, or the reason why it has none."""
        bare = msgspec.structs.replace(
            envelope, run="", messages=[], contents=[], expires_at=1.0 if ends else None
        )
        key = shape + _pack(bare)
        found = self._kept.get(key)
        if found is None:
            while len(self._kept) >= MOST_TEMPLATES:
                self._kept.pop(next(iter(self._kept)), None)
            found = self._kept[key] = self._make(content, bare)
        return found

    def _make(self, content: Content, bare: Envelope) -> Fill | str:
        keys = {f"key{number}": key for number, key in enumerate(content.data)}
        reads = _READS | {name: f"encode(content.data[{name}])" for name in keys}
        marks = Marks(*reads)
        marked = msgspec.structs.replace(
            content,
            data={key: marks[name] for name, key in keys.items()},
            **{name: marks[name] for name in TEXTS if getattr(content, name)},
        )
        try:
            built = self._build(marked, msgspec.structs.replace(bare, run=marks["run"]), marks)
            if isinstance(built, str):
                return built
            return marks.template(built, arguments=_ARGUMENTS, reads=reads, constants=keys)
        except (TypeError, ValueError):
            return BAD_CONTENT


class Wording:
    """Says one envelope's messages."""

    def __init__(self, templates: Templates, envelope: Envelope) -> None:
        self._templates = templates
        self._envelope = envelope
        self._run = _json(envelope.run)
        self._by_shape: dict[bytes, Fill | str] = {}
        self._began = time.time()
        self._ends: float | None = None
        self._ttl = b""

    def payload(self, message: Message, notification: str) -> bytes | str:
        """Return a message's payload, or the reason why its content cannot be said."""
        envelope = self._envelope
        ends = envelope.expires_at if message.expires_at is None else message.expires_at
        if ends != self._ends:
            self._end_at(ends)
        content = envelope.contents[message.content]
        title, body, subtitle, image, link, data, *options = _fields(content)
        try:
            shape = _pack((not title, not body, not subtitle, not image, not link, [*data], options))
            template = self._by_shape.get(shape)
            if template is None:
                template = self._templates.of(shape, content, envelope, ends=ends is not None)
                self._by_shape[shape] = template
            if isinstance(template, str):
                return template
            return template(content, message.token, _json(notification), self._run, self._ttl)
        except (TypeError, ValueError):
            return BAD_CONTENT

    def _end_at(self, ends: float | None) -> None:
        if (ends is None) != (self._ends is None):
            self._by_shape.clear()
        self._ends = ends
        if ends is not None and self._templates.ttl is not None:
            self._ttl = _json(self._templates.ttl(ends, self._began))
