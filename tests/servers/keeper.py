"""The parent of one server process: a program that sees to it that the server never outlives the test process.

Run as `python -I -S keeper.py OWNER_PID REPORT_FD STOP_SIGNAL GRACE_SECONDS TIMER_SLACK USER DISCARD COMMAND…`.
TIMER_SLACK (nanoseconds by which the server's sleeps may be longer) is 0 for the system's own; USER (the account to
run as) and DISCARD (a folder) may be empty. The server's process id goes to REPORT_FD. Then:

- the server ends, however: everything it left behind is killed, and the keeper exits as the server did
  (128 + n for signal n);
- SIGTERM: the server gets STOP_SIGNAL and, after GRACE_SECONDS, SIGKILL;
- the owner dies, even by SIGKILL: the same after at most three seconds, and the folder DISCARD is removed;
- the keeper itself is killed: the kernel kills the server (PR_SET_PDEATHSIG).

Only the standard library is used: it starts in a few hundredths of a second, and in no virtual environment.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29
PR_SET_CHILD_SUBREAPER = 36

_MAX_GRACE_WITHOUT_OWNER = 3.0


def descendants(root: int) -> dict[int, str]:
    """Return every living process below `root`, itself not included, as process id → state letter (proc(5)).

    A process group would not do: PostgreSQL's backends and the Erlang helpers lead groups of their own.
    """
    parents: dict[int, int] = {}
    states: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            # A process may end while it is read: it is then no longer there.
            with contextlib.suppress(OSError):
                # The name stands in brackets and may itself hold spaces and brackets.
                state, parent = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[:2]
                parents[int(entry)], states[int(entry)] = int(parent), state
    below: dict[int, str] = {}
    found = {root}
    while found:
        found = {pid for pid, parent in parents.items() if parent in found and pid not in below}
        below.update((pid, states[pid]) for pid in found)
    return {pid: state for pid, state in below.items() if state not in "ZX"}


def send_to_all(root: int, number: int) -> None:
    """Send one signal to every process below `root`."""
    for pid in descendants(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_all() -> None:
    """Kill and reap whatever is left below this process."""
    while True:
        send_to_all(os.getpid(), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def reap_orphans(server_pid: int) -> None:
    """Reap ended processes that became children of this one; the server's own end is for its Popen to see."""
    while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if ended.si_pid == server_pid:
            return
        os.waitpid(ended.si_pid, 0)


def main() -> int:
    """Keep one server as the module says; return its exit status."""
    owner_pid, report, stop_signal = (int(text) for text in sys.argv[1:4])
    grace, slack, user, discard = float(sys.argv[4]), int(sys.argv[5]), sys.argv[6], sys.argv[7]
    command = sys.argv[8:]
    libc = ctypes.CDLL(None, use_errno=True)
    # Daemons the server starts (epmd is one) become this process's children when their parent ends.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    owner = os.pidfd_open(owner_pid)
    if os.getppid() != owner_pid:
        return 1  # the owner died before it could be watched
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_stop.append(number))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno())

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if slack:
            libc.prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(slack))

    try:
        # preexec_fn runs after the change of user, which would clear the death signal; this process has one thread.
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=prepare,
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
        )
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr, flush=True)
        return 127
    os.write(report, f"{server.pid}\n".encode())
    os.close(report)

    poll = select.poll()
    poll.register(owner, select.POLLIN)
    poll.register(wake, select.POLLIN)
    deadline: float | None = None
    owner_died = False
    while server.poll() is None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        ready = [handle for handle, _ in poll.poll(None if left is None else left * 1000)]
        if wake.fileno() in ready:
            wake.recv(64)
            reap_orphans(server.pid)
        if owner in ready:
            poll.unregister(owner)
            owner_died = True
            grace = min(grace, _MAX_GRACE_WITHOUT_OWNER)
        if (asked_to_stop or owner_died) and deadline is None:
            deadline = time.monotonic() + grace
            server.send_signal(stop_signal)
            send_to_all(os.getpid(), signal.SIGCONT)  # a paused server could not obey
    status: int | None = server.poll()
    end_all()
    if owner_died and discard:
        shutil.rmtree(discard, ignore_errors=True)
    if status is None:
        return 128 + signal.SIGKILL
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
