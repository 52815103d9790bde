"""The installer's word on a machine where nothing may be installed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_cannot_be_installed_is_listed_and_the_exit_status_is_2(tmp_path: Path) -> None:
    # No program is on PATH, neither apt-get nor Maven, and nothing was downloaded before.
    env = {**os.environ, "PATH": str(tmp_path), "NOTIFYHUB_SERVERS_DIR": str(tmp_path / "servers")}
    result = subprocess.run(
        [sys.executable, "-m", "tests.servers", "install"], env=env, cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "Maven: no Maven found, which fetches Cassandra: install maven [Debian: maven]" in result.stderr
    assert "Cassandra: its jars can be fetched once Maven is there" in result.stderr
    assert not (tmp_path / "servers").exists()
