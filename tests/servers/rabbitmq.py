# mypy: disable-error-code="no-untyped-call"
"""A real RabbitMQ broker for tests, with an epmd and a cookie of its own, so that it never meets another broker."""

import os
import secrets
import shutil
import socket
from pathlib import Path

from kombu.connection import Connection

from tests.servers.process import Process, ServerError, free_port
from tests.servers.server import Server

# Debian's program on PATH insists on root and on its own folders; this one runs for anybody, anywhere.
_DEBIAN_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def find_programs() -> tuple[Path, Path]:
    """Return the paths of `rabbitmq-server` and `epmd`; raises `ServerError` when one is missing."""
    on_path = shutil.which("rabbitmq-server")
    broker = _DEBIAN_PROGRAM if _DEBIAN_PROGRAM.exists() else Path(on_path) if on_path else None
    epmd = shutil.which("epmd")
    if broker is None or epmd is None:
        raise ServerError(
            "no RabbitMQ found: run `python -m tests.servers install` or install rabbitmq-server"
        )
    return broker, Path(epmd)


class RabbitMQ(Server):
    """One broker on 127.0.0.1 with the user `notifyhub`, a password, and all rights on the virtual host `/`.

    Persistent messages in quorum queues survive `kill` once the publisher has the broker's confirmation and the
    queue itself is known on disk: see `wait_for_queues`.
    """

    name = "rabbitmq"

    def __init__(self, folder: Path, *, keep: bool = False, port: int | None = None) -> None:
        super().__init__(folder, keep=keep, port=port or free_port())
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._password = secrets.token_urlsafe(16)
        self._epmd: Process | None = None
        self._broker: Process | None = None

    @property
    def url(self) -> str:
        """`amqp://notifyhub:password@127.0.0.1:port//` (virtual host `/`)."""
        return f"amqp://notifyhub:{self._password}@127.0.0.1:{self.port}//"

    @property
    def processes(self) -> list[Process]:
        return [process for process in (self._broker, self._epmd) if process]

    def environment(self) -> dict[str, str]:
        return {"NOTIFYHUB_BROKER_URL": self.url}

    @property
    def control(self) -> dict[str, str]:
        """The environment in which Erlang's and RabbitMQ's own tools reach this broker."""
        return self._env()

    def wait_for_queues(self, *names: str) -> None:
        """Return when the broker has written down that it has these quorum queues (of virtual host `/`).

        It does so a second after a queue was declared. A kill before that loses the queue's messages, confirmed or
        not, and leaves a queue without a leader (github.com/rabbitmq/rabbitmq-server/issues/15725).
        """
        # Each name stands after its length. The file is Ra's directory of what runs on this node.
        wanted = [bytes([len(name) + 4]) + b"%2F_" + name.encode() for name in names]

        def all_written() -> bool:
            (directory,) = self.home.glob("data/*/quorum/*/names.dets")
            content = directory.read_bytes()
            return all(name in content for name in wanted)

        if self._broker is None:
            raise ServerError("rabbitmq was never started")
        self._broker.wait_until(all_written, seconds=10.0)

    def _start(self) -> None:
        broker, epmd = find_programs()
        config = self.home / "rabbitmq.conf"
        config.write_text("\n".join(self._config()) + "\n")
        config.chmod(0o600)
        (self.home / "enabled_plugins").write_text("[].\n")
        env = self._env()
        # Started here, in the foreground, because Erlang would start it as a daemon that outlives the broker.
        self._epmd = Process(
            [epmd, "-address", "127.0.0.1", "-port", str(self._epmd_port)],
            name="epmd",
            log=self.home / "epmd.log",
            env=env,
        )
        self._epmd.start()
        self._epmd.wait_until(self._epmd_listens, seconds=10.0)
        self._broker = Process([broker], name=self.name, log=self.home / "log", env=env, grace_seconds=20.0)
        self._broker.start()
        # The broker opens its port last, when queues and users are there.
        self._broker.wait_until(self._broker_answers, seconds=self.max_seconds_to_start)

    def _config(self) -> list[str]:
        return [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "default_user = notifyhub",
            f"default_pass = {self._password}",
            "log.file = false",
            "log.console = true",
            "log.console.level = info",
            # A full disk of the test machine is not what tests are about, and the alarm stops publishers in silence.
            "disk_free_limit.absolute = 16MB",
        ]

    def _env(self) -> dict[str, str]:
        nowhere = str(self.home / "none")
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.home),  # the Erlang cookie is made here
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"notifyhub{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": str(self.home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.home / "data"),
            "RABBITMQ_LOG_BASE": str(self.home / "logs"),
            "RABBITMQ_PID_FILE": str(self.home / "pid"),
            # What the machine's own broker is configured with stays out of this one.
            "RABBITMQ_CONF_ENV_FILE": nowhere,
            "RABBITMQ_ADVANCED_CONFIG_FILE": nowhere + ".config",
            # Distribution on loopback only; idle schedulers sleep instead of spinning.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
            # The script then becomes the Erlang machine, which ends in order on SIGTERM, instead of waiting for it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _epmd_listens(self) -> bool:
        socket.create_connection(("127.0.0.1", self._epmd_port), timeout=1.0).close()
        return True

    def _broker_answers(self) -> bool:
        with Connection(self.url, connect_timeout=2.0) as connection:
            connection.connect()
        return True
