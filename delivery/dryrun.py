"""A dry run: the planner and the renderer over an audience without a parcel, a reservation or a log entry.

It thinks as a page does (`delivery.thinking`): with the same facts, at the same instant, it decides
the same. A large audience is sampled at random places, and the result says so.
"""

import math
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
from django.db.models import Count, F, Max, Min

from delivery import caps, dbclock, runs
from delivery.log import body as bodies
from delivery.models import Run
from delivery.policy import Candidate, best_hour, throttle, window, zone_of
from delivery.senders.contract import Envelope
from delivery.senders.sizes import Fit, fit
from delivery.snapshot import Named, Snapshot, from_json, to_json
from delivery.thinking import Pair, Prepared, Work, circumstances_of, ready, think
from devices import people, segments
from devices.models import Application, Category, Provider
from devices.person import Person
from devices.wall_time import zone_or

COUNTED_PEOPLE = 20_000
"""Audiences up to this are counted, larger ones sampled unless all are asked for."""
SLICES = 20
POINTS = 2
PAGE_PEOPLE = 500
SAMPLES = 5
WEIGHED = 20
"""People of a page whose messages are weighed."""
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

    `audience = told + Σ stopped + Σ later`. When `sampled`, only `looked_at` people were looked at and every share of
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

    def page(self, *, cursor: int, last: int) -> list[Person]:
        return people.page_after(
            self.run.application_id,
            cursor=cursor,
            last=last,
            limit=PAGE_PEOPLE,
            predicate=self.prepared.snapshot.predicate,
            category_id=self.run.category_id,
        )

    def tally(self, found: list[Person]) -> Counter[Key]:
        """Return the counts of some people."""
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
        self._look_at([pair for pair in pairs if pair[1].subscriber not in gone][:WEIGHED])
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
    everybody: bool = False,
    uid: UUID | None = None,
) -> Rehearsal:
    """Return what a launch at `at` (epoch seconds; None: now) would come to; its window may have it begin later.

    `everybody`: count all, however many there are. `uid` is the run's: it decides who falls where
    within a jitter. Raises `delivery.rendering.RenderError` for a text that does not compile.
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
    strata = list(_strata(application, snapshot.predicate))
    total = sum(stratum.people for stratum in strata)
    sampled = total > COUNTED_PEOPLE and not everybody
    shares, looked_at, margin = (_sample if sampled else _count)(rehearsing, strata, total)
    return _result(rehearsing, shares, total, looked_at, margin, sampled)


class _Stratum(msgspec.Struct, frozen=True):
    """A slice of an audience by subscriber id: behind `after`, up to `last`."""

    after: int
    last: int
    people: int


def _strata(application: Application, predicate: Any) -> Iterator[_Stratum]:
    """Yield the audience in slices of equal width that hold somebody, counted in one query."""
    audience = segments.subscribers(application, predicate).order_by()
    ends = audience.aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is None:
        return
    first, width = ends["first"], (ends["last"] - ends["first"]) // SLICES + 1
    rows = audience.annotate(slice=(F("pk") - first) / width).values("slice").annotate(people=Count("pk"))
    for number, count in rows.order_by("slice").values_list("slice", "people"):
        after = first - 1 + int(number) * width
        yield _Stratum(after, after + width, count)


def _count(
    rehearsing: _Rehearsing, strata: list[_Stratum], total: int
) -> tuple[dict[Key, float], int, float]:
    """Look at everybody."""
    counts: Counter[Key] = Counter()
    looked_at = 0
    for stratum in strata:
        cursor = stratum.after
        while found := rehearsing.page(cursor=cursor, last=stratum.last):
            counts.update(rehearsing.tally(found))
            looked_at += len(found)
            cursor = found[-1].id
            if len(found) < PAGE_PEOPLE:
                break
    return {key: count / max(looked_at, 1) for key, count in counts.items()}, looked_at, 0.0


def _sample(
    rehearsing: _Rehearsing, strata: list[_Stratum], total: int
) -> tuple[dict[Key, float], int, float]:
    """Look at the people behind two random places of each slice.

    How far the two are apart says how far off the whole may be: people who came one after the other
    are alike, so the usual margin of as many people drawn one by one would be too small.
    """
    draw = random.Random(rehearsing.run.uid.int)
    shares: dict[Key, float] = {}
    variance: dict[Key, float] = {}
    looked_at = 0
    for stratum in strata:
        weight = stratum.people / total
        drawn = []
        for _ in range(POINTS):
            found = rehearsing.page(
                cursor=draw.randrange(stratum.after, stratum.last), last=stratum.last
            ) or rehearsing.page(cursor=stratum.after, last=stratum.last)
            if not found:
                continue  # they left while we looked
            looked_at += len(found)
            drawn.append({key: n / len(found) for key, n in rehearsing.tally(found).items()})
        for key in {key for part in drawn for key in part}:
            parts = [part.get(key, 0.0) for part in drawn]
            shares[key] = shares.get(key, 0.0) + weight * sum(parts) / len(parts)
            variance[key] = variance.get(key, 0.0) + (weight * (max(parts) - min(parts)) / 2) ** 2
    spread = max((v for key, v in variance.items() if key[0] not in ("messages", "hour")), default=0.0)
    least = 0.25 / max(looked_at, 1)
    return shares, looked_at, CONFIDENCE * math.sqrt(max(spread, least))


def _result(
    rehearsing: _Rehearsing,
    shares: dict[Key, float],
    total: int,
    looked_at: int,
    margin: float,
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
