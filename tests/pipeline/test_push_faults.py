"""A hundred thousand entries to sockets through a random plan of faults: every device ends with exactly its own."""

import os
import secrets
from pathlib import Path

import pytest

from tests.pipeline.production import Site, new_database
from tests.servers.postgres import Postgres
from tests.servers.process import free_port

pytestmark = pytest.mark.server

PATIENCE = 420.0
"""Seconds after which it is given up."""
MORE_MEGABYTES = 25.0
"""By how much a node's memory may be off where it was when a third was sent: connections remember what they wrote."""
MORE_AFTER_RETURNS = 8.0
"""And after eight times that everybody came back: a node that kept the dead connections would have 25 MB more."""


def test_every_device_ends_with_exactly_its_entries_after_a_random_plan_of_faults(
    tmp_path: Path, postgres_server: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("NOTIFYHUB_PLAN_SEED") or secrets.randbelow(1_000_000))
    with capsys.disabled():
        print(f"\n  NOTIFYHUB_PLAN_SEED={seed}")
    site = Site(
        tmp_path,
        {
            "NOTIFYHUB_DATA_DIR": str(tmp_path),
            "NOTIFYHUB_PORT": str(free_port()),
            "DATABASE_URL": new_database(postgres_server, f"plan_{seed}"),
        },
    )
    report = site.report("-m", "tests.pipeline.push.play", str(tmp_path), str(seed), within=PATIENCE)
    struck, memory = report["struck"], report["memory"]
    with capsys.disabled():
        print(
            f"  {report['entries']:,} entries for {report['devices']} devices in {report['seconds']} s, all there "
            f"{report['settled']} s later, {report['repeats']:,} came again; a node's memory "
            f"{' → '.join(map(str, memory.values()))} MB; {struck}"
        )
    assert report["entries"] >= 100_000
    assert report["missing"] == {}, "entries that a device did not get"
    assert report["strange"] == {}, "entries that were another's, or nobody's"
    assert report["wrong"] == [], "replays out of order, sequences with gaps, refusals"
    assert report["pending"] == 0
    assert struck["given_up"] == struck["never_reads"], "who never reads is told to come back"
    assert memory["end"] - memory["warm"] < MORE_MEGABYTES
    assert memory["after_returns"] - memory["end"] < MORE_AFTER_RETURNS
    assert report["left"] == {"lines": 0, "devices": 0}, "what a node holds when everybody is gone"
    assert report["in_streams"] == 0
    assert _unexpected(tmp_path) == [], "the database was there all the time"


def _unexpected(folder: Path) -> list[str]:
    """Return what nodes had to say that no fault of the plan explains."""
    said = [line for log in folder.glob("node-*.log") for line in log.read_text().splitlines()]
    names = ("node.acknowledgements_wait", "node.restarted", "node.not_identified", "node.replay_failed")
    return [line for line in said if any(f'"{name}"' in line for name in names)]
