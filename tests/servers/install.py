"""Installs what the tests need: system packages by apt-get, Cassandra's jars by Maven, TypeScript by npm."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from notifyhub.redis_binary import RedisNotFoundError, find_redis_server
from tests.servers import cassandra_node, node_tools, postgres, rabbitmq
from tests.servers.process import ServerError

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>notifyhub.tests</groupId><artifactId>cassandra</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>{version}</version>
  </dependency></dependencies>
</project>
"""


def _find_maven() -> None:
    if not _jars_are_there() and not shutil.which("mvn"):
        raise ServerError("no Maven found, which fetches Cassandra: install maven")


# What is looked for, and the Debian packages that bring it.
_NEEDS: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "Redis": (find_redis_server, ("redis-server",)),
    "PostgreSQL": (postgres.find_binaries, ("postgresql",)),
    "RabbitMQ": (rabbitmq.find_programs, ("rabbitmq-server",)),
    "Java 17": (cassandra_node.find_java, ("openjdk-17-jre-headless",)),
    "Maven": (_find_maven, ("maven",)),
    "Node.js": (node_tools.find_npm, ("nodejs", "npm")),
}


def missing() -> dict[str, str]:
    """Return what is not on this machine, as name → one line that says why and how to get it."""
    found = {}
    for name, (find, _) in _NEEDS.items():
        try:
            find()
        except (ServerError, RedisNotFoundError) as error:
            found[name] = str(error)
    return found


def install() -> int:
    """Install what is missing and return the exit status: 0 when all is there, 2 with a list when not."""
    if absent := missing():
        _install_packages([package for name in absent for package in _NEEDS[name][1]])
    problems = missing()
    if not _jars_are_there() and "Maven" not in problems:
        try:
            _fetch_jars()
        except (OSError, subprocess.CalledProcessError) as error:
            problems["Cassandra"] = f"Maven could not fetch cassandra-all {cassandra_node.VERSION}: {error}"
    elif not _jars_are_there():
        problems["Cassandra"] = "its jars can be fetched once Maven is there"
    if not _found(node_tools.find_compiler) and "Node.js" not in problems:
        try:
            node_tools.fetch_compiler()
        except (OSError, subprocess.CalledProcessError) as error:
            problems["TypeScript"] = f"npm could not fetch typescript {node_tools.TYPESCRIPT}: {error}"
    if not problems:
        print(f"all servers are installed; Cassandra lies in {cassandra_node.jar_folder()}")
        return 0
    print("missing:", file=sys.stderr)
    for name, reason in problems.items():
        packages = f" [Debian: {' '.join(_NEEDS[name][1])}]" if name in _NEEDS else ""
        print(f"  {name}: {reason}{packages}", file=sys.stderr)
    print("install these, then run `python -m tests.servers install` again", file=sys.stderr)
    return 2


def _jars_are_there() -> bool:
    return _found(cassandra_node.find_jars)


def _found(find: Callable[[], object]) -> bool:
    try:
        find()
    except ServerError:
        return False
    return True


def _install_packages(packages: list[str]) -> None:
    """Install Debian packages where that is allowed; what stays missing is reported by the caller."""
    apt_get = shutil.which("apt-get")
    if not apt_get:
        return
    as_root: list[str] = []
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if not sudo or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
            return
        as_root = [sudo, "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*as_root, apt_get, "update", "-q"], env=env, check=False)
    for package in packages:  # one by one: a package unknown to this release must not stop the others
        arguments = ["install", "-q", "-y", "--no-install-recommends", package]
        subprocess.run([*as_root, apt_get, *arguments], env=env, check=False)


def _fetch_jars() -> None:
    target = cassandra_node.jar_folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as text:
        folder = Path(text)
        (folder / "pom.xml").write_text(_POM.format(version=cassandra_node.VERSION))
        print(f"fetching Cassandra {cassandra_node.VERSION} (66 MB) into {target}", flush=True)
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=jars"]
        subprocess.run(["mvn", "-q", "-B", "--strict-checksums", *goal], cwd=folder, check=True)
        # A folder that is there is whole: a download that broke off never gets this name.
        (folder / "jars").rename(target)
