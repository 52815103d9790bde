"""What is not urgent stands behind the rest."""

import subprocess
import sys
from pathlib import Path

from notifyhub import parts
from notifyhub.priority import give_way

GROUP = Path("/proc/self/autogroup")
LOOK = f"import os; print(os.nice(0)); print(open('{GROUP}').read().split()[-1])"


def test_a_process_that_gives_way_does_so_alone_and_in_its_session() -> None:
    seen = subprocess.run(
        [sys.executable, "-S", "-c", LOOK],
        preexec_fn=give_way(7),
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.split() == ["7", "7"]


def test_only_the_worker_of_the_other_lanes_gives_way() -> None:
    made = [parts._web(), parts._urgent(), parts._rest(), parts._clock()]
    assert [part.name for part in made if part.gives_way] == ["rest"]
    assert give_way(0) is None
