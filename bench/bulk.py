"""Many rows quickly: COPY where PostgreSQL is, prepared inserts where SQLite is; past the ORM's instances."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models, transaction

ROWS = 5_000
"""Rows of one statement's batch on SQLite."""


def fill(pattern: models.Model, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Insert a row for each of `rows` and return the first one's primary key; the others follow it one by one.

    `pattern` is an unsaved instance with what all rows share, `names` are the fields that differ, and a row holds
    their values. Nobody else may insert into the table meanwhile. Raises `RuntimeError` when somebody did.
    """
    model = type(pattern)
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    places = {field.name: at for at, field in enumerate(fields)}
    differing = [(places[name], fields[places[name]]) for name in names]
    # What follows another field (a digest of the token) is worked out for every row, as saving would.
    following = [
        (at, field) for at, field in enumerate(fields) if type(field).pre_save is not models.Field.pre_save
    ]
    following = [
        (at, field)
        for at, field in following
        if not isinstance(field, models.DateTimeField | models.JSONField)
    ]
    shared = [field.get_db_prep_save(field.pre_save(pattern, True), connection) for field in fields]

    def complete() -> Iterable[list[Any]]:
        for row in rows:
            whole = shared.copy()
            for (at, field), value in zip(differing, row, strict=True):
                setattr(pattern, field.attname, value)
                whole[at] = field.get_db_prep_save(value, connection)
            for at, field in following:
                whole[at] = field.get_db_prep_save(field.pre_save(pattern, True), connection)
            yield whole

    last = model._default_manager.aggregate(last=models.Max("pk"))["last"] or 0
    count = _insert(model._meta.db_table, [field.column for field in fields], complete())
    keys = model._default_manager.filter(pk__gt=last).aggregate(
        first=models.Min("pk"), last=models.Max("pk"), count=models.Count("pk")
    )
    if keys["count"] != count or (count and keys["last"] - keys["first"] + 1 != count):
        raise RuntimeError(
            f"{model.__name__}: {count} rows were inserted, and the keys are not theirs: {keys}"
        )
    return int(keys["first"] or 0)


def _insert(table: str, columns: list[str], rows: Iterable[list[Any]]) -> int:
    quote = connection.ops.quote_name
    into = f"{quote(table)} ({', '.join(map(quote, columns))})"
    count = 0
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
                    count += 1
        else:
            gaps = ", ".join(["%s"] * len(columns))
            waiting = iter(rows)
            while some := list(itertools.islice(waiting, ROWS)):
                cursor.executemany(f"INSERT INTO {into} VALUES ({gaps})", some)
                count += len(some)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {quote(table)}")
    return count
