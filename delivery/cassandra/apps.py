"""The Cassandra tables as a Django app, so that `sync_cassandra` finds them."""

from django.apps import AppConfig


class CassandraConfig(AppConfig):
    """Tables of the log in Cassandra."""

    name = "delivery.cassandra"
    label = "delivery_cassandra"
    verbose_name = "Log in Cassandra"
