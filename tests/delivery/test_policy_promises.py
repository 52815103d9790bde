"""What policy promises, from the launch to the provider: real pages, parcels and Redis, on the days when clocks change.

`tests/delivery/policy` says the same of the planner alone, with more examples.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from delivery import dbclock, runs
from delivery.draining import plan_one, send_one
from delivery.models import Page, Parcel, Run, WorkState
from delivery.policy import window
from delivery.policy.local_time import instant_in
from delivery.policy.quiet_hours import hours_at
from delivery.senders.contract import Verdict
from delivery.snapshot import Policy
from devices.frequency_caps import Cap
from devices.models import Application, Subscriber
from tests.delivery import world
from tests.delivery.policy.facts import changes

pytestmark = [
    pytest.mark.server,
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
HOUR = 3600.0
QUIET = ["", "22:00-08:00", "02:10-02:40", "off", "12:00-13:00"]
LATE = (0.0, 0.0, 0.5, 90.0)
"""Seconds by which a worker may come late."""
MOST_STEPS = 400

WINDOWS = [("", ""), ("", ""), ("18:00", "20:00"), ("06:00", "11:30"), ("21:00", "03:00"), ("", "17:00")]
"""Times of day in the application's zone, which is UTC here: the clock on the wall says whether it is one."""


def _policy(hours: tuple[str, str], **values: Any) -> Policy:
    return Policy(window_start=hours[0], window_end=hours[1], **values)


policies = st.builds(
    _policy,
    hours=st.sampled_from(WINDOWS),
    rate=st.sampled_from([0, 0, 2]),
    rate_per=st.just("minute"),
    capped=st.sampled_from(["drop", "defer"]),
    local_time=st.sampled_from(["", "", "07:30", "02:30", "23:50"]),
    late=st.sampled_from(["now", "tomorrow"]),
    jitter=st.sampled_from([0, 0, 600, 3600]),
)
caps = st.lists(
    st.builds(Cap, st.none(), st.integers(1, 2), st.sampled_from([1, 2, 3, 24, 30])), min_size=1, max_size=2
)


class Told:
    """A message at the provider: whose, of which run, when it was planned for and when it came."""

    def __init__(self, token: str, run: str, planned: float, at: float) -> None:
        self.token, self.run, self.planned, self.at = token, run, planned, at


class World:
    """People around a clock change, several campaigns to them, a clock that jumps to whatever is due next."""

    def __init__(self, provider: world.FakeSender, patch: pytest.MonkeyPatch, seed: int) -> None:
        self.now = 0.0
        self.told: list[Told] = []
        self.dice = random.Random(seed)
        self._provider = provider
        self._send = provider.send
        patch.setattr(dbclock, "now", lambda: self.now)
        patch.setattr(timezone, "now", lambda: datetime.fromtimestamp(self.now, UTC))
        patch.setattr(provider, "send", self._note)

    def _note(self, envelope: Any, *args: Any, **values: Any) -> Iterator[Any]:
        # what is due at once is written as due a little earlier (`dbclock.due`)
        [(due, made)] = Parcel.objects.filter(state=WorkState.CLAIMED).values_list("due_at", "created_at")
        planned = max(due, made)
        for message, result in zip(envelope.messages, self._send(envelope, *args, **values), strict=True):
            if result.verdict is Verdict.SENT:
                self.told.append(Told(message.token, envelope.run, planned, self.now))
            yield result

    def step(self, *, starts: list[float], trouble: bool) -> bool:
        """Go to whatever comes next and do what is due then; return whether there was anything."""
        due = [*starts]
        for model in (Page, Parcel):
            waiting = model._default_manager.filter(state=WorkState.WAITING)
            due += list(waiting.order_by("due_at").values_list("due_at", flat=True)[:1])
        if not due:
            return False
        self.now = max(self.now, min(due)) + self.dice.choice(LATE)
        refuse = trouble and self.dice.random() < 0.3
        self._provider.default = {"verdict": Verdict.RETRY if refuse else Verdict.SENT, "reason": "busy"}
        while plan_one("normal") or send_one("fcm", "normal"):
            pass
        return True


def in_window(policy: Policy, began: float, instant: float) -> bool:
    start, end = policy.window_start or f"{datetime.fromtimestamp(began, UTC):%H:%M}", policy.window_end
    shows = f"{datetime.fromtimestamp(instant, UTC):%H:%M}"
    if not end:
        return True
    return start <= shows < end if start < end else shows >= start or shows < end


def people_around(zone: str, own: list[str], caps: list[Cap], quiet: str) -> Application:
    app = world.application()
    app.caps = [{"category": None, "count": cap.count, "hours": cap.hours} for cap in caps]
    app.quiet_hours = quiet
    app.save()
    for number, text in enumerate(own):
        person = world.subscriber(
            app, f"s{number}", time_zone=(zone, zone, "Asia/Tokyo", "")[number % 4], quiet_hours=text
        )
        world.device(person, token=f"t{number}")
    return app


@examples(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    change=st.deferred(lambda: st.sampled_from(changes())),
    wishes=st.lists(policies, min_size=1, max_size=3),
    caps=caps,
    quiet=st.sampled_from(QUIET),
    own=st.lists(st.sampled_from(QUIET), min_size=4, max_size=4),
    ttl=st.sampled_from([HOUR, 12 * HOUR, 72 * HOUR]),
    start=st.floats(-86_400, 86_400),
    flushes=st.sets(st.integers(0, 20), max_size=3),
    trouble=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_nobody_is_told_in_quiet_hours_outside_a_window_over_a_cap_after_the_end_or_before_their_time(
    redis: Any,
    provider: world.FakeSender,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    change: tuple[str, datetime],
    wishes: list[Policy],
    caps: list[Cap],
    quiet: str,
    own: list[str],
    ttl: float,
    start: float,
    flushes: set[int],
    trouble: bool,
    seed: int,
) -> None:
    """Campaigns at once to the same people; Redis forgets now and then, a provider may refuse for a while."""
    settings.PAGE_PAUSE_MS = 0
    Application.objects.all().delete()
    redis.flushall()
    rules = list({cap.name: cap for cap in caps}.values())
    with monkeypatch.context() as patch:
        here = World(provider, patch, seed)
        begin = here.now = float(int(change[1].timestamp() + start))
        app = people_around(change[0], own, rules, quiet)
        to_come = sorted((begin + here.dice.uniform(0, 6 * HOUR), wish) for wish in wishes)
        launched: dict[str, tuple[Run, Policy, float]] = {}
        for step in range(MOST_STEPS):
            if step in flushes:
                redis.flushall()
            while to_come and to_come[0][0] <= here.now:
                policy = to_come.pop(0)[1]
                run = world.launch(app, snapshot=world.snapshot(policy=policy, ttl=int(ttl)))
                launched[str(run.uid)] = (run, policy, here.now)
            if not here.step(starts=[at for at, _ in to_come], trouble=trouble):
                break
        else:
            pytest.fail("it never comes to an end")
    people = {f"t{n}": one for n, one in enumerate(Subscriber.objects.order_by("pk"))}
    for told in here.told:
        person, (_, policy, began) = people[told.token], launched[told.run]
        zone = person.time_zone or app.time_zone
        hours = hours_at(zone, person.quiet_hours or quiet, int(told.at // 60))
        assert hours is None or hours.opens is None, "in a quiet hour"
        due = instant_in(zone, policy, app.time_zone, began) if policy.local_time else began
        assert due <= told.at, "before their time"
        opens = window.opening(policy, due, started=began, zone=app.time_zone)
        assert told.at < opens + ttl, "after the end"
        assert trouble or in_window(policy, began, told.planned), "outside the window"
    for token in people:
        planned = sorted(told.planned for told in here.told if told.token == token)
        for cap in rules if not trouble else ():
            windows = zip(planned, planned[cap.count :], strict=False)
            assert all(after - before >= cap.seconds for before, after in windows), "over a cap"
    for run, _, _ in launched.values():
        balance = runs.balances(run)
        assert balance.faults == [] and balance.progress.complete and balance.progress.audience == len(people)
