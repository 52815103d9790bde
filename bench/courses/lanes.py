"""Lanes: critical events by a timetable, alone and while campaigns to everybody follow each other in the bulk lane."""

import statistics
import threading
import time
from collections.abc import Callable
from uuid import uuid4

from bench import feed
from bench.course import Course, opened, tell
from bench.courses.ruled import Ruled
from bench.courses.turns import by_part
from bench.population import Population
from bench.report import Ages, LanesReport
from bench.stand import Stand, StandError
from delivery import runs
from delivery.models import Run
from devices.models import Device, Provider
from notifyhub.demo import watch

THREADS = 16
"""Connections of the service that sends critical events; each then has most of a second for one."""
WARM = 40
SECONDS_ALONE = 20.0
"""How long the bulk lane's rate is measured without critical events, before them and again after them."""
TRIES = 3
"""Runs of the second application, alone and during the first one's."""
HEAD_START = 5.0
"""Seconds that a bulk run goes on before anything is measured beside it."""
PATIENCE_FOR_LATE = 30.0
"""Seconds after the last event in which one that is missing may still arrive."""


def drive(course: Course) -> LanesReport:
    """Run a course and return its report."""
    with opened(course) as (stand, people, second, _):
        assert second is not None
        for each in (people, second):
            stand.warm_up(each)
        critical = Ruled(people, lane="critical", name="alarm")
        subjects = _subjects(people, course.events)
        _stretch(stand, critical, dict(list(subjects.items())[:WARM]), "Warm-up", course.rate)
        alone = [_second(stand, second, f"Second alone {number}") for number in range(1, TRIES + 1)]
        idle = _stretch(stand, critical, subjects, "Idle", course.rate)
        bulk = Bulk(stand, people)
        with bulk:
            time.sleep(HEAD_START)
            rates = [bulk.rate(lambda: time.sleep(SECONDS_ALONE))]
            with stand.profiled("Bulk and critical"):
                results: list[Ages] = []
                rate_busy = bulk.rate(
                    lambda: results.append(_stretch(stand, critical, subjects, "During bulk", course.rate))
                )
            rates.append(bulk.rate(lambda: time.sleep(SECONDS_ALONE)))
            busy_second = [
                _second(stand, second, f"Second during bulk {number}") for number in range(1, TRIES + 1)
            ]
        rate_alone = statistics.mean(rates)
        tell(f"bulk: {rate_alone:,.0f}/s alone, {rate_busy:,.0f}/s during events, {len(bulk.runs)} runs")
        faults = bulk.settle()
        critical.settle()
        faults += [fault for run in critical.runs() for fault in stand.faults(run)]
    return LanesReport(
        size=course.size,
        online=len(people.online) + len(second.online),
        connect_seconds=stand.connect_seconds,
        idle=idle,
        busy=results[0],
        bulk_rate_alone=rate_alone,
        bulk_rate_busy=rate_busy,
        bulk_runs=len(bulk.runs),
        second_alone=alone,
        second_busy=busy_second,
        faults=faults,
    )


class Bulk:
    """Campaigns to everybody in the bulk lane, one after another, for as long as the context lasts.

    The next is launched when less than a half of one is left, so that there is always something to do.
    """

    def __init__(self, stand: Stand, people: Population) -> None:
        self.runs: list[Run] = []
        self._stand = stand
        self._people = people
        self._arrived: dict[int, int] = {}
        self._over = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._keep_busy, daemon=True)

    def __enter__(self) -> "Bulk":
        self._launch()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def arrived(self) -> int:
        """Return how many messages of these runs have arrived."""
        for run in list(self.runs):
            if self._arrived.get(run.pk, 0) < self._people.reachable:
                counts = self._stand.fleet.arrived(run=str(run.uid))
                self._arrived[run.pk] = counts["total"]["distinct_messages"]
        return sum(self._arrived.values())

    def rate(self, meanwhile: Callable[[], object]) -> float:
        """Return how many messages of these runs arrive a second while `meanwhile` is done."""
        before, began = self.arrived(), time.monotonic()
        meanwhile()
        return (self.arrived() - before) / (time.monotonic() - began)

    def settle(self) -> list[str]:
        """Wait until the last run is done; return what does not balance, a sentence each."""
        if self._error is not None:
            raise StandError(f"the bulk runs stopped: {self._error}")
        faults = []
        for run in self.runs:
            watch.until_complete(run, expected=self._people.devices, within=600.0)
            faults += self._stand.faults(run)
        return faults

    def _launch(self) -> None:
        name = f"Bulk {len(self.runs) + 1}"
        campaign = self._stand.prepare(self._people, name, lane="bulk")
        self.runs.append(self._stand.launch(self._people, campaign))

    def _keep_busy(self) -> None:
        try:
            while not self._over.wait(0.2):
                if len(self.runs) * self._people.reachable - self.arrived() < self._people.reachable / 2:
                    self._launch()
        except Exception as error:  # told by `settle`, in the course's own thread
            self._error = error


def _subjects(people: Population, count: int) -> dict[str, tuple[str, str]]:
    """Return address at the fleet → (external id, transport) of `count` devices: half hold a WebSocket, half have FCM.

    They take turns, and every device is another person's.
    """
    names = dict(
        Device.objects.filter(uid__in=[uid for _, uid in people.online[: count // 2]]).values_list(
            "uid", "subscriber__external_id"
        )
    )
    phones = Device.objects.filter(application=people.application, provider=Provider.FCM).order_by("pk")
    sockets = [(str(uid), name, "socket") for uid, name in names.items()]
    fcm = [
        (token, name, "fcm")
        for token, name in phones.values_list("token", "subscriber__external_id")[: count // 2]
    ]
    turns = [each for pair in zip(sockets, fcm, strict=True) for each in pair]
    return {address: (name, transport) for address, name, transport in turns}


def _stretch(
    stand: Stand, ruled: Ruled, subjects: dict[str, tuple[str, str]], title: str, rate: float
) -> Ages:
    """Send an event about each subject by the timetable; return how old each was at its device."""
    series = str(uuid4())
    documents = [
        feed.event(number, kind=ruled.kind, subject=name, series=series, data=ruled.data(number))
        for number, (name, _) in enumerate(subjects.values())
    ]
    before = _count(stand, ruled)
    with stand.metered() as used:
        begin = time.time() + 1.0
        shots = ruled.service(THREADS).follow(documents, rate=rate, begin=begin)
        arrivals = _arrivals(stand, ruled, list(subjects), since=begin, at_least=before + len(subjects))
    seconds: dict[str, list[float]] = {"socket": [], "fcm": []}
    for at, (address, (_, transport)) in enumerate(subjects.items()):
        if address in arrivals:
            seconds[transport].append(arrivals[address] - shots[at].intended)
    ages = Ages(
        expected=len(subjects),
        arrived=len(arrivals),
        seconds=seconds,
        answered=[shot.answered - shot.intended for shot in shots],
        late=[shot.started - shot.intended for shot in shots],
        cpu=dict(used.ours),
        server_cpu=dict(used.servers),
    )
    tell(
        f"{title}: {ages.arrived:,} of {ages.expected:,} critical events arrived; CPU ms for an event: "
        f"{by_part(ages.cpu, ages.expected * 1000)}, servers {by_part(ages.server_cpu, ages.expected * 1000)}"
    )
    return ages


def _count(stand: Stand, ruled: Ruled) -> int:
    """Return how many messages of these events' runs have arrived by now."""
    return sum(stand.fleet.arrived(run=str(run.uid))["total"]["distinct_messages"] for run in ruled.runs())


def _arrivals(
    stand: Stand, ruled: Ruled, addresses: list[str], *, since: float, at_least: int
) -> dict[str, float]:
    """Return when each device first had a message of these events' runs after `since` (epoch seconds).

    Waits until `at_least` have arrived, or no more are to be expected.
    """
    until = time.monotonic() + PATIENCE_FOR_LATE
    while _count(stand, ruled) < at_least and time.monotonic() < until:
        time.sleep(0.5)
    firsts: dict[str, float] = {}
    for run in ruled.runs():
        # asked once, at the end: so long an answer keeps the fleet busy for a moment
        for address, messages in stand.fleet.arrived_for(addresses, run=str(run.uid)).items():
            for message in messages:
                if (at := message["first_at"] / 1000) > since:
                    firsts[address] = min(at, firsts.get(address, at))
    return firsts


def _second(stand: Stand, people: Population, name: str) -> float:
    """Run a campaign of the second application in the bulk lane; return the seconds until all of it has arrived."""
    campaign = stand.prepare(people, name, lane="bulk")
    began = time.time()
    run = stand.launch(people, campaign)
    if not stand.arrive(run, people.reachable):
        raise StandError(f"{name}: not all of {people.reachable:,} arrived: {runs.progress(run)}")
    last = stand.fleet.arrived(run=str(run.uid))["total"]["last_at"] / 1000
    tell(f"{name}: {last - began:.2f} s")
    return round(last - began, 3)
