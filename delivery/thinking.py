"""From people to what they are told: the verdicts and rendered texts of one page, before anything is written.

A dry run thinks the same and stops there.
"""

from collections import Counter
from collections.abc import Callable, Container, Sequence
from typing import Any
from uuid import UUID

import msgspec

from delivery import experiments
from delivery.content import Content
from delivery.log import body as bodies
from delivery.models import Run
from delivery.outgoing import Outgoing, Target
from delivery.policy import STAGES, Candidate, Circumstances, Drop, Stage, plan
from delivery.policy import jitter as jitters
from delivery.policy.caps import Reservations
from delivery.policy.quiet_hours import hours_of
from delivery.policy.verdicts import expiry_of
from delivery.positions import identity
from delivery.rendering import Renderer, RenderError, sources
from delivery.senders.apns.options import purpose_of
from delivery.snapshot import Named, Snapshot, from_json
from delivery.spread import LOCALE, PLATFORM, Spread
from devices import best_hours
from devices.frequency_caps import Cap
from devices.models import Application
from devices.person import Person
from devices.preference_links import address

Pair = tuple[Person | None, Named]
"""A person of a page (None for one deleted since), as they were named."""


Badges = Callable[[Application, Sequence[Candidate]], dict[bytes, int]]
"""From the people who are told to their badges, by subscriber's uid."""

PREFERENCES = "preferences_url"
"""What texts call the address of the person's preference centre."""
_KEPT_AS = "_prepared"


class Prepared(msgspec.Struct):
    """A run ready for its pages: snapshot decoded, templates compiled."""

    snapshot: Snapshot
    renderer: Renderer
    platforms: frozenset[str]
    purpose: str = ""
    """what a device's token has to be for (`devices.purposes`)"""
    arm: Callable[[bytes], str] | None = None
    """who is in which arm of the experiment, None without one"""
    renderers: dict[str, Renderer] = {}
    """of an experiment's variants whose text is another"""
    links: bool = False
    """whether some text names the person's preference centre"""
    counts_unread: bool = False
    """whether a badge is how much its reader has not read"""
    with_badges: dict[tuple[int, int], Content] = {}

    def badged(self, content: Content, badge: int, *, keep: bool) -> Content:
        """Return a content with a badge; `keep`: it is the renderer's own, so those with one badge are one object."""
        if not keep:
            return msgspec.structs.replace(content, badge=badge)
        key = (id(content), badge)
        found = self.with_badges.get(key)
        if found is None:
            found = self.with_badges[key] = msgspec.structs.replace(content, badge=badge)
        return found


def ready(snapshot: Snapshot) -> Prepared:
    """Return a snapshot ready for pages; raises `RenderError` for a text that does not compile."""
    renderer = Renderer(snapshot)
    prepared = Prepared(
        snapshot, renderer, frozenset(snapshot.platforms), purpose_of(renderer.options("ios"))
    )
    if snapshot.experiment is not None:
        prepared.arm = experiments.arms(snapshot.experiment)
        for variant in snapshot.experiment.variants:
            prepared.renderers[variant.key] = Renderer(experiments.told(snapshot, variant.key))
    prepared.links = links_to_preferences(snapshot)
    every = prepared.renderers.values() or [renderer]
    prepared.counts_unread = any(one.counts_unread for one in every)
    return prepared


def links_to_preferences(snapshot: Snapshot) -> bool:
    """Return whether some text of a snapshot names the person's preference centre."""
    trial = snapshot.experiment
    told = [experiments.told(snapshot, one.key) for one in trial.variants] if trial else []
    return any(PREFERENCES in source for one in (snapshot, *told) for _place, source in sources(one))


def prepare(run: Run) -> Prepared:
    """Return a run's snapshot and renderer, kept with the run, which `delivery.claims` keeps."""
    found: Prepared | None = run.__dict__.get(_KEPT_AS)
    if found is None:
        found = run.__dict__[_KEPT_AS] = ready(from_json(run.snapshot))
    return found


class Work(msgspec.Struct):
    """What a page came to before it is committed.

    `waits` counts the deferred by reason; `outgoing` is by provider and the instant it is due (epoch seconds).
    `untold` are those who hold a place in the frequency caps and are told nothing all the same.
    """

    audience: int
    stopped: list[tuple[Named, Drop]]
    deferred: dict[float, list[Named]]
    waits: Counter[str]
    entries: list[tuple[Candidate, bytes]]
    outgoing: dict[tuple[str, float], Outgoing]
    no_device: int
    untold: list[Candidate]
    spread: Spread


def overriding(run: Run) -> bool:
    """Return whether preferences and quiet hours do not hold a run: so launched, and its category allows it now."""
    return bool(
        run.snapshot.get("policy", {}).get("override")
        and run.lane == "critical"
        and run.category is not None
        and run.category.critical_overrides
    )


def circumstances_of(
    run: Run, snapshot: Snapshot, now: float, *, caps: tuple[Cap, ...], reservations: Reservations | None
) -> Circumstances:
    """Return what is true of all pages of a run at an instant.

    An audience's run began when it was started; what named people are told begins when their page is worked.
    """
    category, application = run.category, run.application
    by_audience = run.kind == Run.Kind.AUDIENCE and run.started_at is not None
    return Circumstances(
        now=now,
        expires_at=run.expires_at.timestamp() if run.expires_at else None,
        category=category.key if category else "",
        opt_in=bool(category and category.opt_in),
        policy=snapshot.policy,
        zone=application.time_zone,
        quiet=application.quiet_hours,
        started=snapshot.policy.begun
        or (run.started_at.timestamp() if by_audience and run.started_at else now),
        ttl=float(snapshot.ttl),
        overriding=overriding(run),
        best_hour=best_hours.of_application(run.application_id) if snapshot.policy.best >= 0 else -1,
        caps=caps,
        reservations=reservations,
    )


def think(
    run: Run,
    prepared: Prepared,
    pairs: Sequence[Pair],
    circumstances: Circumstances,
    stages: Sequence[Stage] = STAGES,
    *,
    since: float = 0.0,
    badges: Badges | None = None,
    outside: Container[int] = (),
) -> Work:
    """Decide and render: everything about a page that does not depend on when it is committed.

    `since` is the instant (epoch seconds) from which its messages' age is counted, 0 for what each person has.
    `badges` is asked once for the badges of all who are told, where some text has one of its own for each; without
    it that badge is 1. `outside` are those (primary keys) whom the audience does not choose.
    """
    of_run = run.uid.bytes
    candidates = [
        Candidate(person, named, identity(of_run, person.uid, named.occurrence))
        for person, named in pairs
        if person is not None and person.id not in outside
    ]
    planned = plan(candidates, circumstances, stages)
    work = Work(
        audience=len(pairs),
        stopped=[(candidate.named, drop) for candidate, drop in planned.dropped],
        deferred={until: [each.named for each in put_off] for until, put_off in planned.deferred.items()},
        waits=planned.waits,
        entries=[],
        outgoing={},
        no_device=0,
        untold=[candidate for candidate, drop in planned.dropped if drop.reason == "no_hour"],
        spread={LOCALE: {}, PLATFORM: {}},
    )
    for person, named in pairs:
        if person is None:
            work.stopped.append((named, Drop("unknown_subscriber")))
        elif person.id in outside:
            work.stopped.append((named, Drop("not_in_audience")))
    numbers: dict[bytes, int] = {}
    if badges is not None and planned.passed and prepared.counts_unread:
        numbers = badges(run.application, planned.passed)
    for candidate in planned.passed:
        _render(
            candidate,
            run,
            prepared,
            circumstances,
            work,
            since=since,
            badge=numbers.get(candidate.person.uid, 1),
        )
    return work


def variables_of(person: Person, named: Named, shared: dict[str, Any], *, link: str = "") -> dict[str, Any]:
    """Return what a text may name: attributes, `subscriber`, what the event or request brought, `event`.

    `link` leads to their preference centre; it is not theirs to overwrite.
    """
    variables = person.known()
    variables["subscriber"] = {"external_id": person.external_id, "locale": person.locale}
    if shared:
        variables.update(shared)
    if named.variables:
        variables.update(named.variables)
    if link:
        variables[PREFERENCES] = link
    return variables


def _render(
    candidate: Candidate,
    run: Run,
    prepared: Prepared,
    circumstances: Circumstances,
    work: Work,
    *,
    since: float,
    badge: int,
) -> None:
    person, renderer, arm = candidate.person, prepared.renderer, ""
    if prepared.arm is not None:
        arm = prepared.arm(person.uid)
        if arm == experiments.CONTROL:
            work.stopped.append((candidate.named, Drop("control_group")))
            work.untold.append(candidate)
            return
        renderer = prepared.renderers[arm]
    locale = renderer.locale(person.locale or run.application.locale)
    variables: dict[str, Any] = {}
    if not renderer.constant:
        link = address(UUID(bytes=person.uid), circumstances.now) if prepared.links else ""
        variables = variables_of(person, candidate.named, prepared.snapshot.variables, link=link)
    try:
        content = renderer.render(locale, "", variables)
        by_platform = {
            platform: renderer.render(locale, platform, variables) for platform in renderer.differing
        }
    except RenderError as error:
        detail = {"field": error.field, "line": error.line, "reason": error.reason[:200]}
        work.stopped.append((candidate.named, Drop("render_failed", detail)))
        work.untold.append(candidate)
        return
    body = bodies.Body(
        content=content,
        category=circumstances.category,
        sent_at=int(circumstances.now * 1000),
        by_platform=by_platform,
        platforms=prepared.snapshot.platforms,
    )
    work.entries.append((candidate, bodies.encode(body)))
    languages, platforms = work.spread[LOCALE], work.spread[PLATFORM]
    language = f"{arm}|{locale}"
    languages[language] = languages.get(language, 0) + 1
    purpose = prepared.purpose
    wanted = [device for device in person.devices if device.purpose == purpose]
    if prepared.platforms:
        wanted = [device for device in wanted if device.platform in prepared.platforms]
    if not wanted:
        work.no_device += 1
        return
    expires_at, quiet = expiry_of(candidate, circumstances), False
    hours = hours_of(person, circumstances)
    if hours is not None and (expires_at is None or hours.closes < expires_at):
        expires_at, quiet = hours.closes, True
    due = jitters.landing_of(candidate, circumstances)
    began = since or candidate.named.accepted_at or run.created_at.timestamp()
    for device in wanted:
        platform = f"{arm}|{device.platform}"
        platforms[platform] = platforms.get(platform, 0) + 1
        outgoing = work.outgoing.get((device.provider, due))
        if outgoing is None:
            outgoing = work.outgoing[(device.provider, due)] = Outgoing()
        said = by_platform.get(device.platform, content)
        if prepared.counts_unread and renderer.has_auto_badge(locale, device.platform):
            said = prepared.badged(said, badge, keep=renderer.constant)
        at = outgoing.place(said)
        outgoing.targets.append(
            Target(
                device.id,
                device.uid,
                person.id,
                person.uid,
                candidate.notification,
                device.token,
                device.sandbox,
                device.platform,
                at,
                expires_at,
                quiet,
                len(wanted),
                "",
                began,
            )
        )
