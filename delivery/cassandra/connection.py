"""How a process speaks to Cassandra: the alias's options, and one session per process, made on first use.

django-cassandra-engine registers the alias inside `django.setup()`; `lazy_connect` keeps it
from connecting there, so that a forked worker makes a session of its own.
"""

import socket
from typing import Any

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, Session
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import DCAwareRoundRobinPolicy, RoundRobinPolicy, TokenAwarePolicy
from django.db import connections

ALIAS = "cassandra"


def options(
    *,
    hosts: list[str],
    port: int,
    keyspace: str,
    replication: int,
    datacenter: str,
    username: str,
    password: str,
) -> dict[str, Any]:
    """Return the entry of `DATABASES` for the log's cluster.

    Reads and writes are LOCAL_QUORUM: with three replicas one node may be down. TCP_NODELAY is
    set because the driver leaves it off, which costs 400 ms a page when few batches are in flight.
    """
    near = DCAwareRoundRobinPolicy(local_dc=datacenter) if datacenter else RoundRobinPolicy()
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(near),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=10.0,
    )
    strategy: dict[str, Any] = {"strategy_class": "SimpleStrategy", "replication_factor": replication}
    if datacenter:
        strategy = {"strategy_class": "NetworkTopologyStrategy", datacenter: replication}
    return {
        "ENGINE": "django_cassandra_engine",
        "NAME": keyspace,
        "HOST": ",".join(hosts),
        "USER": username,
        "PASSWORD": password,
        "OPTIONS": {
            "replication": strategy,
            "connection": {
                "port": port,
                "lazy_connect": True,
                "retry_connect": True,
                "connection_class": LibevConnection,
                "compression": False,
                # The driver's 10 s are short for `sync_cassandra` on a busy ring: the next table meets a node that has
                # no keyspace yet.
                "max_schema_agreement_wait": 60,
                "sockopts": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
                "execution_profiles": {EXEC_PROFILE_DEFAULT: profile},
            },
        },
    }


class ConsistencyError(Exception):
    """The session does not read and write with the consistency that the log's promises need."""


def session() -> Session:
    """Return this process's session; raises `ConsistencyError` when it lost its consistency level."""
    alias = connections[ALIAS]
    alias.connect()
    found: Session = alias.connection.session
    level = found.get_execution_profile(EXEC_PROFILE_DEFAULT).consistency_level
    if level != ConsistencyLevel.LOCAL_QUORUM:
        name = ConsistencyLevel.value_to_name.get(level, level)
        raise ConsistencyError(f"Cassandra is read with {name}, the log needs LOCAL_QUORUM.")
    return found
