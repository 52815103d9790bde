"""A dry run: the planner and the renderer over an audience without a parcel, a reservation or a log entry.

It thinks as a page does (`delivery.thinking`): with the same facts, at the same instant, it decides
the same. A large audience is sampled at random places, and the result says so.
"""

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec

from delivery import caps, dbclock, runs
from delivery.log import body as bodies
from delivery.models import Run
from delivery.policy import Candidate, best_hour, throttle, window, zone_of
from delivery.senders.contract import Envelope
from delivery.senders.sizes import Fit, fit
from delivery.snapshot import Named, Snapshot, from_json, to_json
from delivery.thinking import Pair, Prepared, Work, circumstances_of, ready, think
from devices import counting, people, segments
from devices.models import Application, Category, Provider
from devices.person import Person
from devices.wall_time import zone_or

LOOKED_AT = 20_000
"""Audiences up to this are counted, of larger ones about as many people are looked at unless all are asked for."""
SLICES = 20
POINTS = 2
PAGE_PEOPLE = 2_500
SAMPLES = 5
WEIGHED = 400
"""People whose messages are weighed, at about as many from each page."""
CONFIDENCE = 1.96
"""Standard deviations within which the truth lies 19 times of 20."""

Key = tuple[str, str]
"""What is counted: `told`, `no_device`, `stopped` by reason, `later` by reason, `messages` by provider."""


class Weight(msgspec.Struct):
    """Payload bytes of a provider's messages: of all together (an estimate), on average and of the largest.

    Of the `weighed` ones some would be `shortened` to fit the provider's `limit` (0: it has none), some are
    `too_large`.
    """

    total: int
    mean: int
    largest: int
    limit: int
    weighed: int
    shortened: int
    too_large: int


class Sample(msgspec.Struct, frozen=True):
    """What one person of the audience would read."""

    external_id: str
    locale: str
    title: str
    body: str


class Rehearsal(msgspec.Struct, frozen=True):
    """What a launch at an instant would come to, in people; `messages` in devices.

    `audience = told + Σ stopped + Σ later`; it is itself an estimate, right to within `audience_margin` people, when
    that is not 0. When `sampled`, only `looked_at` people were looked at and every share of
    the audience is right to within `margin` (of 1), 19 times of 20. `seconds` is how long the throttle makes
    it take, 0 without one. `caps_counted` is False when nobody could say who is over a cap. `hours` are the people of a
    campaign that is told at everybody's best hour, by that hour of their own clock (`09`).
    """

    at: float
    audience: int
    looked_at: int
    sampled: bool
    margin: float
    told: int
    no_device: int
    stopped: dict[str, int]
    later: dict[str, int]
    messages: dict[str, int]
    bytes: dict[str, Weight]
    samples: list[Sample]
    seconds: float
    caps_counted: bool
    hours: dict[str, int] = {}
    audience_margin: int = 0


class _Rehearsing:
    """One dry run under way: a run that is never saved, and what was seen so far."""

    def __init__(self, run: Run, at: float) -> None:
        self.run, self.at = run, at
        self.prepared: Prepared = ready(from_json(run.snapshot))
        self.rules = caps.of_run(run)
        self.uncounted = False
        self.samples: list[Sample] = []
        self.fits: dict[str, list[Fit]] = {}
        self.envelope = Envelope(str(run.uid), run.lane, at, [], [], tag=self.prepared.snapshot.tag)

    def pages(self, places: Sequence[tuple[int, int]], limit: int) -> list[list[Person]]:
        """Return the next people behind each of several places (cursor, last)."""
        return people.pages_after(
            self.run.application_id,
            places,
            limit=limit,
            predicate=self.prepared.snapshot.predicate,
            category_id=self.run.category_id,
        )

    def tally(self, found: list[Person], weighed: int) -> Counter[Key]:
        """Return the counts of some people; weigh the messages of the first `weighed` who are told."""
        pairs: list[Pair] = [(person, Named(person.id)) for person in found]
        work = self._think(pairs)
        counts: Counter[Key] = Counter({("told", ""): len(work.entries), ("no_device", ""): work.no_device})
        counts.update(("stopped", drop.reason) for _, drop in work.stopped)
        counts.update({("later", reason): count for reason, count in work.waits.items()})
        for (provider, _), outgoing in work.outgoing.items():
            counts[("messages", provider)] += outgoing.size
        gone = {named.subscriber for named, _ in work.stopped}
        if best_hour.is_on(self.prepared.snapshot.policy):
            counts.update(self._hours([pair for pair in pairs if pair[1].subscriber not in gone]))
        self._look_at([pair for pair in pairs if pair[1].subscriber not in gone][:weighed])
        return counts

    def _hours(self, pairs: list[Pair]) -> Iterator[Key]:
        """Yield the hour, of their own clock, at which each of some people is told."""
        run = self.run
        plain = circumstances_of(run, self.prepared.snapshot, self.at, caps=(), reservations=None)
        for person, named in pairs:
            if person is not None:
                candidate = Candidate(person, named, bytes(16))
                instant = best_hour.planned(candidate, plain) or self.at
                zone = zone_or(zone_of(person, plain.zone), plain.zone)
                yield ("hour", f"{datetime.fromtimestamp(instant, UTC).astimezone(zone):%H}")

    def _think(self, pairs: list[Pair]) -> Work:
        run, prepared = self.run, self.prepared
        if self.rules:
            looking = caps.RedisCaps(run.application_id, run.application.caps, put=False)
            counted = circumstances_of(run, prepared.snapshot, self.at, caps=self.rules, reservations=looking)
            try:
                return think(run, prepared, pairs, counted)
            except caps.CapsNotReadyError:
                self.rules = ()
                self.uncounted = True
        return think(
            run,
            prepared,
            pairs,
            circumstances_of(run, prepared.snapshot, self.at, caps=(), reservations=None),
        )

    def _look_at(self, pairs: list[Pair]) -> None:
        """Render some people whenever they are to be told, for samples and for sizes."""
        plain = circumstances_of(self.run, self.prepared.snapshot, self.at, caps=(), reservations=None)
        work = think(self.run, self.prepared, pairs, plain, ())
        for candidate, body in work.entries[: SAMPLES - len(self.samples)]:
            person, content = candidate.person, bodies.decode(body).content
            self.samples.append(Sample(person.external_id, person.locale, content.title, content.body))
        for (provider, _), outgoing in work.outgoing.items():
            fits = self.fits.setdefault(provider, [])
            for target in outgoing.targets:
                content = outgoing.contents[target.content]
                identity = str(UUID(bytes=target.notification))
                if provider == Provider.SOCKET:
                    fits.append(Fit(len(msgspec.json.encode(content)), 0, "whole"))
                else:
                    fits.append(
                        fit(
                            provider,
                            content,
                            self.envelope,
                            platform=target.platform,
                            token=target.token,
                            notification=identity,
                        )
                    )


def rehearse(
    *,
    application: Application,
    snapshot: Snapshot,
    lane: str,
    category: Category | None = None,
    at: float | None = None,
    looked_at: int = LOOKED_AT,
    estimated: bool = False,
    everybody: bool = False,
    uid: UUID | None = None,
) -> Rehearsal:
    """Return what a launch at `at` (epoch seconds; None: now) would come to; its window may have it begin later.

    An audience of more than `looked_at` people is sampled, at about as many; `estimated`: how large that of a segment
    is may be an estimate too (`devices.counting`). `everybody`: count all, however many there are. Up to `PAGE_PEOPLE`
    people cost as many queries as a sample. `uid` is the run's: it decides who falls where within a jitter. Raises
    `delivery.rendering.RenderError` for a text that does not compile.
    """
    now = dbclock.now() if at is None else at
    now = window.opening(snapshot.policy, now, started=now, zone=application.time_zone)
    begun = datetime.fromtimestamp(now, UTC)
    run = Run(
        uid=uid or uuid4(),
        application=application,
        kind=Run.Kind.AUDIENCE,
        lane=lane,
        category=category,
        snapshot=to_json(snapshot),
        started_at=begun,
        expires_at=runs.ends_at(application, snapshot, begun),
    )
    rehearsing = _Rehearsing(run, now)
    audience = _audience(application, snapshot.predicate, estimated=estimated and not everybody)
    if audience.people > looked_at and not everybody:
        shares, seen, margin = _sample(rehearsing, audience, looked_at)
        found = _result(rehearsing, shares, audience.people, seen, margin, sampled=True)
        return msgspec.structs.replace(found, audience_margin=audience.margin)
    shares, seen = _count(rehearsing, audience)
    return _result(rehearsing, shares, seen, seen, 0.0, sampled=False)


class _Audience(msgspec.Struct, frozen=True):
    """How many people there are, or about; all ids of the application lie between `first` and `last`."""

    people: int
    margin: int
    first: int
    last: int


def _audience(application: Application, predicate: Any, *, estimated: bool) -> _Audience:
    ends = people.ends(application.pk)
    if estimated and predicate is not None:
        with suppress(counting.TooSlowError):
            found = counting.count(application, predicate, reachable=False)
            return _Audience(found.people, found.margin, *ends)
    return _Audience(segments.subscribers(application, predicate).count(), 0, *ends)


def _count(rehearsing: _Rehearsing, audience: _Audience) -> tuple[dict[Key, float], int]:
    """Look at everybody; return the shares, and how many people there were."""
    counts: Counter[Key] = Counter()
    seen, cursor = 0, audience.first - 1
    weighed = max(1, WEIGHED * PAGE_PEOPLE // max(PAGE_PEOPLE, audience.people))
    while True:
        (found,) = rehearsing.pages([(cursor, audience.last)], PAGE_PEOPLE)
        if found:
            counts.update(rehearsing.tally(found, weighed))
            seen, cursor = seen + len(found), found[-1].id
        if len(found) < PAGE_PEOPLE:
            return {key: count / max(seen, 1) for key, count in counts.items()}, seen


def _sample(rehearsing: _Rehearsing, audience: _Audience, wanted: int) -> tuple[dict[Key, float], int, float]:
    """Look at about `wanted` people; return the shares, how many there were, and the margin.

    The ids are cut into slices of equal width, and in each the people behind two random ids are looked at. They count
    for as many as live there: the more of them to so many ids, the more. How far the two places of a slice are
    apart says how far off the whole may be: people who came one after the other are alike, so the usual margin of as
    many people drawn one by one would be too small.
    """
    draw = random.Random(rehearsing.run.uid.int)
    width = (audience.last - audience.first) // SLICES + 1
    starts = [audience.first - 1 + number * width for number in range(SLICES)]
    places = [
        (draw.randrange(start, start + width), start + width) for start in starts for _ in range(POINTS)
    ]
    limit, weighed = wanted // len(places), WEIGHED // len(places)
    seen = 0
    slices: list[list[tuple[float, dict[Key, float]]]] = [[] for _ in starts]
    for number, found in enumerate(rehearsing.pages(places, limit)):
        if found:
            cursor, last = places[number]
            ids = (found[-1].id if len(found) == limit else last) - cursor
            counts = rehearsing.tally(found, weighed)
            seen += len(found)
            slices[number // POINTS].append(
                (len(found) / ids, {key: count / len(found) for key, count in counts.items()})
            )
    whole = sum(density for points in slices for density, _ in points)
    shares: dict[Key, float] = {}
    variance: dict[Key, float] = {}
    for points in slices:
        for key in {key for _, part in points for key in part}:
            weighted = [density * part.get(key, 0.0) / whole for density, part in points]
            shares[key] = shares.get(key, 0.0) + sum(weighted)
            apart = max(part.get(key, 0.0) for _, part in points) - min(
                part.get(key, 0.0) for _, part in points
            )
            weight = sum(density for density, _ in points) / whole
            variance[key] = variance.get(key, 0.0) + (weight * apart / 2) ** 2
    spread = max((v for key, v in variance.items() if key[0] not in ("messages", "hour")), default=0.0)
    return shares, seen, CONFIDENCE * math.sqrt(max(spread, 0.25 / max(seen, 1)))


def _result(
    rehearsing: _Rehearsing,
    shares: dict[Key, float],
    total: int,
    looked_at: int,
    margin: float,
    *,
    sampled: bool,
) -> Rehearsal:
    whole = total if sampled else looked_at
    counts = {key: round(share * whole) for key, share in shares.items()}

    def by(kind: str) -> dict[str, int]:
        return {name: count for (of, name), count in sorted(counts.items()) if of == kind and count}

    messages, later, stopped = by("messages"), by("later"), by("stopped")
    # rounding must not break the balance of people
    told = max(0, whole - sum(later.values()) - sum(stopped.values()))
    weights = {}
    for provider, fits in sorted(rehearsing.fits.items()):
        sizes = [one.size for one in fits]
        mean = round(sum(sizes) / len(sizes))
        ends = Counter(one.outcome for one in fits)
        weights[provider] = Weight(
            total=mean * messages.get(provider, 0),
            mean=mean,
            largest=max(sizes),
            limit=min(one.limit for one in fits),
            weighed=len(fits),
            shortened=ends["shortened"],
            too_large=ends["too_large"],
        )
    run = rehearsing.run
    return Rehearsal(
        at=rehearsing.at,
        audience=whole,
        looked_at=looked_at,
        sampled=sampled,
        margin=round(margin, 4),
        told=told,
        no_device=counts.get(("no_device", ""), 0),
        stopped=stopped,
        later=later,
        messages=messages,
        bytes=weights,
        samples=rehearsing.samples,
        seconds=throttle.duration(
            rehearsing.prepared.snapshot.policy,
            told + sum(later.values()),
            started=rehearsing.at,
            zone=run.application.time_zone,
        ),
        caps_counted=not rehearsing.uncounted,
        hours=by("hour"),
    )
