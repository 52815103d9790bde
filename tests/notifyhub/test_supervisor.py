"""The supervisor with stand-in parts, and once with the real ones."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifyhub import folder, supervisor
from notifyhub.orphans import Watcher
from notifyhub.parts import PARTS, Part

ROOT = Path(__file__).resolve().parent.parent.parent


def _until(condition, *, within: float = 15.0):
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Hub:
    """A supervisor in a process of its own, and the lines it wrote."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stderr=output, stdout=output, start_new_session=True
            )

    def events(self, event: str) -> list[dict]:
        lines = self._log.read_text().splitlines()
        documents = [json.loads(line) for line in lines if line.startswith("{")]
        return [document for document in documents if document["event"] == event]

    def pids(self) -> list[int]:
        return [document["pid"] for document in self.events("part.started")]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _until(lambda: not any(map(_lives, self.pids())))


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
GENTLE = "import time; time.sleep(60)"


@pytest.fixture
def start(tmp_path) -> Iterator:
    """Return a function that runs a supervisor over Python programs, each a part."""
    hubs = []

    def start(*programs: str, grace: float = 0.5) -> Hub:
        parts = ", ".join(
            f"Part('part{number}', (sys.executable, '-c', {program!r}))"
            for number, program in enumerate(programs)
        )
        script = (
            "import sys; from notifyhub import supervisor; from notifyhub.parts import Part; "
            f"supervisor.GRACE = {grace}; supervisor.Supervisor([{parts}]).run()"
        )
        environment = {**os.environ, "NOTIFYHUB_DATA_DIR": str(tmp_path)}
        hub = Hub([sys.executable, "-c", script], environment, tmp_path / "log")
        hubs.append(hub)
        _until(lambda: len(hub.pids()) >= len(programs))
        return hub

    yield start
    for hub in hubs:
        hub.end()


@pytest.mark.server
def test_what_dies_is_started_again_and_the_pause_grows(start):
    hub = start("raise SystemExit(3)", GENTLE)
    ended = _until(lambda: len(found := hub.events("part.ended")) >= 2 and found)
    assert [(line["part"], line["status"], line["again_in"]) for line in ended[:2]] == [
        ("part0", 3, 0.5),
        ("part0", 3, 1.0),
    ]
    assert [line["part"] for line in hub.events("part.started")].count("part1") == 1


@pytest.mark.server
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_every_part(start, signum):
    hub = start(GENTLE, GENTLE)
    hub.process.send_signal(signum)
    assert hub.process.wait(10) == 0
    assert not any(map(_lives, hub.pids()))


@pytest.mark.server
def test_a_part_that_does_not_heed_term_is_killed(start):
    hub = start(STUBBORN)
    time.sleep(0.3)  # the program must have come to ignore the signal; it has no way to say so
    hub.process.terminate()
    assert hub.process.wait(10) == 0
    assert hub.events("part.killed")
    assert not any(map(_lives, hub.pids()))


@pytest.mark.server
def test_nothing_is_left_when_the_supervisor_itself_is_killed(start):
    hub = start(GENTLE, STUBBORN)
    hub.process.kill()
    hub.process.wait()
    _until(lambda: not any(map(_lives, hub.pids())))


@pytest.mark.server
def test_a_watcher_kills_what_it_was_told_of_once_its_pipe_closes():
    watcher = Watcher()
    sleepers = [subprocess.Popen([sys.executable, "-c", GENTLE], start_new_session=True) for _ in range(2)]
    for sleeper in sleepers:
        watcher.add(sleeper.pid)
    watcher.discard(sleepers[1].pid)
    watcher.close()
    try:
        assert sleepers[0].wait(10) == -signal.SIGKILL
        assert sleepers[1].poll() is None
    finally:
        sleepers[1].kill()
        sleepers[1].wait()


def test_all_parts_run_unless_some_are_chosen(monkeypatch):
    monkeypatch.setattr(supervisor.settings, "REDIS_EMBEDDED", True)
    assert supervisor.choose(only="", without="") == PARTS
    assert supervisor.choose(only="clock,urgent", without="") == ("urgent", "clock")
    assert supervisor.choose(only="", without="web,redis") == ("urgent", "rest", "clock")


def test_a_redis_of_somebody_else_is_not_started(monkeypatch):
    monkeypatch.setattr(supervisor.settings, "REDIS_EMBEDDED", False)
    assert "redis" not in supervisor.choose(only="", without="")


@pytest.mark.parametrize(("only", "without"), [("wbe", ""), ("", "workers"), ("web", "web")])
def test_a_choice_that_cannot_be_is_refused_with_a_sentence(only, without):
    with pytest.raises(supervisor.StartError, match=r"There is no part|Nothing is left"):
        supervisor.choose(only=only, without=without)


def test_a_busy_port_is_named_with_the_setting_that_moves_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        part = Part("web", (), address=("127.0.0.1", port), port_setting="NOTIFYHUB_PORT")
        with pytest.raises(supervisor.StartError, match=rf"Port {port} on 127.0.0.1.*set NOTIFYHUB_PORT"):
            supervisor.check_ports([part])


def test_a_second_supervisor_on_the_same_data_is_told_of_the_first(monkeypatch, tmp_path):
    monkeypatch.setattr(supervisor.settings, "DATA_DIR", tmp_path)
    with (
        supervisor.locked(["web", "clock"]),
        supervisor.locked(["urgent"]),  # another part of the same hub may run beside it
        pytest.raises(supervisor.StartError, match=rf"already runs on .*process {os.getpid()}"),
        supervisor.locked(["clock"]),
    ):
        pass
    with supervisor.locked(["clock"]):
        pass


def test_data_that_is_not_prepared_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setattr(supervisor.settings, "REDIS_EMBEDDED", True)
    with pytest.raises(supervisor.StartError, match=r"manage\.py prepare"):
        supervisor.check_prepared(tmp_path)
    folder.prepare(tmp_path)
    supervisor.check_prepared(tmp_path)


def test_secrets_are_for_this_user_only_and_are_never_replaced(tmp_path):
    folder.prepare(tmp_path)
    before = {name: (tmp_path / name).read_text() for name in ("secret_key", "key_ring", "redis_password")}
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o600 for name in before)
    folder.prepare(tmp_path)
    assert before == {name: (tmp_path / name).read_text() for name in before}


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """The environment of a hub of its own, with nothing of the tests' in it."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("NOTIFYHUB_", "SECRET_KEY"))
    }
    return {
        **kept,
        "NOTIFYHUB_DATA_DIR": str(tmp_path / "data"),
        "NOTIFYHUB_PORT": str(_free_port()),
        "NOTIFYHUB_REDIS_PORT": str(_free_port()),
    }


@pytest.mark.server
def test_the_whole_hub_becomes_ready_stays_small_and_leaves_nothing(environment, tmp_path):
    from urllib.request import urlopen

    manage = [sys.executable, str(ROOT / "manage.py")]
    prepared = subprocess.run(
        [*manage, "prepare"], env=environment, capture_output=True, text=True, check=True
    )
    assert "Administrator: admin, password: " in prepared.stdout
    again = subprocess.run([*manage, "prepare"], env=environment, capture_output=True, text=True, check=True)
    assert again.stdout == ""
    hub = Hub([*manage, "serve"], environment, tmp_path / "log")
    address = f"http://127.0.0.1:{environment['NOTIFYHUB_PORT']}/-/health/ready"

    def ready() -> bool:
        assert hub.process.poll() is None, (tmp_path / "log").read_text()
        try:
            with urlopen(address, timeout=3) as answer:
                return answer.status == 200
        except OSError:
            return False

    try:
        _until(ready, within=60)
        pids = [hub.process.pid, *hub.pids()]
        assert len(pids) == 6
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
        assert pages * os.sysconf("SC_PAGE_SIZE") < 600e6
        password = (tmp_path / "data" / "redis_password").read_text().strip()
        assert not any(password in Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)

        second = subprocess.run([*manage, "serve"], env=environment, capture_output=True, text=True)
        assert second.returncode == 2
        assert "already runs" in second.stderr

        began = time.monotonic()
        hub.process.terminate()
        assert hub.process.wait(11) == 0
        assert time.monotonic() - began < 10
        assert not any(map(_lives, pids))
        assert password not in (tmp_path / "log").read_text()
    finally:
        hub.end()
