"""What one person would read on each platform, with a launch's own renderer and payloads; and what to mend."""

import difflib
import random
import re
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.utils.translation import gettext as _

from campaigns.suggestions import suggest
from delivery import rendering
from delivery.content import Content
from delivery.links import scheme_of
from delivery.models import Credential
from delivery.rendering import Renderer, RenderError
from delivery.senders.contract import Envelope
from delivery.senders.sizes import fit_and_cut
from delivery.snapshot import Named, Snapshot, Text
from delivery.thinking import PREFERENCES, links_to_preferences, variables_of
from delivery.unread import unread_of
from delivery.weighing import PROVIDERS
from devices import people
from devices.known_attributes import known_attributes
from devices.models import Application, Platform, Provider, Subscriber
from devices.person import Person
from devices.preference_links import address

LOOKED_THROUGH = 5_000
"""Ids behind a random one among which somebody of a segment is looked for."""

_RUN = str(UUID(int=0))
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


class Weighed(msgspec.Struct, frozen=True):
    """A message's bytes at a provider: `outcome` is `whole`, `shortened` (its text is cut) or `too_large`."""

    provider: str
    size: int
    limit: int
    outcome: str


class Screen(msgspec.Struct, frozen=True):
    """What a platform is told, cut as its provider's limit makes it; `buttons` are labels.

    `badge` is the number on the app's icon, None where that is left as it is.
    """

    platform: str
    title: str
    subtitle: str
    body: str
    image: str
    link: str
    sound: str
    data: dict[str, str]
    buttons: list[str]
    badge: int | None
    weights: list[Weighed]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a text (`error`) or may be (`warning`): its place (as `texts.de.title`), line, a sentence."""

    field: str
    line: int
    text: str
    level: str


class Preview(msgspec.Struct, frozen=True):
    """What somebody would read: their id (empty: nobody's attributes), the language they read, and each screen."""

    person: str
    locale: str
    screens: list[Screen]
    problems: list[Problem]


def preview(
    snapshot: Snapshot, application: Application, person: Person | None, *, locale: str = ""
) -> Preview:
    """Return what a person would read, None for somebody of whom nothing is known; `locale` reads as its speakers do.

    A text that cannot be rendered is shown as it was written, and stands among the problems.
    """
    problems = problems_of(snapshot, application)
    bad = {problem.field for problem in problems if problem.level == "error"}
    shown = _without(snapshot, bad)
    renderer = Renderer(shown)
    wanted = locale or (person.locale if person else "") or application.locale
    found = renderer.locale(wanted)
    variables: dict[str, Any] = dict(snapshot.variables)
    if person is not None:
        link = address(UUID(bytes=person.uid), time.time()) if links_to_preferences(snapshot) else ""
        variables = variables_of(person, Named(person.id), snapshot.variables, link=link)
    ours = set(Credential.objects.filter(application=application).values_list("provider", flat=True))
    envelope = Envelope(_RUN, "normal", None, [], [], tag=snapshot.tag)
    screens = []
    unread = unread_of(application, person) if person is not None and renderer.counts_unread else 1
    for platform in (Platform.ANDROID, Platform.IOS, Platform.WEB, Platform.TV):
        try:
            content = renderer.render(found, platform, variables)
        except RenderError as error:
            said = _("%(reason)s (for this person)") % {"reason": error.reason}
            problems.append(Problem(error.field, error.line, said, "error"))
            continue
        if renderer.has_auto_badge(found, platform):
            content = msgspec.structs.replace(content, badge=unread)
        screens.append(_screen(platform, content, envelope, ours))
    return Preview(person.external_id if person else "", found, screens, problems)


def problems_of(snapshot: Snapshot, application: Application) -> list[Problem]:
    """Return what is wrong with a snapshot's texts, errors first."""
    names = [one.name for one in known_attributes(application.pk)]
    allowed = application.link_schemes.split()
    found = [Problem(one.field, one.line, one.reason, "error") for one in rendering.check(snapshot)]
    found += [Problem(one.field, one.line, one.sentence, "warning") for one in suggest(snapshot, names)]
    for field, source in rendering.sources(snapshot):
        name = field.rpartition(".")[2]
        if PREFERENCES in source and not settings.PUBLIC_URL:
            said = _(
                "`%(preferences)s` is empty: whoever runs the hub has to set NOTIFYHUB_PUBLIC_URL first."
            ) % {"preferences": PREFERENCES}
            found.append(Problem(field, 1, said, "warning"))
        if name in ("title", "subtitle", "body") and (tag := _TAG.search(source)):
            line = source.count("\n", 0, tag.start()) + 1
            said = _("“%(tag)s” is shown as it stands: notifications are plain text. Take the HTML out.") % {
                "tag": tag.group()
            }
            found.append(Problem(field, line, said, "warning"))
        if name == "link" and source.startswith("http://"):
            said = _("It is not https://: browsers and phones may refuse to open it.")
            found.append(Problem(field, 1, said, "warning"))
        elif name == "link" and source and not scheme_of(source) and not source.startswith(("{{", "{%", "/")):
            said = _("It has no scheme: write https:// or the app's own, as shop://offers.")
            found.append(Problem(field, 1, said, "warning"))
        elif name == "link" and (scheme := _slip(scheme_of(source))):
            said = _("“%(scheme)s:” is no scheme that is known: did you mean https:?") % {"scheme": scheme}
            found.append(Problem(field, 1, said, "warning"))
        elif name == "link" and scheme_of(source) not in ("", "https", *(allowed or [scheme_of(source)])):
            said = _("“%(scheme)s:” is not among the application's link schemes: https, %(allowed)s.") % {
                "scheme": scheme_of(source),
                "allowed": ", ".join(allowed),
            }
            found.append(Problem(field, 1, said, "warning"))
    return found


def _slip(scheme: str) -> str:
    """Return a scheme that is probably https written wrong, empty for any other: apps have schemes of their own."""
    near = scheme not in ("http", "https") and difflib.get_close_matches(scheme, ("https",), n=1, cutoff=0.8)
    return scheme if near else ""


def somebody(application: Application, *, external_id: str = "", predicate: Any = None) -> Person | None:
    """Return a subscriber by id, else a random one that a predicate chooses, if one is near; None for nobody."""
    of_application = Subscriber.objects.filter(application=application)
    if external_id:
        key = of_application.filter(external_id=external_id).values_list("pk", flat=True).first()
        return _read(application, [key]) if key is not None else None
    lowest, highest = people.ends(application.pk)
    if not highest:
        return None
    start = random.randint(lowest, highest) - 1
    last = min(start + LOOKED_THROUGH, highest)
    near = people.page_after(application.pk, cursor=start, last=last, limit=1, predicate=predicate)
    if near:
        return near[0]
    first = people.page_after(
        application.pk,
        cursor=lowest - 1,
        last=lowest + LOOKED_THROUGH,
        limit=1,
        predicate=predicate,
    )
    return first[0] if first else None


def _read(application: Application, keys: Sequence[int]) -> Person | None:
    found = people.named(application.pk, keys)
    return found[0] if found else None


def _screen(platform: str, content: Content, envelope: Envelope, ours: set[str]) -> Screen:
    weights, cut = [], None
    # without credentials every way is shown: which one it will be is not known yet
    ways = [one for one in PROVIDERS[platform] if one in ours] or list(PROVIDERS[platform])
    for provider in ways:
        found, shorter = fit_and_cut(provider, content, envelope, platform=platform)
        weights.append(Weighed(str(Provider(provider).label), found.size, found.limit, found.outcome))
        cut = cut or shorter
    said = cut or content
    actions = content.web.get("actions") or []
    buttons = [str(one.get("title", "")) for one in actions if isinstance(one, dict)]
    return Screen(
        platform=platform,
        title=said.title,
        subtitle=said.subtitle if platform == Platform.IOS else "",
        body=said.body,
        image=said.image,
        link=said.link,
        sound=said.sound,
        data=said.data,
        buttons=buttons if platform == Platform.WEB else [],
        badge=_badge(platform, content),
        weights=weights,
    )


def _badge(platform: str, content: Content) -> int | None:
    """Return the number that a platform puts on the app's icon; its own option goes before the campaign's badge."""
    if platform == Platform.IOS:
        return content.ios.get("badge", content.badge)
    if platform == Platform.ANDROID:
        return content.android.get("notification_count", content.badge)
    return content.badge if platform == Platform.WEB else None


def _without(snapshot: Snapshot, bad: set[str]) -> Snapshot:
    """Return a snapshot whose bad templates are shown as they were written."""

    def plain(where: str, text: Text) -> Text:
        changes: dict[str, Any] = {}
        for name in ("title", "subtitle", "body", "image", "link"):
            if f"{where}.{name}" in bad:
                changes[name] = _literal(getattr(text, name))
        data = {
            key: _literal(value) if f"{where}.data.{key}" in bad else value
            for key, value in text.data.items()
        }
        return msgspec.structs.replace(text, data=data, **changes)

    return msgspec.structs.replace(
        snapshot,
        texts={locale: plain(f"texts.{locale}", text) for locale, text in snapshot.texts.items()},
        overrides={name: plain(f"overrides.{name}", text) for name, text in snapshot.overrides.items()},
    )


def _literal(source: str) -> str:
    """Return a template that writes a source as it stands."""
    return source.replace("{", "{{ '{' }}") if "{" in source else source
