"""Which of the hub's processes goes first when cores are scarce."""

import os
from collections.abc import Callable


def give_way(niceness: int) -> Callable[[], None] | None:
    """Return what a child must call between fork and exec to stand behind others; None for a niceness of 0.

    Linux gives each session a share of its own (`sched(7)`, autogroup), within which a process's niceness is alone:
    there the session has to be nice as well.
    """
    if not niceness:
        return None
    path, wanted = "/proc/self/autogroup", b"%d" % niceness

    def stand_behind() -> None:
        try:
            os.nice(niceness)
            group = os.open(path, os.O_WRONLY)
            os.write(group, wanted)
            os.close(group)
        except OSError:
            pass  # no such file, or more such changes a second than the kernel allows: it runs as the others do

    return stand_behind
