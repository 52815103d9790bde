"""100,000 entries through a random plan of faults: every device ends with exactly its entries, and no node grows."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from tests.delivery.node.device import Socket
from tests.delivery.node.site import ROOT, Site, WebProcess

pytestmark = pytest.mark.server

ENTRIES = int(os.environ.get("NOTIFYHUB_PLAN_ENTRIES", "100000"))
SEED = os.environ.get("NOTIFYHUB_PLAN_SEED", "")
DEVICES = {"normal": 240, "relayed": 40, "tabs": 30, "no_ack": 25, "no_read": 15, "pocket": 50}
"""How many devices of a manner; `tabs` have two connections with one token, a `pocket`'s whole process is stopped."""
BIG, BIG_EVERY = 30_000, 10
"""Bytes of the text that those who do not read are told now and then, so that what waits for them is too much."""
SKEW = 1.8
"""Seconds by which two nodes' clocks are ahead and behind; two is the promise."""
LATEST = 9.0
"""An entry appears up to so many seconds after its place in the log; ten is the promise."""
PATIENCE = 120.0
FLAT = 1.2
"""The node that lives through all of it may be so much larger at the end than at a third of it, and `SPARE_KB` more."""
SPARE_KB = 20_000


class Crew:
    """Devices in a process of their own (`tests.delivery.node.crowd`)."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.delivery.node.crowd"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.system = psutil.Process(self._process.pid)

    def ask(self, verb: str, **given: Any) -> Any:
        """Have the crowd do something and return what it answers."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"verb": verb, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the crowd is gone"
        answer = json.loads(line)
        assert "failed" not in answer, answer["failed"]
        return answer["done"]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Plan:
    """The faults, one after another in an order that is drawn; each is mended some pages later, or mends itself."""

    def __init__(self, site: Site, crowd: Crew, pocket: Crew, draw: random.Random) -> None:
        self.site, self.crowd, self.pocket, self.draw = site, crowd, pocket, draw
        self.struck: Counter[str] = Counter()
        self.flooded: list[tuple[str, list[str]]] = []
        self.rock = site.web()
        [device] = site.devices(1)
        with Socket(self.rock.url, device["token"]) as socket:
            self.rock_name = str(socket.hello["node"])
        self.others = [site.web("daphne", skew=SKEW), site.web("uvicorn", skew=-SKEW)]
        self._servers = ("daphne", "uvicorn")
        self._skews = (SKEW, -SKEW)
        self._mend: Callable[[], None] | None = None
        self._page = self._mend_at = 0
        self._kinds: list[Callable[[], None]] = []

    @property
    def ports(self) -> list[int]:
        return [web.port for web in (self.rock, *self.others)]

    def turn(self, page: int, *, every: int) -> None:
        """Before each page: mend what is to be mended, and strike when it is time."""
        self._page = page
        if self._mend is not None and page >= self._mend_at:
            self.mend()
        if self._mend is None and page % every == every - 1:
            if not self._kinds:
                self._kinds = [
                    self.kill_node,
                    self.stop_pocket,
                    self.half_open,
                    self.empty_redis,
                    self.restart_redis,
                    self.fill_stream,
                    self.kill_clients,
                    self.close_late,
                    self.cut,
                ]
                self.draw.shuffle(self._kinds)
            fault = self._kinds.pop()
            self.struck[fault.__name__] += 1
            fault()

    def mend(self) -> None:
        """Mend what is broken."""
        if self._mend is not None:
            mend, self._mend = self._mend, None
            mend()

    def _later(self, pages: int, mend: Callable[[], None]) -> None:
        self._mend, self._mend_at = mend, self._page + pages

    def kill_node(self) -> None:
        at = self.draw.randrange(2)
        port = self.others[at].port
        self.others[at].process.kill()

        def back() -> None:
            self.others[at] = self.site.web(self._servers[at], port=port, skew=self._skews[at], wait=False)

        self._later(self.draw.randint(1, 4), back)

    def stop_pocket(self) -> None:
        self.pocket.system.suspend()
        self._later(self.draw.randint(4, 12), self.pocket.system.resume)

    def half_open(self) -> None:
        self.crowd.ask("freeze")

    def empty_redis(self) -> None:
        self._redis("flushall")

    def restart_redis(self) -> None:
        self.site.redis.kill()
        self._later(self.draw.randint(1, 3), self.site.redis.start)

    def fill_stream(self) -> None:
        """Stop the rock, tell one of its devices more often than its stream takes, and let it go on."""
        self.rock.process.pause()
        try:
            told = self.site.ask("flood", node=self.rock_name, count=320)
        finally:
            self.rock.process.resume()
        self.flooded.append((told["device"], told["ids"]))

    def kill_clients(self) -> None:
        with closing(redis.Redis.from_url(self.site.redis.url)) as client:
            for one in client.client_list():
                if one["cmd"] == "xread":
                    client.client_kill_filter(_id=one["id"])

    def close_late(self) -> None:
        self.crowd.ask("abandon", share=self.draw.uniform(0.1, 0.5))

    def cut(self) -> None:
        self.crowd.ask("cut", share=self.draw.uniform(0.1, 0.5))

    def _redis(self, command: str) -> None:
        with closing(redis.Redis.from_url(self.site.redis.url)) as client:
            client.execute_command(command)


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    """A site of three nodes, two of whose clocks go wrong, and a crowd of devices in two processes."""
    seed = SEED or str(random.randrange(10**9))
    with ExitStack() as stack:
        made = stack.enter_context(Site(tmp_path))
        crowd = stack.enter_context(closing(Crew(tmp_path / "crowd.log")))
        pocket = stack.enter_context(closing(Crew(tmp_path / "pocket.log")))
        print(f"seed {seed}: NOTIFYHUB_PLAN_SEED={seed} repeats this plan")
        yield Plan(made, crowd, pocket, random.Random(seed))


def test_every_device_ends_with_exactly_its_entries(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    site, draw = plan.site, plan.draw
    devices = {kind: site.devices(count) for kind, count in DEVICES.items()}
    everybody = [one for some in devices.values() for one in some]
    wanted: dict[str, list[str]] = {one["uid"]: [] for one in everybody}
    for kind, some in devices.items():
        crew = plan.pocket if kind == "pocket" else plan.crowd
        manner = kind if kind in ("no_ack", "no_read") else "normal"
        for _ in range(2 if kind == "tabs" else 1):
            crew.ask("open", devices=some, manner=manner, ports=plan.ports, relay=kind == "relayed")
    _until(
        lambda: (
            plan.crowd.ask("greeted") + plan.pocket.ask("greeted") == sum(DEVICES.values()) + DEVICES["tabs"]
        )
    )

    pages = max(30, ENTRIES // len(everybody))
    early = 0.0
    for page in range(pages):
        plan.turn(page, every=max(3, pages // 30))
        _tell(site, everybody, wanted, lane=draw.choice(["critical", "normal"]), late=draw.uniform(0, LATEST))
        if page % BIG_EVERY == 0:
            _tell(site, devices["no_read"], wanted, lane="normal", body="x" * BIG)
        if page == pages // 3:
            early = _resident_kb(plan.rock)
    plan.mend()
    for uid, ids in plan.flooded:
        if uid:
            wanted[uid] += ids
    late = _resident_kb(plan.rock)

    path = tmp_path / "wanted.json"
    path.write_text(json.dumps(wanted))
    crews = (plan.crowd, plan.pocket)
    for crew in crews:
        crew.ask("read")
    # what nobody would give them any more shows as missing; what follows tells those who are connected to go on
    _until(lambda: sum(crew.ask("missing", path=str(path)) for crew in crews) == 0, fails=False)
    reports = [crew.ask("report", path=str(path)) for crew in crews]
    again = plan.crowd.ask("replay", devices=everybody, ports=[plan.rock.port], path=str(path))
    figures = site.ask("nodes")
    with capsys.disabled():
        print(
            f"\n{sum(map(len, wanted.values())):,} entries for {len(everybody)} devices, "
            f"{dict(plan.struck)}; {sum(one['repeats'] for one in reports):,} came again; closed with "
            f"{[one['codes'] for one in reports]}; given up "
            f"{sum(one.get('given_up', 0) for one in figures.values()):g}, read again "
            f"{sum(one.get('caught_up', 0) for one in figures.values()):g}; a node of {early:,.0f} KB at a third, "
            f"{late:,.0f} KB at the end; {time.monotonic() - began:.0f} s"
        )
    assert [fault for one in reports for fault in one["faults"]] == []
    assert again == []
    assert late < early * FLAT + SPARE_KB
    assert len(plan.struck) == 9, "not every kind of fault has struck"


def _tell(site: Site, devices: list[dict[str, str]], wanted: dict[str, list[str]], **given: Any) -> None:
    ids = site.tell(devices, "told", **given)["ids"]
    for device, notification in zip(devices, ids, strict=True):
        wanted[device["uid"]].append(notification)


def _until(ready: Callable[[], bool], *, fails: bool = True) -> None:
    until = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > until:
            assert not fails, "waited too long"
            return
        time.sleep(0.2)


def _resident_kb(web: WebProcess) -> float:
    return float(psutil.Process(web.pid).memory_info().rss / 1024)
