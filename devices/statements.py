"""Hand-written SQL for what runs once a page or parcel: one statement, plain rows, values bound by the server.

On PostgreSQL the ORM's cursors write every value into the statement's text, a bytea as hexadecimal digits; here
values and rows travel as they are (psycopg's own cursor, binary). Elsewhere Django's cursor does as well.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, LiteralString, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Field, Model

POSTGRESQL = connection.vendor == "postgresql"
SKIP_LOCKED = " FOR UPDATE SKIP LOCKED" if POSTGRESQL else ""
"""Ends a SELECT of rows that its statement changes: others at the same time take others. SQLite has one writer."""
Row = tuple[Any, ...]
Instance = TypeVar("Instance", bound=Model)


def fetch(sql: str, values: Sequence[Any] = ()) -> list[Row]:
    """Return the rows of a statement, written with `%s` for each value; takes part in the transaction that is open."""
    if not POSTGRESQL:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())
    return list(_bound(sql, values).fetchall())


def change(sql: str, values: Sequence[Any] = ()) -> int:
    """Execute a statement without rows; return how many rows it changed."""
    if not POSTGRESQL:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return int(cursor.rowcount)
    return int(_bound(sql, values).rowcount)


def instances(model: type[Instance], sql: str, values: Sequence[Any] = ()) -> list[Instance]:
    """Return a statement's rows as instances of a model; `{columns}` in it stands for all of its columns."""
    names, columns = _columns(model)
    rows = fetch(sql.replace("{columns}", columns), values)
    if not POSTGRESQL:  # whose driver knows all types by itself
        readers = [_reader(field) for field in model._meta.concrete_fields]
        rows = [
            tuple(
                read(value) if value is not None else None for read, value in zip(readers, row, strict=True)
            )
            for row in rows
        ]
    return [model.from_db(connection.alias, names, row) for row in rows]


@cache
def _columns(model: type[Model]) -> tuple[list[str], str]:
    fields = model._meta.concrete_fields
    table = model._meta.db_table
    return [field.attname for field in fields], ", ".join(f"{table}.{field.column}" for field in fields)


@cache
def _reader(field: "Field[Any, Any]") -> Callable[[Any], Any]:
    """Return what makes a column's value on this database one of the field's."""
    column = field.get_col(field.model._meta.db_table)
    steps = [*connection.ops.get_db_converters(column), *field.get_db_converters(connection)]

    def read(value: Any) -> Any:
        for step in steps:
            value = step(value, column, connection)
        return value

    return read


def instant(value: datetime) -> Any:
    """Return an instant as the database takes it for a column of instants."""
    return value if POSTGRESQL else connection.ops.adapt_datetimefield_value(value)


def uuid_value(value: UUID | None) -> Any:
    """Return a UUID as the database takes it for a column of UUIDs."""
    return value if value is None or POSTGRESQL else value.hex


def insert(table: str, columns: Sequence[str], rows: Sequence[Row], *, most: int = 100) -> None:
    """Insert rows, `most` a statement (SQLite takes 32,766 values in one)."""
    row = "(" + ", ".join(["%s"] * len(columns)) + ")"
    head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        change(head + ", ".join([row] * len(part)), [value for one in part for value in one])


def insert_objects(model: type[Model], rows: Sequence[msgspec.Struct], *, tail: str = "") -> list[Row]:
    """Insert a row for each object, whose fields are columns, in one statement, however many; return what it returns.

    `tail` is what follows the rows: `ON CONFLICT …`, `RETURNING …`. PostgreSQL gets them as one value: it reads
    JSON in less time than psycopg needs to count the values of a long statement.
    """
    if not rows:
        return []
    names = rows[0].__struct_fields__
    if POSTGRESQL:
        found = _bound(_from_json(model, names) + tail, [to_text(rows)])
        return list(found.fetchall()) if found.description else []
    fields = _by_column(model)
    row = "(" + ", ".join(["%s"] * len(names)) + ")"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) VALUES {', '.join([row] * len(rows))} {tail}",
            [fields[name].get_db_prep_save(getattr(one, name), connection) for one in rows for name in names],
        )
        return list(cursor.fetchall()) if "RETURNING" in tail else []


@cache
def _by_column(model: type[Model]) -> "dict[str, Field[Any, Any]]":
    return {str(field.column): field for field in model._meta.concrete_fields}


@cache
def _from_json(model: type[Model], names: tuple[str, ...]) -> str:
    fields = _by_column(model)
    columns = ", ".join(names)
    typed = ", ".join(f"{name} {fields[name].db_type(connection)}" for name in names)
    rows = f"SELECT {columns} FROM json_to_recordset(%s::json) AS given({typed})"
    return f"INSERT INTO {model._meta.db_table} ({columns}) {rows} "


def to_text(value: Any) -> str:
    """Return JSON for a column of it."""
    return msgspec.json.encode(value).decode()


def among(column: str, keys: Sequence[int]) -> tuple[str, list[Any]]:
    """Return the condition that a column is one of some numbers, as SQL and its single value."""
    if POSTGRESQL:
        return f"{column} = ANY(%s::bigint[])", [_array(keys)]
    return f"{column} IN (SELECT value FROM json_each(%s))", [to_text(list(keys))]


def among_texts(column: str, texts: Sequence[str]) -> tuple[str, list[Any]]:
    """Return the condition that a column is one of some texts, as SQL and its single value."""
    if POSTGRESQL:
        return f"{column} = ANY(%s::text[])", [list(texts)]
    return f"{column} IN (SELECT value FROM json_each(%s))", [to_text(list(texts))]


def listed(name: str, keys: Sequence[int]) -> tuple[str, list[Any]]:
    """Return a table `name` with the column `key` of some numbers, for a FROM clause, and its single value."""
    if POSTGRESQL:
        return f"unnest(%s::bigint[]) AS {name}(key)", [_array(keys)]
    return f"(SELECT value AS key FROM json_each(%s)) AS {name}", [to_text(list(keys))]


def _array(keys: Sequence[int]) -> str:
    """Return numbers as PostgreSQL reads an array: psycopg would look at each of them first."""
    return "{" + to_text(list(keys))[1:-1] + "}"


def uuid_bytes(column: str) -> str:
    """Return the expression for a UUID's 16 bytes; SQLite's rows hold 32 digits, which `raw_uuid` reads."""
    return f"uuid_send({column})" if POSTGRESQL else column


def raw_uuid(value: bytes | str) -> bytes:
    """Return the 16 bytes of what `uuid_bytes` selected."""
    return bytes.fromhex(value) if isinstance(value, str) else value


def _bound(sql: str, values: Sequence[Any]) -> "psycopg.RawCursor[Row]":
    """Execute with psycopg's own cursor, one for each connection; its errors become Django's."""
    ours: Any = connections[DEFAULT_DB_ALIAS]  # `connection` would look it up anew for every attribute
    ours.ensure_connection()
    raw = ours.connection
    cursor = _cursors.get(raw)
    if cursor is None:
        cursor = _cursors[raw] = psycopg.RawCursor(raw)
    if not ours.queries_logged:
        with ours.wrap_database_errors:
            return cursor.execute(_numbered(sql), values or None, binary=True)
    begun = time.monotonic()  # what Django's own cursors do, for whoever counts or reads the statements
    with ours.wrap_database_errors:
        cursor.execute(_numbered(sql), values or None, binary=True)
    ours.queries_log.append({"sql": sql, "time": f"{time.monotonic() - begun:.3f}"})
    return cursor


@lru_cache(maxsize=1_000)
def _numbered(sql: str) -> LiteralString:
    """Return a statement with `$1`, `$2`, … for each `%s`, as the server takes it.

    psycopg's own reading of one with many values, which it does not remember, was half of what an intake cost.
    """
    parts = sql.split("%s")
    return "".join([parts[0], *(f"${number}{part}" for number, part in enumerate(parts[1:], 1))])


_cursors: "WeakKeyDictionary[psycopg.Connection[Any], psycopg.RawCursor[Row]]" = WeakKeyDictionary()
"""To make one costs as much as a small statement."""
