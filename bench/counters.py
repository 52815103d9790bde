"""What the servers were asked: PostgreSQL's statements and rows, Redis' and Cassandra's requests, RabbitMQ's messages.

Each server counts by itself; the counts are read before and after a run, by connections of the benchmark's own.
"""

import re
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import psycopg
import redis
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import WhiteListRoundRobinPolicy
from django.conf import settings

from bench.servers import erlang

SETTLE = 11.0
"""Seconds after which PostgreSQL's idle processes have handed in what they have counted (at most ten)."""
MARK = "notifyhub bench"
"""How our own questions to PostgreSQL are known; they are not counted."""
_STATEMENTS = (
    f"SELECT /* {MARK} */ coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query NOT LIKE '%%{MARK}%%'"
)
_DEAREST = (
    f"SELECT /* {MARK} */ query, calls FROM pg_stat_statements WHERE query NOT LIKE '%%{MARK}%%'"
    " ORDER BY calls DESC LIMIT 200"
)
_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
_ROWS = f"SELECT /* {MARK} */ relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
_REQUESTS = "SELECT request_count, client_options FROM system_views.clients"
_WRITES = "SELECT keyspace_name, table_name, count FROM system_views.local_write_latency"


class Counters:
    """Connections to the servers of a course at the production size; a context that closes them."""

    def __init__(self, broker: Mapping[str, str]) -> None:
        database = settings.DATABASES["default"]
        self._postgres = psycopg.connect(
            host=database["HOST"],
            port=database["PORT"],
            user=database["USER"],
            password=database["PASSWORD"],
            dbname=database["NAME"],
            autocommit=True,
        )
        self._redis = redis.Redis.from_url(settings.REDIS_URL)
        self._broker = broker
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy(settings.CASSANDRA_HOSTS[:1])
        )
        self._cluster = Cluster(
            settings.CASSANDRA_HOSTS[:1],
            port=settings.CASSANDRA_PORT,
            connection_class=LibevConnection,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        self._cassandra = self._cluster.connect()
        self._session_id = str(self._cluster.session_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()
        self._redis.close()
        self._postgres.close()

    def read(self) -> Counter[str]:
        """Return all counts by name, as `postgres.statements` or `cassandra.writes.entry`."""
        return Counter(
            {
                **self._of_postgres(),
                **self._of_redis(),
                **self._of_cassandra(),
                **of_rabbitmq(self._ask_rabbitmq()),
            }
        )

    def statements(self) -> Counter[str]:
        """Return how often each statement was executed; empty where PostgreSQL does not count them."""
        if not self._counts_statements():
            return Counter()
        return Counter(dict(self._postgres.execute(_DEAREST).fetchall()))

    def _counts_statements(self) -> bool:
        # "pg_stat_statements" is there when the hub's place was made with `counted`
        return bool(
            self._postgres.execute(
                f"SELECT /* {MARK} */ 1 FROM pg_extension WHERE extname = 'pg_stat_statements'"
            ).fetchone()
        )

    def _of_postgres(self) -> dict[str, int]:
        found = {"postgres.transactions": self._one(_TRANSACTIONS)}
        if self._counts_statements():
            found["postgres.statements"] = self._one(_STATEMENTS)
        for table, inserted, updated, deleted in self._postgres.execute(_ROWS):
            found[f"postgres.inserted.{table}"] = inserted
            found[f"postgres.updated.{table}"] = updated
            found[f"postgres.deleted.{table}"] = deleted
        return found

    def _one(self, query: str) -> int:
        row = self._postgres.execute(query).fetchone()
        return int(row[0]) if row else 0

    def _of_redis(self) -> dict[str, int]:
        stats: Any = self._redis.info("stats")
        commands: Any = self._redis.info("commandstats")
        return {
            "redis.commands": stats["total_commands_processed"],
            "redis.round_trips": stats["total_reads_processed"],
            **{name.replace("cmdstat_", "redis.command."): of["calls"] for name, of in commands.items()},
        }

    def _of_cassandra(self) -> dict[str, int]:
        asked = sum(
            row.request_count
            for row in self._cassandra.execute(_REQUESTS)
            if (row.client_options or {}).get("SESSION_ID") != self._session_id
        )
        writes = {
            f"cassandra.writes.{row.table_name}": row.count
            for row in self._cassandra.execute(_WRITES)
            if row.keyspace_name == settings.CASSANDRA_KEYSPACE
        }
        return {"cassandra.requests": asked, **writes}

    def _ask_rabbitmq(self) -> str:
        return erlang(self._broker, "rabbit_global_counters:overview()") if self._broker else ""


def of_rabbitmq(overview: str) -> dict[str, int]:
    """Return what `rabbit_global_counters:overview()` says, in Erlang's words, of messages in and out."""
    found: Counter[str] = Counter()
    for group, counts in re.findall(r"\[([^\]]*)\] => #\{([^}]*)\}", overview):
        for name, value in re.findall(r"(\w+) => (\d+)", counts):
            if group.strip() == "{protocol, amqp091}" and name == "messages_received_total":
                found["rabbitmq.published"] += int(value)
            elif name == "messages_acknowledged_total":
                found["rabbitmq.acknowledged"] += int(value)
    return dict(found)


def between(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return what was counted between two readings; what was not is left out."""
    return {
        name: after[name] - before.get(name, 0)
        for name in sorted(after)
        if after[name] != before.get(name, 0)
    }
