"""From a snapshot's Liquid texts to what one person reads on one platform.

Texts are Liquid (python-liquid) with limits on loops, memory and output, without autoescape: a
notification is plain text. A template of text and plain variables alone is joined directly,
which costs a fiftieth of a render; whatever depends on nobody is rendered once.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from liquid import Environment
from liquid.builtin.content import ContentNode
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError
from liquid.stringify import to_liquid_string

from delivery.content import Content
from delivery.snapshot import Snapshot, Text

TITLE_LIMIT = 1_000
BODY_LIMIT = 4_000


class _Environment(Environment):
    loop_iteration_limit = 1_000
    local_namespace_limit = 100_000
    output_stream_limit = 16_384
    context_depth_limit = 10
    block_nesting_limit = 10


_liquid = _Environment()

Variables = Mapping[str, Any]
Writer = Callable[[Variables], str]


class RenderError(Exception):
    """A text that cannot be rendered: `field` (as `texts.de.title`), `line` (from 1) and `reason`."""

    def __init__(self, field: str, line: int, reason: str) -> None:
        self.field, self.line, self.reason = field, line, reason
        super().__init__(f"{field}, line {line}: {reason}")


def _refusal(field: str, error: LiquidError) -> RenderError:
    context = error.context() if error.token is not None else None
    return RenderError(field, context[0] if context else 1, str(error.message or error))


class _Template:
    """One field's template: a writer from variables to text, and whether it depends on any."""

    __slots__ = ("constant", "field", "write")

    def __init__(self, field: str, source: str) -> None:
        self.field = field
        if "{" not in source:
            self.constant: str | None = source
            self.write: Writer = lambda _: source
            return
        try:
            template = _liquid.from_string(source)
            unknown = next((name for name in template.analyze().filters if name not in _liquid.filters), None)
        except LiquidError as error:
            raise _refusal(field, error) from None
        if unknown:
            line = next(at for at, text in enumerate(source.splitlines(), 1) if unknown in text)
            raise RenderError(field, line, f"unknown filter '{unknown}'")
        nodes = list(template.nodes)
        texts = [node.text for node in nodes if isinstance(node, ContentNode)]
        self.constant = "".join(texts) if len(texts) == len(nodes) else None
        self.write = _straight(nodes) or (lambda variables: template.render(**variables))


def _straight(nodes: list[Any]) -> Writer | None:
    """Return a writer for nothing but text and `{{ name }}`, or None for any other template."""
    literals, names = [""], []
    for node in nodes:
        if isinstance(node, ContentNode):
            literals[-1] += node.text
            continue
        expression = getattr(node, "expression", None)
        path = getattr(getattr(expression, "left", None), "path", None)
        plain = isinstance(node, OutputNode) and path and len(path) == 1 and isinstance(path[0], str)
        if not plain or getattr(expression, "filters", None) or getattr(expression, "condition", None):
            return None
        assert path is not None
        names.append(path[0])
        literals.append("")
    first, pairs = literals[0], list(zip(names, literals[1:], strict=True))

    def write(variables: Variables) -> str:
        out = [first]
        for name, literal in pairs:
            value = variables.get(name)
            out.append(value if type(value) is str else to_liquid_string(value, False))
            out.append(literal)
        text = "".join(out)
        # Liquid writes every line's end as one line feed, whatever a value brings
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text

    return write


_FIELDS = ("title", "body", "subtitle", "image", "link")


class _Message:
    """The templates of one locale on one platform."""

    def __init__(self, where: str, text: Text) -> None:
        self.templates = {name: _Template(f"{where}.{name}", getattr(text, name)) for name in _FIELDS}
        self.data = {key: _Template(f"{where}.data.{key}", value) for key, value in text.data.items()}
        self.text = text
        every = [*self.templates.values(), *self.data.values()]
        self.constant = self._write({}) if all(template.constant is not None for template in every) else None

    def write(self, variables: Variables) -> Content:
        return self.constant or self._write(variables)

    def _write(self, variables: Variables) -> Content:
        field = ""
        try:
            out = {}
            for field, template in self.templates.items():
                out[field] = template.write(variables)
            data = {}
            for field, template in self.data.items():
                data[field] = template.write(variables)
        except LiquidError as error:
            raise _refusal(field, error) from None
        return Content(
            title=out["title"][:TITLE_LIMIT],
            body=out["body"][:BODY_LIMIT],
            subtitle=out["subtitle"][:TITLE_LIMIT],
            image=out["image"],
            link=out["link"],
            data=data,
            sound=self.text.sound,
            android=self.text.android,
            ios=self.text.ios,
            web=self.text.web,
        )


def _over(below: Text, above: Text) -> Text:
    """Return `below` with every field that `above` fills."""
    filled = {name: value for name in Text.__struct_fields__ if (value := getattr(above, name))}
    for name in ("data", "android", "ios", "web"):
        if name in filled:
            filled[name] = {**getattr(below, name), **getattr(above, name)}
    return msgspec.structs.replace(below, **filled)


class Renderer:
    """A snapshot ready to be rendered, template by template compiled once.

    Raises `RenderError` when a template does not compile.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        fallback = snapshot.texts[snapshot.locale]
        self._texts = {locale.lower(): _over(fallback, text) for locale, text in snapshot.texts.items()}
        self._fallback = snapshot.locale.lower()
        self._messages: dict[tuple[str, str], _Message] = {}
        self._locales: dict[str, str] = {}
        for locale in self._texts:
            for platform in ("", *snapshot.overrides):
                self._message(locale, platform)
        self.constant = all(message.constant is not None for message in self._messages.values())

    @property
    def differing(self) -> tuple[str, ...]:
        """The platforms whose text is not that of the others."""
        return tuple(self._snapshot.overrides)

    def options(self, platform: str) -> dict[str, Any]:
        """Return what a platform alone is told (`android`, `ios` or `web`), in every language the same."""
        message = self._message(self._fallback, platform if platform in self._snapshot.overrides else "")
        found: dict[str, Any] = getattr(message.text, platform)
        return found

    def locale(self, wanted: str) -> str:
        """Return the best locale there is: `pt-BR`, else `pt`, else the fallback (RFC 4647 lookup)."""
        found = self._locales.get(wanted)
        if found is None:
            found = wanted.lower().replace("_", "-")
            while found and found not in self._texts:
                found = found.rpartition("-")[0]
            found = found or self._fallback
            if len(self._locales) < 10_000:
                self._locales[wanted] = found
        return found

    def render(self, locale: str, platform: str, variables: Variables) -> Content:
        """Return the content for `locale` (from `self.locale`) on a platform; raises `RenderError`."""
        return self._message(locale, platform if platform in self._snapshot.overrides else "").write(
            variables
        )

    def _message(self, locale: str, platform: str) -> _Message:
        message = self._messages.get((locale, platform))
        if message is None:
            text, where = self._texts[locale], f"texts.{locale}"
            if platform:
                text, where = _over(text, self._snapshot.overrides[platform]), f"overrides.{platform}"
            message = self._messages[(locale, platform)] = _Message(where, text)
        return message


def check(snapshot: Snapshot) -> list[RenderError]:
    """Return what is wrong with a snapshot's texts: what does not compile, or fails when nothing is known."""
    problems = []
    if not any(text.title.strip() or text.body.strip() for text in snapshot.texts.values()):
        problems.append(RenderError(f"texts.{snapshot.locale}.title", 1, "write a title or a body"))
    parts = [(f"texts.{locale}", text) for locale, text in snapshot.texts.items()]
    parts += [(f"overrides.{platform}", text) for platform, text in snapshot.overrides.items()]
    for where, text in parts:
        named = [(f"{where}.{name}", getattr(text, name)) for name in _FIELDS]
        named += [(f"{where}.data.{key}", value) for key, value in text.data.items()]
        for field, source in named:
            try:
                template = _Template(field, source)
                template.write({})
            except RenderError as error:
                problems.append(error)
            except LiquidError as error:
                problems.append(_refusal(field, error))
    return problems
