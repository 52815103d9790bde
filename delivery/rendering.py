"""From a snapshot's Liquid texts to what one person reads on one platform.

Texts are Liquid (python-liquid) with limits on loops, memory and output, without autoescape: a
notification is plain text. A template of text and plain variables alone is joined directly,
which costs a fiftieth of a render; whatever depends on nobody is rendered once.
"""

import difflib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from liquid import Environment
from liquid.exceptions import LiquidError

from delivery.content import Content
from delivery.links import RUNS_CODE, scheme_of
from delivery.snapshot import AUTO_BADGE, Snapshot, Text, best_locale
from delivery.straight import Straight, Variables, straight, writer
from devices.words import gettext as _

TITLE_LIMIT = 1_000
BODY_LIMIT = 4_000


class _Environment(Environment):
    loop_iteration_limit = 1_000
    local_namespace_limit = 100_000
    output_stream_limit = 16_384
    context_depth_limit = 10
    block_nesting_limit = 10


_liquid = _Environment()

Writer = Callable[[Variables], str]


class RenderError(Exception):
    """A text that cannot be rendered: `field` (as `texts.de.title`), `line` (from 1) and `reason`."""

    def __init__(self, field: str, line: int, reason: str) -> None:
        self.field, self.line, self.reason = field, line, reason
        super().__init__(
            _("%(field)s, line %(line)s: %(reason)s") % {"field": field, "line": line, "reason": reason}
        )


def _refusal(field: str, error: LiquidError) -> RenderError:
    context = error.context() if error.token is not None else None
    return RenderError(field, context[0] if context else 1, str(error.message or error))


class _Template:
    """One field's template: a writer from variables to text, and whether it depends on any."""

    __slots__ = ("constant", "field", "straight", "write")

    def __init__(self, field: str, source: str) -> None:
        self.field = field
        if "{" not in source:
            self.constant: str | None = source
            self.straight: Straight | None = Straight((source,))
            self.write: Writer = lambda _: source
            return
        try:
            template = _liquid.from_string(source)
            unknown = next((name for name in template.analyze().filters if name not in _liquid.filters), None)
        except LiquidError as error:
            raise _refusal(field, error) from None
        if unknown:
            line = next(at for at, text in enumerate(source.splitlines(), 1) if unknown in text)
            near = difflib.get_close_matches(unknown, _liquid.filters, n=1, cutoff=0.7)
            said = _("unknown filter '%(unknown)s'") % {"unknown": unknown}
            if near:
                said = _("unknown filter '%(unknown)s': did you mean `%(meant)s`?") % {
                    "unknown": unknown,
                    "meant": near[0],
                }
            raise RenderError(field, line, said)
        self.straight = straight(list(template.nodes))
        self.constant = self.straight.texts[0] if self.straight and not self.straight.paths else None
        if self.straight is not None:
            alone = writer([self.straight])
            self.write = lambda variables: alone(variables)[0]
        else:
            self.write = lambda variables: template.render(**variables)


_FIELDS = ("title", "body", "subtitle", "image", "link")


class _Message:
    """The templates of one locale on one platform."""

    def __init__(self, where: str, text: Text) -> None:
        self._fields = [_Template(f"{where}.{name}", getattr(text, name)) for name in _FIELDS]
        self._data = {key: _Template(f"{where}.data.{key}", value) for key, value in text.data.items()}
        self.text = text
        link = self._fields[-1]
        # what it begins with may be anything where a person's or an event's value stands first
        self._any_scheme = link.constant is None and not scheme_of(text.link)
        plain = [each.straight for each in self._fields if each.straight is not None]
        self._at_once = writer(plain) if len(plain) == len(_FIELDS) else None
        varies = any(template.constant is None for template in self._data.values())
        self._constant_data = None if varies else {key: one.constant or "" for key, one in self._data.items()}
        fixed = not varies and all(each.constant is not None for each in self._fields)
        self.constant = self._write({}) if fixed else None

    def write(self, variables: Variables) -> Content:
        return self.constant or self._write(variables)

    def _write(self, variables: Variables) -> Content:
        data = self._constant_data
        try:
            if self._at_once is not None:
                title, body, subtitle, image, link = self._at_once(variables)
            else:
                title, body, subtitle, image, link = [each.write(variables) for each in self._fields]
            if data is None:
                data = {key: template.write(variables) for key, template in self._data.items()}
        except LiquidError:
            raise self._blame(variables) from None
        if self._any_scheme and (scheme := scheme_of(link)) in RUNS_CODE:
            said = _("the link must not begin with %(scheme)s:") % {"scheme": scheme}
            raise RenderError(self._fields[-1].field, 1, said)
        text = self.text
        return Content(
            title=title[:TITLE_LIMIT],
            body=body[:BODY_LIMIT],
            subtitle=subtitle[:TITLE_LIMIT],
            image=image,
            link=link,
            data=data,
            sound=text.sound,
            badge=int(text.badge) if text.badge.isdecimal() else None,
            android=text.android,
            ios=text.ios,
            web=text.web,
        )

    def _blame(self, variables: Variables) -> RenderError:
        """Return what is wrong with the first field that cannot be written."""
        for template in [*self._fields, *self._data.values()]:
            try:
                template.write(variables)
            except LiquidError as error:
                return _refusal(template.field, error)
        raise AssertionError("a template failed once and not again")


def over(below: Text, above: Text) -> Text:
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
        self._texts = {locale.lower(): over(fallback, text) for locale, text in snapshot.texts.items()}
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

    @property
    def counts_unread(self) -> bool:
        """Whether some text's badge is how much its reader has not read."""
        return any(message.text.badge == AUTO_BADGE for message in self._messages.values())

    def has_auto_badge(self, locale: str, platform: str) -> bool:
        """Return whether the badge of `locale` (from `self.locale`) on a platform is how much is unread."""
        message = self._message(locale, platform if platform in self._snapshot.overrides else "")
        return message.text.badge == AUTO_BADGE

    def locale(self, wanted: str) -> str:
        """Return the best locale there is: `pt-BR`, else `pt`, else the fallback (RFC 4647 lookup)."""
        found = self._locales.get(wanted)
        if found is None:
            found = best_locale(wanted, self._texts, self._fallback)
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
                text, where = over(text, self._snapshot.overrides[platform]), f"overrides.{platform}"
            message = self._messages[(locale, platform)] = _Message(where, text)
        return message


def check(snapshot: Snapshot) -> list[RenderError]:
    """Return what is wrong with a snapshot's texts: what does not compile, or fails when nothing is known."""
    problems = []
    if not any(text.title.strip() or text.body.strip() for text in snapshot.texts.values()):
        problems.append(RenderError(f"texts.{snapshot.locale}.title", 1, _("write a title or a body")))
    for field, source in sources(snapshot):
        try:
            template = _Template(field, source)
            template.write({})
        except RenderError as error:
            problems.append(error)
        except LiquidError as error:
            problems.append(_refusal(field, error))
    return problems


def sources(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield the place (as `texts.de.title`) and the template of every text of a snapshot."""
    parts = [(f"texts.{locale}", text) for locale, text in snapshot.texts.items()]
    parts += [(f"overrides.{platform}", text) for platform, text in snapshot.overrides.items()]
    for where, text in parts:
        yield from ((f"{where}.{name}", getattr(text, name)) for name in _FIELDS)
        yield from ((f"{where}.data.{key}", value) for key, value in text.data.items())


def names_in(source: str) -> list[tuple[str, int]]:
    """Return the variables that a template reads (as `address.city`) with their lines; none if it does not compile."""
    if "{" not in source:
        return []
    try:
        found = _liquid.from_string(source).analyze().globals
    except LiquidError:
        return []
    return [
        (".".join(str(part) for part in one.segments), source.count("\n", 0, one.span.index) + 1)
        for several in found.values()
        for one in several
    ]
