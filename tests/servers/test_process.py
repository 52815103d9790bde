"""Ports and supervised processes, with small programs in the place of servers."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.servers.keeper import descendants
from tests.servers.process import Process, ServerError, free_port


def make(folder: Path, *command: str, grace_seconds: float = 10.0, timer_slack: int = 0) -> Process:
    return Process(
        command,
        name="program",
        log=folder / "log",
        env=dict(os.environ),
        grace_seconds=grace_seconds,
        timer_slack=timer_slack,
    )


def test_a_free_port_is_free_and_below_the_ephemeral_ports() -> None:
    port = free_port("127.0.0.1", "127.0.0.2")
    assert port < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for host in ("127.0.0.1", "127.0.0.2"):
        with socket.socket() as listener:
            listener.bind((host, port))


def test_a_program_that_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="cannot run /no/such/program"):
        make(tmp_path, "/no/such/program").start()


def test_a_program_that_ends_while_it_is_awaited_is_an_error_with_its_log(tmp_path: Path) -> None:
    process = make(tmp_path, "sh", "-c", "echo the disk is on fire; exit 3")
    process.start()
    with pytest.raises(ServerError, match=r"exit status 3(.|\n)*the disk is on fire"):
        process.wait_until(lambda: False, seconds=10.0)


def test_a_program_that_is_never_ready_is_an_error_with_the_last_cause(tmp_path: Path) -> None:
    def refuse() -> bool:
        raise ConnectionRefusedError("nobody home")

    process = make(tmp_path, "sleep", "60")
    process.start()
    with pytest.raises(ServerError, match=r"not ready after 0 s \(last: .*nobody home"):
        process.wait_until(refuse, seconds=0.1)
    process.kill()


def test_the_sleeps_of_a_program_may_be_longer(tmp_path: Path) -> None:
    process = make(tmp_path, "sh", "-c", "cat /proc/self/timerslack_ns; exec sleep 60", timer_slack=2_000_000)
    process.start()
    process.wait_until(lambda: process.log.read_text() == "2000000\n", seconds=10.0)
    process.kill()


def test_kill_reaches_children_in_sessions_of_their_own(tmp_path: Path) -> None:
    process = make(tmp_path, "sh", "-c", "setsid sleep 60 & setsid sleep 60 & echo started; wait")
    process.start()
    process.wait_until(lambda: len(descendants(process.keeper_pid)) == 3, seconds=10.0)
    children = list(descendants(process.keeper_pid))
    process.kill()
    assert not process.running
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_daemons_end_with_the_program_that_left_them(tmp_path: Path) -> None:
    process = make(tmp_path, "sh", "-c", "(setsid sleep 60 & echo $! > daemon); exit 0")
    process.start()
    with pytest.raises(ServerError, match="exit status 0"):
        process.wait_until(lambda: False, seconds=10.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "daemon").read_text()), 0)


def test_orphans_that_end_are_not_left_as_zombies(tmp_path: Path) -> None:
    process = make(tmp_path, "sh", "-c", "(setsid sleep 0.1 & echo $! > orphan); exec sleep 60")
    process.start()
    process.wait_until(
        lambda: (tmp_path / "orphan").exists() and (tmp_path / "orphan").read_text() != "", seconds=10.0
    )
    orphan = Path("/proc", (tmp_path / "orphan").read_text().strip())
    process.wait_until(lambda: not orphan.exists(), seconds=10.0)
    process.kill()


def test_stop_kills_what_does_not_obey_within_the_grace(tmp_path: Path) -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    process = make(tmp_path, sys.executable, "-c", program, grace_seconds=0.2)
    process.start()
    process.wait_until(lambda: "deaf" in (tmp_path / "log").read_text(), seconds=10.0)
    process.stop()
    assert not process.running


def test_a_paused_program_can_be_stopped_in_an_orderly_way(tmp_path: Path) -> None:
    process = make(
        tmp_path, "sh", "-c", "trap 'echo bye; exit 0' TERM; echo started; while :; do sleep 0.05; done"
    )
    process.start()
    process.wait_until(lambda: "started" in (tmp_path / "log").read_text(), seconds=10.0)
    process.pause()
    assert set(descendants(process.keeper_pid).values()) - {"Z"} == {"T"}
    process.stop()
    assert "bye" in (tmp_path / "log").read_text()


def test_a_second_start_is_refused_and_one_after_a_kill_is_not(tmp_path: Path) -> None:
    process = make(tmp_path, "sleep", "60")
    process.start()
    first = process.pid
    with pytest.raises(ServerError, match="already running"):
        process.start()
    os.kill(first, signal.SIGKILL)
    process.kill()
    process.start()
    assert process.pid != first
    process.kill()
