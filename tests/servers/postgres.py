"""A real PostgreSQL cluster for tests, never run as root."""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.servers.process import Process, ServerError, free_port
from tests.servers.server import Server

# Linux distributions keep the versions apart; `initdb` is rarely on PATH there.
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
)

# Without fsync a crash of the machine may lose data; a kill of PostgreSQL does not, as the kernel holds every write.
# `synchronous_commit` stays on: without it the last commits would still be in the killed process.
_CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 128MB
fsync = off
full_page_writes = off
dynamic_shared_memory_type = mmap
timezone = 'UTC'
log_timezone = 'UTC'
"""


def find_binaries() -> Path:
    """Return the folder with the newest `initdb` and `postgres`; raises `ServerError` when there is none."""
    found = [path for place in _PLACES for path in Path("/").glob(place[1:]) if (path / "initdb").exists()]
    if found:
        return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    raise ServerError(
        "no PostgreSQL found: run `python -m tests.servers install` or install the package postgresql"
    )


class Postgres(Server):
    """PostgreSQL on 127.0.0.1 with one superuser, a password, and the empty database `notifyhub`.

    Under root it runs as the account `postgres`. If that account cannot reach the caller's folder (pytest's own are
    closed to others), the data lies in a folder of the system's temp folder, and a link to it in the caller's.
    """

    name = "postgres"

    def __init__(self, folder: Path, *, keep: bool = False, port: int | None = None) -> None:
        super().__init__(folder, keep=keep, port=port or free_port())
        self._password = secrets.token_urlsafe(16)
        self._user = "postgres" if os.geteuid() == 0 else ""
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """`postgres://notifyhub:password@127.0.0.1:port/notifyhub`."""
        return self.url_of("notifyhub")

    def url_of(self, database: str) -> str:
        """Return the address of another database of this cluster."""
        return f"postgres://notifyhub:{self._password}@127.0.0.1:{self.port}/{database}"

    @property
    def processes(self) -> list[Process]:
        return [self._process] if self._process else []

    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.url}

    def _start(self) -> None:
        binaries = find_binaries()
        data = self.home / "data"
        if not (data / "PG_VERSION").exists():
            self._make_cluster(binaries, data)
        self._process = Process(
            # The real path: under root the account may not pass through the caller's folder.
            [binaries / "postgres", "-D", data.resolve()],
            name=self.name,
            log=self.home / "log",
            env=self._env(),
            user=self._user,
            # pytest and `up` clean their own folders, but not what lies behind the link.
            discard=data.resolve().parent if data.is_symlink() and not self.keep else None,
            stop_signal=signal.SIGINT,  # "fast": sessions are ended, data is written
        )
        self._process.start()
        self._process.wait_until(self._database_is_there, seconds=self.max_seconds_to_start)

    def _make_cluster(self, binaries: Path, data: Path) -> None:
        place = self._reachable_place()
        if place != self.home:
            data.symlink_to(place / "data")
        password_file = place / "password"
        password_file.touch(0o600)
        password_file.write_text(self._password)
        if self._user:
            account = pwd.getpwnam(self._user)
            for path in (place, password_file):
                os.chown(path, account.pw_uid, account.pw_gid)
        options = ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--username=notifyhub"]
        options += ["--auth=scram-sha-256", f"--pwfile={password_file}", "-D", str(place / "data")]
        account_name = self._user or None
        result = subprocess.run(
            [str(binaries / "initdb"), *options],
            user=account_name,
            group=account_name,
            extra_groups=[] if account_name else None,
            env=self._env(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        password_file.unlink()
        if result.returncode:
            raise ServerError(
                f"initdb failed with exit status {result.returncode}:\n{result.stdout}{result.stderr}"
            )
        with (place / "data" / "postgresql.conf").open("a") as config:
            config.write(_CONFIG.format(port=self.port))

    def _reachable_place(self) -> Path:
        """Return a folder for the cluster that the account can reach: `home` where possible."""
        if not self._user:
            return self.home
        try:
            pwd.getpwnam(self._user)
        except KeyError:
            raise ServerError(
                "PostgreSQL refuses to run as root and there is no account `postgres`: install the package postgresql"
            ) from None
        if all(folder.stat().st_mode & 0o001 for folder in self.home.parents):
            return self.home
        return Path(tempfile.mkdtemp(prefix=f"notifyhub-{self.name}-"))

    def _env(self) -> dict[str, str]:
        # PG* variables of the developer's shell would reach the server's own programs.
        return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}

    def _database_is_there(self) -> bool:
        with psycopg.connect(self.url_of("postgres"), connect_timeout=2, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'notifyhub'").fetchone():
                connection.execute("CREATE DATABASE notifyhub")
        return True

    def _discard(self) -> None:
        data = self.home / "data"
        # A killed PostgreSQL leaves its shared memory segment behind: the second number of the seventh line.
        with contextlib.suppress(OSError, IndexError):
            segment = (data / "postmaster.pid").read_text().splitlines()[6].split()[1]
            subprocess.run(["ipcrm", "-m", segment], capture_output=True, check=False)
        if data.is_symlink():
            shutil.rmtree(data.resolve().parent, ignore_errors=True)
        super()._discard()
