"""Plays a plan and prints what came of it: `python -m tests.pipeline.push.play FOLDER SEED`, in a hub's environment."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import notifyhub  # noqa: F401  (prepares imports that apns2 and daphne need)
from tests.delivery.node.device import FAT, FATS
from tests.pipeline.push.plan import Fault, Launch, draw
from tests.servers.redis import Redis

ENTRIES = 100_000
PEOPLE, TWICE = 360, 40
"""Subscribers, and how many of them have a second device."""
CROWDS = 4
"""The last one's devices come through the cables."""
MORE = 5
"""So many more launches to everybody: whom a share means is drawn."""
PER_SECOND = 2.6
"""Runs launched a second, so that the plan is longer than a cursor stands back."""
PATIENCE = 180.0
"""Seconds within which everything is as it should be once the plan is over."""
WARM = 0.35
"""The share of the plan after which a node's memory is to stay where it is."""
RETURNS = 8
"""How often everybody comes back once more in the end; a node that keeps what is dead of them grows by that."""
LOOK_EVERY = 0.25


def tell(text: str) -> None:
    """Write a line for people."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Play:
    """One plan on one hub."""

    def __init__(self, hub: Any, crowds: list[Any], people: Any, redis: Redis, seed: int) -> None:
        self.hub, self.crowds, self.people, self.redis = hub, crowds, people, redis
        self.steps = draw(seed, rounds=ENTRIES / (PEOPLE + TWICE) + MORE)
        self.chance = random.Random(seed)
        self.owed: dict[str, dict[str, str]] = {name: {} for name in people.subscriber_of}
        self.launched = 0
        self.struck: Counter[str] = Counter()
        self.memory: dict[str, float] = {}
        self._pending: list[Callable[[], bool]] = []
        self._names: dict[float, str] = {}
        self._asleep: set[Any] = set()

    # -- the plan

    def run(self) -> None:
        """Take the steps; a run each fraction of a second, faults as they come."""
        began = time.monotonic()
        launches = 0
        for step in self.steps:
            if isinstance(step, Launch):
                launches += 1
                while (early := began + launches / PER_SECOND - time.monotonic()) > 0:
                    time.sleep(min(early, LOOK_EVERY))
                    self._tend()
                self._launch(step)
                if self.entries >= ENTRIES * WARM and not self.memory:
                    self.memory["warm"] = self._megabytes()
            else:
                ends = " ends" if step.ends else ""
                tell(f"{self.entries:>7,} {self._megabytes()} MB {step.name}{ends} ({step.whom:.2f})")
                getattr(self, f"_{step.name}")(step)
                self.struck[step.name] += not step.ends

    @property
    def entries(self) -> int:
        """How many entries devices are owed by now."""
        return sum(len(owed) for owed in self.owed.values())

    def _tend(self) -> None:
        self._pending = [look for look in self._pending if not look()]

    def _launch(self, step: Launch) -> None:
        subscribers = self.people.subscribers
        if step.share < 1.0:
            subscribers = self.chance.sample(subscribers, int(step.share * len(subscribers)))
        self._tell_them(subscribers, step.lane, "x" * self.chance.randrange(600), everybody=step.share == 1.0)

    def _tell_them(self, subscribers: list[Any], lane: str, body: str, *, everybody: bool = False) -> None:
        from delivery import positions, runs
        from delivery.snapshot import Named, Policy, Snapshot, Text

        self.launched += 1
        run = runs.launch(
            application=self.people.application,
            origin=f"plan:{self.launched}",
            title=str(self.launched),
            lane=lane,
            snapshot=Snapshot(
                texts={"en": Text(title=str(self.launched), body=body)}, policy=Policy(transactional=True)
            ),
            people=None if everybody else [Named(one.pk) for one in subscribers],
        )
        for one in subscribers:
            identity = str(positions.notification_id(run.uid, one.uid))
            for name in self.people.devices_of[one.pk]:
                self.owed[name][identity] = str(run.uid)

    # -- the faults

    def _kill_node(self, fault: Fault) -> None:
        node = self.hub.nodes[int(fault.whom * (len(self.hub.nodes) - 1))]  # never the last one
        node.process.kill()
        node.start()
        self._asleep.discard(node)

    def _stop_clients(self, fault: Fault) -> None:
        crowd = self.crowds[int(fault.whom * CROWDS)]
        crowd.stop(stopped=not fault.ends)

    def _half_open(self, fault: Fault) -> None:
        for node in self.hub.nodes:
            if fault.ends:
                node.cable.let_go()
            else:
                node.cable.cut()

    def _redis_restarted(self, fault: Fault) -> None:
        self.redis.kill()
        self.redis.start()

    def _redis_emptied(self, fault: Fault) -> None:
        _redis().flushall()

    def _stream_full(self, fault: Fault) -> None:
        from delivery import presence

        node = self.hub.nodes[int(fault.whom * len(self.hub.nodes))]
        if fault.ends:
            name, until = self._names.pop(fault.whom, ""), time.monotonic() + 5.0
            if not name:
                return

            def over() -> bool:
                missed = _asked(lambda: _redis().exists(presence.missed(name)))
                if missed:
                    self.struck["stream_was_full"] += 1
                elif time.monotonic() < until:
                    return False
                node.process.resume()
                self._asleep.discard(node)
                return True

            self._pending.append(over)
            return
        if node in self._asleep:
            return  # its stream is full
        node.until_ready()
        name = self._names[fault.whom] = node.name(self.people.token)
        node.process.pause()
        self._asleep.add(node)
        order = presence.encode(presence.Marked([], [], "read"))  # for nobody
        with _redis().pipeline(transaction=False) as pipe:
            for urgent, bound in presence.STREAM_ENTRIES.items():
                stream = presence.stream(name, urgent=urgent)
                for _ in range(bound - 1):
                    pipe.xadd(stream, {"d": order})
                pipe.expire(stream, presence.PRESENCE_SECONDS)
            _asked(pipe.execute)

    def _receivers_killed(self, fault: Fault) -> None:
        redis = _redis()
        for one in redis.client_list():
            if one["cmd"] == "xread":
                redis.client_kill_filter(_id=one["id"])

    def _never_reads(self, fault: Fault) -> None:
        """One device reads nothing until a node has given it up; it is sent what it takes for that."""
        from delivery import presence

        names = self.people.plain
        name = names[int(fault.whom * len(names))]
        crowd = self.crowds[self.people.crowd_of[name]]
        before = {node: one.get("given_up", 0.0) for node, one in presence.read_figures().items()}
        if not crowd.stopped:
            crowd.ask("deaf", name=name)
        until, hearing = 0.0, False

        def tell() -> None:
            nonlocal until, hearing
            for _ in range(FATS):
                self._tell_them([self.people.subscriber_of[name]], "high", FAT)
            until, hearing = time.monotonic() + 20.0, False

        def given_up() -> bool:
            nonlocal hearing
            if crowd.stopped:
                return False
            figures = _asked(presence.read_figures) or {}
            if any(one.get("given_up", 0.0) > before.get(node, 0.0) for node, one in figures.items()):
                crowd.ask("hear", name=name)
                self.struck["given_up"] += 1
                return True
            if hearing:
                if crowd.ask("have")[name] >= len(self.owed[name]):
                    crowd.ask("deaf", name=name)
                    tell()
            elif time.monotonic() > until:
                # its node was killed, or it was away when it was told: what waits in the log is too much for no
                # socket, as each page waits for the one before to be acknowledged; so it reads that, and is told again
                crowd.ask("hear", name=name)
                hearing = True
            return False

        tell()
        self._pending.append(given_up)

    def _late_close(self, fault: Fault) -> None:
        self._each_crowd("move", share=fault.whom / 2)

    def _tunnel(self, fault: Fault) -> None:
        self._each_crowd("tunnel", share=fault.whom)

    def _slow_worker(self, fault: Fault) -> None:
        process = self.hub.workers[int(fault.whom * len(self.hub.workers))]
        if fault.ends:
            process.resume()
        else:
            process.pause()

    def _each_crowd(self, order: str, **more: Any) -> None:
        for crowd in self.crowds:
            if not crowd.stopped:
                crowd.ask(order, **more)

    # -- the end

    def settle(self) -> float:
        """Wait until every run is over and no device has less than it is owed; return how long that took."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            self._tend()
            if not self._pending and self._runs_are_over() and self._behind() == 0:
                break
            time.sleep(LOOK_EVERY)
        return time.monotonic() - began

    def _runs_are_over(self) -> bool:
        from delivery.models import Page, Parcel, WorkState

        states = [WorkState.WAITING, WorkState.CLAIMED]
        return not any(model._default_manager.filter(state__in=states).exists() for model in (Page, Parcel))

    def _behind(self) -> int:
        have = {name: count for crowd in self.crowds for name, count in crowd.ask("have").items()}
        return sum(len(owed) > have[name] for name, owed in self.owed.items())

    def report(self) -> dict[str, Any]:
        """Return what devices hold against what they are owed, and the rest of what was promised."""
        from django.db.models import Sum

        from delivery import presence
        from delivery.models import Parcel

        self.memory["end"] = self._megabytes()
        for _ in range(RETURNS):
            self._each_crowd("tunnel", share=1.0)
            self._each_crowd("greeted")
        self.memory["after_returns"] = self._megabytes()
        devices = {name: one for crowd in self.crowds for name, one in crowd.ask("report").items()}
        missing = {name: len(owed.keys() - devices[name]["held"].keys()) for name, owed in self.owed.items()}
        strange = {
            name: len(dict(one["held"].items() - self.owed[name].items())) for name, one in devices.items()
        }
        outcomes = Parcel.objects.aggregate(sent=Sum("sent"), stored=Sum("stored"), size=Sum("size"))
        for crowd in self.crowds:
            crowd.ask("leave")
        for node in self.hub.nodes:
            node.cable.let_go()
        left = self._until_empty()
        streams = [
            int(_redis().xlen(presence.stream(node, urgent=urgent)))
            for node in presence.nodes()
            for urgent in (True, False)
        ]
        return {
            "entries": self.entries,
            "devices": len(devices),
            "runs": self.launched,
            "struck": dict(self.struck),
            "missing": {name: count for name, count in missing.items() if count},
            "strange": {name: count for name, count in strange.items() if count},
            "wrong": [f"{name}: {what}" for name, one in devices.items() for what in one["wrong"]],
            "repeats": sum(one["repeats"] for one in devices.values()),
            "pending": len(self._pending),
            "outcomes": outcomes,
            "memory": self.memory,
            "left": left,
            "in_streams": sum(streams),
        }

    def _until_empty(self) -> dict[str, float]:
        """Return what the nodes still hold once every device is gone and they had the time to say so."""
        from delivery import presence

        until = time.monotonic() + 20.0
        while True:
            figures = presence.read_figures().values()
            left = {what: sum(one.get(what, 0.0) for one in figures) for what in ("lines", "devices")}
            if not any(left.values()) or time.monotonic() > until:
                return left
            time.sleep(LOOK_EVERY)

    def _megabytes(self) -> float:
        import psutil

        return round(psutil.Process(self.hub.nodes[-1].process.pid).memory_info().rss / 2**20, 1)


def _redis() -> Any:
    from delivery.redis_client import client

    return client()


def _asked(question: Callable[[], Any]) -> Any:
    """Return what Redis answers, None while it is away."""
    from redis.exceptions import RedisError

    try:
        return question()
    except RedisError:
        return None


class People:
    """The application's subscribers and their devices, by name, with the manner of each and its crowd."""

    def __init__(self) -> None:
        from devices import tokens
        from devices.models import Application, Device, Platform, Provider, Subscriber

        self.application = Application.objects.create(slug="plan", name="Plan")
        self.subscribers = Subscriber.objects.bulk_create(
            Subscriber(application=self.application, external_id=f"s{at}", locale="en")
            for at in range(PEOPLE)
        )
        owners = self.subscribers + self.subscribers[:TWICE]
        devices = Device.objects.bulk_create(
            Device(
                application=self.application, subscriber=one, provider=Provider.SOCKET, platform=Platform.WEB
            )
            for one in owners
        )
        key = tokens.signing_key(self.application)
        self.subscriber_of: dict[str, Subscriber] = {}
        self.devices_of: dict[int, list[str]] = {}
        self.crowd_of: dict[str, int] = {}
        self.plain: list[str] = []
        self.told: list[list[dict[str, str]]] = [[] for _ in range(CROWDS)]
        for at, (owner, device) in enumerate(zip(owners, devices, strict=True)):
            manner = {0: "mute", 1: "tabs", 2: "forgetful"}.get(at // CROWDS % 10, "plain")
            name, crowd = str(at), at % CROWDS
            token = tokens.mint(owner, device, key=key)
            self.subscriber_of[name] = owner
            self.devices_of.setdefault(owner.pk, []).append(name)
            self.crowd_of[name] = crowd
            self.told[crowd].append({"name": name, "token": token, "manner": manner})
            if manner == "plain" and crowd < CROWDS - 1:
                self.plain.append(name)
        outsider = Subscriber.objects.create(
            application=self.application, external_id="outsider", consent=False
        )
        self.token = tokens.mint(
            outsider,
            Device.objects.create(
                application=self.application,
                subscriber=outsider,
                provider=Provider.SOCKET,
                platform=Platform.TV,
            ),
            key=key,
        )


def main(folder: Path, seed: int) -> None:
    """Start everything, play, and print the report as the last line."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(folder))
        os.environ.update(redis.environment(), NOTIFYHUB_BROKER_URL=redis.url)
        os.environ["NOTIFYHUB_LOG_LEVEL"] = "WARNING"
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
        subprocess.run([sys.executable, "manage.py", "prepare"], check=True, stdout=sys.stderr)
        import django

        django.setup()
        from tests.pipeline.push import hub as hubs

        people = People()
        way = chance.choice((1, -1))
        # as far apart as `positions.CLOCK_SKEW` allows, from each other and from the database
        skews = [1.9 * way, 0.0, round(chance.uniform(0, 1.9), 1) * way]
        tell(f"seed {seed}, clocks {skews}")
        hub = stack.enter_context(hubs.Hub(folder, skews))
        crowds = []
        for number, devices in enumerate(people.told):
            last = number == CROWDS - 1
            ports = [node.cable.port if last else node.port for node in hub.nodes]
            urls = [f"ws://127.0.0.1:{port}/ws/v1/" for port in ports]
            crowd = hubs.Crowd(folder, number, {"urls": urls, "devices": devices, "seed": seed + number})
            stack.callback(crowd.close)
            crowds.append(crowd)
        for crowd in crowds:
            crowd.ask("greeted")
        play = Play(hub, crowds, people, redis, seed)
        began = time.monotonic()
        play.run()
        seconds = time.monotonic() - began
        settled = play.settle()
        report = {**play.report(), "seconds": round(seconds, 1), "settled": round(settled, 1)}
    (folder / "report.json").write_text(json.dumps(report, indent=1))
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
