"""That no process of the hub outlives the one that started it, however that one ends.

On Linux the kernel kills a child whose parent has died. Elsewhere a small watcher process holds
the end of a pipe: when the supervisor is gone the pipe closes, and the watcher kills what it was told of.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
WATCHER = (
    "import os, signal, sys\n"
    "groups = set()\n"
    "for line in sys.stdin:\n"
    "    (groups.add if line[0] == '+' else groups.discard)(int(line[1:]))\n"
    "for group in groups:\n"
    "    try: os.killpg(group, signal.SIGKILL)\n"
    "    except OSError: pass\n"
)


def die_with_parent() -> Callable[[], None] | None:
    """Return what a child must call between fork and exec; None where the system cannot do it (not Linux).

    Only the thread that starts the child counts as its parent: start children from the main thread.
    """
    if not sys.platform.startswith("linux"):
        return None
    parent = os.getpid()
    # Loaded before the fork: in the child only the call itself is safe.
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return set_signal


class Watcher:
    """Kills process groups when this process has ended; for systems without `die_with_parent`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", WATCHER], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def add(self, group: int) -> None:
        """Watch over a process group."""
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """Forget a process group: it has ended, and its number may be given to another."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the watcher, and with it whatever it still watches over."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin:
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except BrokenPipeError:
                # The watcher was killed; nothing watches then, which is no reason to stop.
                pass
