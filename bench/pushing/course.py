"""The rounds of `bench push`, in a process with the hub's settings: `python -m bench.pushing.course COURSE.json`."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

SETTLE = 1.0
"""Seconds after the last message that still count: devices acknowledge, and receipts are written."""
IDLE_SECONDS = 5.0
SERVER_CPU, REST_CPU = 0, 1
"""The server under test has a core of its own; the load client, Redis and the publisher share the other one."""
PACED_BATCH = 20


class Course(msgspec.Struct, frozen=True):
    """What to run; `programs` by name: the load client and Centrifugo (empty: without it)."""

    servers: list[str]
    connections: list[int]
    messages: int
    rate: int
    rounds: int
    herd: int
    programs: dict[str, str]
    redis: int
    out: str
    profile: str = ""


class Turn(msgspec.Struct, frozen=True):
    """One server in one round. CPU in microseconds a message, by process; milliseconds a connection to connect."""

    server: str
    version: str
    connections: int
    connect_seconds: float
    connect_cpu_ms: float
    idle_kb: float
    idle_cpu_percent: float
    unicast_us: dict[str, float]
    unicast_per_second: float
    broadcast_us: dict[str, float]
    broadcast_per_second: float
    paced_us: dict[str, float]
    paced_p50_ms: float
    paced_p99_ms: float
    undelivered: int


class Herd(msgspec.Struct, frozen=True):
    """A node is killed; its devices come back to another with their cursors, and are owed one message each."""

    server: str
    connections: int
    seconds_until_all_are_back: float
    seconds_until_all_have_it: float
    logs_read_per_second: float
    logs_read_per_second_at_most: int
    undelivered: int


class Report(msgspec.Struct, frozen=True):
    """What a course came to."""

    turns: list[Turn]
    herds: list[Herd]


def tell(text: str) -> None:
    """Write a line for people."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def cpu(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kb(pid: int) -> float:
    """Return how much memory of a process is resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def run(course: Course) -> Report:
    """Run all rounds, then the herds."""
    from bench.pushing import servers

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for the load client, too
    people = servers.populate(max([*course.connections, course.herd]))
    os.sched_setaffinity(0, {REST_CPU})
    os.sched_setaffinity(course.redis, {REST_CPU})
    turns = []
    for connections in course.connections:
        for _ in range(course.rounds):
            for name in course.servers:
                with _started(name, people, course) as server:
                    turns.append(_turn(server, course, connections))
    herds = []
    if course.herd:
        herds = [_herd(name, people, course) for name in course.servers if name != "centrifugo"]
    return Report(turns, herds)


@contextmanager
def _started(name: str, people: Any, course: Course) -> Iterator[Any]:
    from bench.pushing import programs, servers

    folder = Path(course.out).parent
    if name == "centrifugo":
        with servers.centrifugo(
            Path(course.programs["centrifugo"]), folder, cpu=SERVER_CPU, version=programs.CENTRIFUGO
        ) as server:
            yield server
    else:
        with servers.ours(people, folder, kind=name, redis=course.redis, cpu=SERVER_CPU) as ours:
            yield ours


def _turn(server: Any, course: Course, connections: int) -> Turn:
    from bench.pushing.load import Load

    folder = Path(course.out).parent
    draw = random.Random(1)
    with Load(Path(course.programs["load"]), server.config(connections), folder, cpu=REST_CPU) as load:
        time.sleep(1.0)
        empty, used = resident_kb(server.pid), cpu(server.pid)
        with _profiled(course, server, "connect"):
            opened = load.tell("open", connections)
            time.sleep(SETTLE)
        server.check(connections)
        connect_cpu = cpu(server.pid) - used
        used = cpu(server.pid)
        time.sleep(IDLE_SECONDS)
        idle_cpu = cpu(server.pid) - used
        idle_kb = (resident_kb(server.pid) - empty) / connections

        def phase(name: str, count: int, work: Any) -> tuple[dict[str, float], float, dict[str, Any]]:
            load.tell("reset")
            before = {name: cpu(pid) for name, pid in server.processes.items()}
            began = time.monotonic()
            with _profiled(course, server, name):
                publisher = work()
                got = load.tell("wait", count)
                seconds = time.monotonic() - began
                time.sleep(SETTLE)
            spent = {name: cpu(pid) - before[name] for name, pid in server.processes.items()}
            if publisher:
                spent["publisher"] = publisher
            return {name: round(one / count * 1e6, 1) for name, one in spent.items()}, count / seconds, got

        def batches(count: int, size: int) -> list[list[int]]:
            return [[draw.randrange(connections) for _ in range(size)] for _ in range(count // size)]

        phase("warm", connections, lambda: server.broadcast(load, 1, connections))
        single = batches(course.messages, 500)
        unicast, unicast_rate, one = phase("unicast", len(single) * 500, lambda: server.unicast(load, single))
        times = max(1, course.messages // connections)
        broadcast, broadcast_rate, two = phase(
            "broadcast", times * connections, lambda: server.broadcast(load, times, connections)
        )
        paced = batches(course.rate * 5, PACED_BATCH)
        pace, _, three = phase(
            "paced", len(paced) * PACED_BATCH, lambda: server.pace(load, paced, course.rate / PACED_BATCH)
        )
    missing = (len(single) * 500 - one["received"]) + (times * connections - two["received"])
    turn = Turn(
        server=server.name,
        version=server.version,
        connections=connections,
        connect_seconds=round(opened["seconds"], 2),
        connect_cpu_ms=round(connect_cpu / connections * 1000, 3),
        idle_kb=round(idle_kb, 1),
        idle_cpu_percent=round(idle_cpu / IDLE_SECONDS * 100, 1),
        unicast_us=unicast,
        unicast_per_second=round(unicast_rate),
        broadcast_us=broadcast,
        broadcast_per_second=round(broadcast_rate),
        paced_us=pace,
        paced_p50_ms=round(three["p50_ms"], 2),
        paced_p99_ms=round(three["p99_ms"], 2),
        undelivered=missing + len(paced) * PACED_BATCH - three["received"],
    )
    tell(
        f"{turn.server}, {connections:,} connections: unicast {unicast}, broadcast {broadcast}, paced {pace} "
        f"p50 {turn.paced_p50_ms} p99 {turn.paced_p99_ms} ms; a connection: {turn.idle_kb} KB, {turn.connect_cpu_ms} ms"
    )
    return turn


@contextmanager
def _profiled(course: Course, server: Any, phase: str) -> Iterator[None]:
    """Have py-spy look at a server of ours and at the publisher, where the course wants to know."""
    if not course.profile or server.name == "centrifugo":
        yield
        return
    spies = []
    for part, pid in (("node", server.pid), ("publisher", os.getpid())):
        out = Path(course.profile) / f"{server.name}-{phase}-{part}.raw"
        command = [str(Path(sys.executable).with_name("py-spy")), "record", "--nonblocking", "--rate", "500"]
        command += ["--format", "raw", "--duration", "3600", "--output", str(out), "--pid", str(pid)]
        spies.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    try:
        yield
    finally:
        for spy in spies:
            spy.send_signal(signal.SIGINT)
            spy.wait(30)


def _herd(name: str, people: Any, course: Course) -> Herd:
    """Kill a node with everybody on it; one message for each is logged, and another node takes the port over."""
    from django.conf import settings

    from bench.pushing import servers
    from bench.pushing.load import Load
    from tests.servers.process import free_port

    folder, port, connections = Path(course.out).parent, free_port(), course.herd
    with ExitStack() as stack:
        first = stack.enter_context(
            servers.ours(people, folder, kind=name, redis=course.redis, cpu=SERVER_CPU, port=port)
        )
        load = stack.enter_context(
            Load(Path(course.programs["load"]), first.config(connections), folder, cpu=REST_CPU)
        )
        load.tell("open", connections)
        first.broadcast(load, 1, connections)
        load.tell("wait", connections)
        load.tell("reset")
        first.kill()
        first.store(connections)
        with servers.ours(people, folder, kind=name, redis=course.redis, cpu=SERVER_CPU, port=port):
            began = time.monotonic()
            back = load.tell("cut")
            all_back = time.monotonic() - began
            got = load.tell("wait", connections)
            all_have = time.monotonic() - began
            time.sleep(4.0)  # a sign of life carries the figures
            read = servers.figures().get("logs_read", 0.0)
    herd = Herd(
        server=name,
        connections=connections,
        seconds_until_all_are_back=round(all_back, 2),
        seconds_until_all_have_it=round(all_have, 2),
        logs_read_per_second=round(read / all_have, 1),
        logs_read_per_second_at_most=settings.REPLAYS_PER_SECOND,
        undelivered=connections - min(connections, got["received"]) + back["failed"],
    )
    tell(f"{name}: herd of {connections:,}: {herd}")
    return herd


def main(path: str) -> int:
    """Run the course of a file."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    import django

    import notifyhub  # noqa: F401  (prepares imports that apns2 needs)

    django.setup()
    from bench.baseline import BaselineError
    from bench.pushing.load import LoadError

    course = msgspec.json.decode(Path(path).read_bytes(), type=Course)
    try:
        report = run(course)
    except (LoadError, BaselineError) as error:
        tell(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    Path(course.out).write_bytes(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
