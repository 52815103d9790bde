"""Hand-written SQL for what runs once a page or parcel: one statement, plain rows, values bound by the server.

On PostgreSQL the ORM's cursors write every value into the statement's text, a bytea as hexadecimal digits; here
values and rows travel as they are (psycopg's own cursor, binary). Elsewhere Django's cursor does as well.
"""

import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from django.db import connection

Row = tuple[Any, ...]


def fetch(sql: str, values: Sequence[Any] = ()) -> list[Row]:
    """Return the rows of a statement, written with `%s` for each value; takes part in the transaction that is open."""
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())
    return list(_bound(sql, values).fetchall())


def change(sql: str, values: Sequence[Any] = ()) -> int:
    """Execute a statement without rows; return how many rows it changed."""
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return int(cursor.rowcount)
    return int(_bound(sql, values).rowcount)


def insert(table: str, columns: Sequence[str], rows: Sequence[Row], *, most: int = 100) -> None:
    """Insert rows, `most` a statement (SQLite takes 32,766 values in one)."""
    row = "(" + ", ".join(["%s"] * len(columns)) + ")"
    head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        change(head + ", ".join([row] * len(part)), [value for one in part for value in one])


def to_text(value: Any) -> str:
    """Return JSON for a column of it."""
    return msgspec.json.encode(value).decode()


def among(column: str, keys: Sequence[int]) -> tuple[str, list[Any]]:
    """Return the condition that a column is one of some numbers, as SQL and its single value."""
    if connection.vendor == "postgresql":
        return f"{column} = ANY(%s::bigint[])", [_array(keys)]
    return f"{column} IN (SELECT value FROM json_each(%s))", [to_text(list(keys))]


def listed(name: str, keys: Sequence[int]) -> tuple[str, list[Any]]:
    """Return a table `name` with the column `key` of some numbers, for a FROM clause, and its single value."""
    if connection.vendor == "postgresql":
        return f"unnest(%s::bigint[]) AS {name}(key)", [_array(keys)]
    return f"(SELECT value AS key FROM json_each(%s)) AS {name}", [to_text(list(keys))]


def _array(keys: Sequence[int]) -> str:
    """Return numbers as PostgreSQL reads an array: psycopg would look at each of them first."""
    return "{" + to_text(list(keys))[1:-1] + "}"


def uuid_bytes(column: str) -> str:
    """Return the expression for a UUID's 16 bytes; SQLite's rows hold 32 digits, which `raw_uuid` reads."""
    return f"uuid_send({column})" if connection.vendor == "postgresql" else column


def raw_uuid(value: bytes | str) -> bytes:
    """Return the 16 bytes of what `uuid_bytes` selected."""
    return bytes.fromhex(value) if isinstance(value, str) else value


def _bound(sql: str, values: Sequence[Any]) -> "psycopg.Cursor[Row]":
    """Execute with psycopg's own cursor, one for each connection; its errors become Django's."""
    connection.ensure_connection()
    raw = connection.connection
    cursor = _cursors.get(raw)
    if cursor is None:
        cursor = _cursors[raw] = psycopg.Cursor(raw)
    begun = time.monotonic()
    with connection.wrap_database_errors:
        cursor.execute(sql, values or None, binary=True)
    if connection.queries_logged:  # what Django's own cursors do, for whoever counts or reads the statements
        connection.queries_log.append({"sql": sql, "time": f"{time.monotonic() - begun:.3f}"})
    return cursor


_cursors: "WeakKeyDictionary[psycopg.Connection[Any], psycopg.Cursor[Row]]" = WeakKeyDictionary()
"""To make one costs as much as a small statement."""
