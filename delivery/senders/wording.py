"""Contents in a provider's words, cheaply: one template for each shape of content, filled with each message's texts.

A content that is personal is used once, so what is built for a content would be built for every message. What the
contents of a campaign share is their shape: which texts there are, the data's keys, and all options.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from delivery.content import Content
from delivery.senders.contract import Envelope, Message
from delivery.senders.fitting import TooLargeError, fitted
from delivery.senders.template import Fill, Marks

MOST_TEMPLATES = 512
TEXTS = ("title", "body", "subtitle", "image", "link")
"""The texts of a content; with the values of its data they are the gaps. All else is a part of its shape."""
BAD_CONTENT = "content_not_json"

Build = Callable[[Content, Envelope, Marks, str], bytes | str]
"""Builds the payload of a content and an envelope made of marks for a platform, with the marks `token`, `notification`
and `ttl` where these belong; or says as a reason code why there is none. The envelope's `expires_at` only says whether
there is an end."""
Ttl = Callable[[float | None, float, str], str | int]
"""(expires_at, now, platform) → what stands in the mark `ttl`."""
Limit = Callable[[Content], int]
"""The bytes that a content may have."""
Weigh = Callable[[bytes], int]
"""The bytes of a payload that count."""

LEAST_LIMIT = 4_096
"""A payload of no more bytes fits everywhere."""

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

    def __init__(
        self,
        build: Build,
        *,
        ttl: Ttl | None = None,
        limit: Limit = lambda content: LEAST_LIMIT,
        weigh: Weigh = len,
    ) -> None:
        self._build = build
        self._kept: dict[bytes, Fill | str] = {}
        self.ttl = ttl
        self.limit = limit
        self.weigh = weigh

    def wording(self, envelope: Envelope) -> "Wording":
        """Return what says an envelope's messages."""
        return Wording(self, envelope)

    def of(
        self, shape: bytes, content: Content, envelope: Envelope, platform: str, *, ends: bool
    ) -> Fill | str:
        """Return the template of a content's shape in an envelope, or the reason why it has none."""
        bare = msgspec.structs.replace(
            envelope, run="", messages=[], contents=[], expires_at=1.0 if ends else None
        )
        key = shape + _pack(bare)
        found = self._kept.get(key)
        if found is None:
            while len(self._kept) >= MOST_TEMPLATES:
                self._kept.pop(next(iter(self._kept)), None)
            found = self._kept[key] = self._make(content, bare, platform)
        return found

    def _make(self, content: Content, bare: Envelope, platform: str) -> Fill | str:
        keys = {f"key{number}": key for number, key in enumerate(content.data)}
        reads = _READS | {name: f"encode(content.data[{name}])" for name in keys}
        marks = Marks(*reads)
        marked = msgspec.structs.replace(
            content,
            data={key: marks[name] for name, key in keys.items()},
            **{name: marks[name] for name in TEXTS if getattr(content, name)},
        )
        try:
            built = self._build(marked, msgspec.structs.replace(bare, run=marks["run"]), marks, platform)
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
        self._ttls: dict[str, bytes] = {}
        self.shortened = False
        """Whether the text of the last payload was cut."""

    def payload(self, message: Message, notification: str) -> bytes | str:
        """Return a message's payload, or the reason why its content cannot be said.

        A text that is too long for the provider is cut (`shortened`).
        """
        envelope, platform = self._envelope, message.platform
        self.shortened = False
        ends = envelope.expires_at if message.expires_at is None else message.expires_at
        if ends != self._ends:
            self._end_at(ends)
        ttl = self._ttls.get(platform)
        if ttl is None:
            ttl = self._ttls[platform] = self._ttl_of(platform)
        content = envelope.contents[message.content]
        title, body, subtitle, image, link, data, *options = _fields(content)
        try:
            texts = (not title, not body, not subtitle, not image, not link)
            shape = _pack((texts, [*data], options, platform))
            template = self._by_shape.get(shape)
            if template is None:
                template = self._templates.of(shape, content, envelope, platform, ends=ends is not None)
                self._by_shape[shape] = template
            if isinstance(template, str):
                return template
            words = (message.token, _json(notification), self._run, ttl)
            payload = template(content, *words)
            if len(payload) > LEAST_LIMIT:
                return self._fitted(content, template, words)
            return payload
        except (TypeError, ValueError):
            return BAD_CONTENT

    def _fitted(self, content: Content, template: Fill, words: tuple[Any, ...]) -> bytes | str:
        """Return the payload of a content cut to what the provider takes, or the reason why it cannot be."""

        def weigh(shorter: Content) -> int:
            return self._templates.weigh(template(shorter, *words))

        try:
            cut = fitted(content, weigh, self._templates.limit(content))
        except TooLargeError as error:
            return error.reason
        self.shortened = cut is not content
        return template(cut, *words)

    def _end_at(self, ends: float | None) -> None:
        if (ends is None) != (self._ends is None):
            self._by_shape.clear()
        self._ends = ends
        self._ttls.clear()

    def _ttl_of(self, platform: str) -> bytes:
        make = self._templates.ttl
        return b"" if make is None else _json(make(self._ends, self._began, platform))
