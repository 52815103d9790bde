"""A real Cassandra 5 for tests: one node, or a ring on 127.0.0.1, .2 and .3 whose nodes can be killed one by one."""

import contextlib
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import WhiteListRoundRobinPolicy
from cassandra.query import SimpleStatement

from tests.servers import cassandra_node
from tests.servers.process import Process, ServerError, free_port
from tests.servers.server import Server

# A few token ranges of a keyspace that every Cassandra has, with one copy of each range (`cassandra_node`).
_ASK_ONE_NODE = (
    "SELECT host_id FROM system_distributed.view_build_status WHERE token(keyspace_name, view_name) = {}"
)

TIMER_SLACK = 1_000_000
"""Nanoseconds. Whatever a thread of Cassandra's has done, it looks for more every 10 µs for a while: 60 writes a second
cost 350 ms of CPU a second with the system's slack of 50 µs, and 70 with this, for half a millisecond more each."""


class Cassandra(Server):
    """Cassandra on 127.0.0.1 and, for two or three nodes, 127.0.0.2 and .3; all listen on the same port.

    A killed node may lose what was acknowledged in its last second; the other replicas have it. With
    `every_write_synced` a single node loses nothing, and its writes are slower. The factors of replication are the
    keyspaces' own matter; the data centre is `datacenter1`.
    """

    name = "cassandra"
    max_seconds_to_start = 150.0

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        heap_mb: int | None = None,
        every_write_synced: bool = False,
        keep: bool = False,
        port: int | None = None,
    ) -> None:
        if nodes not in (1, 2, 3):
            raise ValueError(f"nodes must be 1, 2 or 3, not {nodes}")
        self.hosts = [f"127.0.0.{index + 1}" for index in range(nodes)]
        super().__init__(folder, keep=keep, port=port or free_port(*self.hosts))
        self.heap_mb = heap_mb or (1024 if nodes == 1 else 600)
        self.every_write_synced = every_write_synced
        self._storage_port = free_port(*self.hosts)
        self._nodes: dict[int, Process] = {}

    @property
    def processes(self) -> list[Process]:
        return list(self._nodes.values())

    @property
    def live_nodes(self) -> list[int]:
        """The indexes of the nodes whose processes run."""
        return [index for index, process in sorted(self._nodes.items()) if process.running]

    def node(self, index: int) -> Process:
        """Return the process of one node, to pause or to resume it."""
        return self._nodes[index]

    def environment(self) -> dict[str, str]:
        return {
            "NOTIFYHUB_LOG_STORE": "cassandra",
            "NOTIFYHUB_CASSANDRA_HOSTS": ",".join(self.hosts),
            "NOTIFYHUB_CASSANDRA_PORT": str(self.port),
            "NOTIFYHUB_CASSANDRA_REPLICATION": str(len(self.hosts)),
        }

    def kill_node(self, index: int) -> None:
        """SIGKILL one node; the others go on."""
        self._nodes[index].kill()

    def start_node(self, index: int) -> None:
        """Start a killed node on its data; return when it and every other live node see each other."""
        if index in self.live_nodes:
            raise ServerError(f"cassandra node {index} is already running")
        self._launch(index)
        self._wait()

    def _start(self) -> None:
        for index in range(len(self.hosts)):
            self._launch(index)
        self._wait()

    def _end_orderly(self) -> None:
        for process in self.processes:
            process.ask_to_stop()  # a drain takes five seconds: all at the same time
        super()._end_orderly()

    def _launch(self, index: int) -> None:
        home = self.home / f"node{index}"
        cassandra_node.write_config(
            home,
            index=index,
            hosts=self.hosts,
            port=self.port,
            storage_port=self._storage_port,
            every_write_synced=self.every_write_synced,
        )
        process = Process(
            cassandra_node.command(home, heap_mb=self.heap_mb),
            name=f"cassandra node {index} ({self.hosts[index]})",
            log=home / "log",
            env=dict(os.environ),
            grace_seconds=20.0,
            timer_slack=TIMER_SLACK,
        )
        process.start()
        self._nodes[index] = process

    def _wait(self) -> None:
        live = self.live_nodes
        for index in live:
            # The driver takes a second to fail and logs it: it is not asked before the port is open.
            self._nodes[index].wait_until(
                partial(self._port_is_open, index), seconds=self.max_seconds_to_start
            )
        for index in live:
            with self._session(index) as session:
                self._nodes[index].wait_until(
                    partial(self._sees, session, live), seconds=self.max_seconds_to_start
                )

    def _port_is_open(self, index: int) -> bool:
        socket.create_connection((self.hosts[index], self.port), timeout=1.0).close()
        return True

    def _sees(self, session: Session, nodes: list[int]) -> bool:
        """Whether the session's node gets an answer from each of the nodes: `Unavailable` is raised if not."""
        for index in nodes:
            token = cassandra_node.token_of(index, len(self.hosts))
            session.execute(
                SimpleStatement(_ASK_ONE_NODE.format(token), consistency_level=ConsistencyLevel.ONE)
            )
        return True

    @contextlib.contextmanager
    def _session(self, index: int) -> Iterator[Session]:
        host = self.hosts[index]
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy([host]), request_timeout=5.0
        )
        with Cluster(
            [host],
            port=self.port,
            connection_class=LibevConnection,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        ) as cluster:
            yield cluster.connect()
