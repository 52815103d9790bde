"""Many rows quickly: COPY where PostgreSQL is, prepared inserts where SQLite is; past the ORM's instances."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction

ROWS = 5_000
"""Rows that are handed over at a time."""
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def fill(pattern: models.Model, names: Sequence[str], rows: Iterable[Sequence[str | int]]) -> int:
    """Insert a row for each of `rows` and return the first one's primary key; the others follow it one by one.

    `pattern` is an unsaved instance with what all rows share, `names` are the fields that differ, and a row holds
    their values as the database takes them (a UUID as 32 digits, JSON as text). Nobody else may insert into the
    table meanwhile. Raises `RuntimeError` when somebody did.
    """
    model = type(pattern)
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    places = {field.name: at for at, field in enumerate(fields)}
    differing = [(places[name], fields[places[name]].attname) for name in names]
    # What follows another field (a digest of the token) is worked out for every row, as saving would.
    following = [(at, field) for at, field in enumerate(fields) if _follows(field)]
    copied = connection.vendor == "postgresql"
    written: Callable[[Any], Any] = text_of if copied else lambda value: value
    shared = [written(field.get_db_prep_save(field.pre_save(pattern, True), connection)) for field in fields]

    def complete() -> Iterator[list[Any]]:
        for row in rows:
            whole = shared.copy()
            for (at, name), value in zip(differing, row, strict=True):
                whole[at] = written(value)
                if following:
                    setattr(pattern, name, value)
            for at, field in following:
                whole[at] = written(field.pre_save(pattern, True))
            yield whole

    last = model._default_manager.aggregate(last=models.Max("pk"))["last"] or 0
    count = _insert(model._meta.db_table, [field.column for field in fields], complete(), copied=copied)
    keys = model._default_manager.filter(pk__gt=last).aggregate(
        first=models.Min("pk"), last=models.Max("pk"), count=models.Count("pk")
    )
    if keys["count"] != count or (count and keys["last"] - keys["first"] + 1 != count):
        raise RuntimeError(
            f"{model.__name__}: {count} rows were inserted, and the keys are not theirs: {keys}"
        )
    return int(keys["first"] or 0)


def _follows(field: "models.Field[Any, Any]") -> bool:
    """Whether a field takes its value from others of the row: those of Django's that do so take it from a clock."""
    return type(field).pre_save is not models.Field.pre_save and not isinstance(field, models.DateField)


def _insert(table: str, columns: list[str], rows: Iterator[list[Any]], *, copied: bool) -> int:
    quote = connection.ops.quote_name
    into = f"{quote(table)} ({', '.join(map(quote, columns))})"
    count = 0
    with transaction.atomic(), connection.cursor() as cursor:
        if copied:
            with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                while some := list(itertools.islice(rows, ROWS)):
                    copy.write("".join(["\t".join(row) + "\n" for row in some]))
                    count += len(some)
            cursor.execute(f"ANALYZE {quote(table)}")
        else:
            gaps = ", ".join(["%s"] * len(columns))
            while some := list(itertools.islice(rows, ROWS)):
                cursor.executemany(f"INSERT INTO {into} VALUES ({gaps})", some)
                count += len(some)
    return count


def text_of(value: Any) -> str:
    """Return a value in COPY's text format (postgresql.org/docs/15/sql-copy.html)."""
    if type(value) is str:
        return value.translate(_ESCAPES) if "\\" in value or not value.isprintable() else value
    if value is None:
        return "\\N"
    if value is True or value is False:
        return "t" if value else "f"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).translate(_ESCAPES)
