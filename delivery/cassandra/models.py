"""The log's Cassandra tables, made by `manage.py sync_cassandra`.

Time-windowed compaction and a TTL at insert: whole files are dropped when they are past their
time, nothing is ever deleted. A log's partition is a subscriber's month.
"""

from cassandra.cqlengine import columns
from cassandra.cqlengine.models import Model

_BY_DAY = {
    "compaction": {
        "class": "org.apache.cassandra.db.compaction.TimeWindowCompactionStrategy",
        "compaction_window_unit": "DAYS",
        "compaction_window_size": "1",
    },
    "gc_grace_seconds": 86_400,
}


class LogEntryRow(Model):
    """One notification in a subscriber's log; newest first within a month."""

    __table_name__ = "log_entries"
    __connection__ = "cassandra"
    __options__ = _BY_DAY

    subscriber = columns.UUID(partition_key=True)
    month = columns.Integer(partition_key=True)
    position = columns.TimeUUID(primary_key=True, clustering_order="DESC")
    notification = columns.UUID()
    run = columns.UUID()
    body = columns.Blob()


class LogOutcomesRow(Model):
    """What sending some messages of a parcel came to; every version stands, of a message the highest counts.

    A partition is a run's messages to people with neighbouring primary keys, a row those of them that one claim of a
    parcel ended, named by the first of them: a page of neighbours costs some fifty rows, and not a row a message.
    """

    __table_name__ = "log_outcomes_by_run"
    __connection__ = "cassandra"
    __options__ = _BY_DAY

    run = columns.UUID(partition_key=True)
    neighbours = columns.BigInt(partition_key=True)
    version = columns.BigInt(primary_key=True)
    notification = columns.UUID(primary_key=True)
    device = columns.UUID(primary_key=True)
    at = columns.Double()
    outcomes = columns.Blob()


class LogReceiptRow(Model):
    """What a device said about a notification; every time it said so stands, the first counts.

    A partition is a notification, so that one query reads what was said about many.
    """

    __table_name__ = "log_receipts_by_notification"
    __connection__ = "cassandra"
    __options__ = _BY_DAY

    notification = columns.UUID(partition_key=True)
    subscriber = columns.UUID(primary_key=True)
    device = columns.UUID(primary_key=True)
    kind = columns.Text(primary_key=True)
    at = columns.Double(primary_key=True)


class LogMarkRow(Model):
    """That a subscriber has read or archived a notification."""

    __table_name__ = "log_marks"
    __connection__ = "cassandra"
    __options__ = _BY_DAY

    subscriber = columns.UUID(partition_key=True)
    notification = columns.UUID(primary_key=True)
    state = columns.Text()
    at = columns.Double()


TABLES = (LogEntryRow, LogOutcomesRow, LogReceiptRow, LogMarkRow)
