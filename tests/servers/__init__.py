"""Real servers that tests start, kill and stop: Redis, PostgreSQL, RabbitMQ and Cassandra, each on ports of its own."""

from tests.servers.cassandra import Cassandra
from tests.servers.postgres import Postgres
from tests.servers.process import ServerError
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

__all__ = ["Cassandra", "Postgres", "RabbitMQ", "Redis", "ServerError"]
