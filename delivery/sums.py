"""Sums over the JSON counts of a run's pages and parcels, added up by the database."""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from delivery.models import Page, Parcel
from devices.statements import among, fetch


def of_reasons(model: type[Page] | type[Parcel], run: int) -> dict[str, int]:
    """Return the sum of `reasons` over a run's pages or parcels, by reason."""
    flat = _each("piece.reasons", last=True)
    rows = fetch(
        f"SELECT one.key, {_total('one')} FROM {model._meta.db_table} AS piece, {flat} AS one"
        " WHERE piece.run_id = %s GROUP BY one.key ORDER BY one.key",
        [run],
    )
    return {key: int(count) for key, count in rows}


def of_two(model: type[Page] | type[Parcel], column: str, runs: Sequence[int]) -> dict[str, dict[str, int]]:
    """Return the sum of a column of counts inside counts (`spread`, `platforms`) over the pages or parcels of runs."""
    ours, values = among("piece.run_id", runs)
    outer, inner = _each(f"piece.{column}", last=False), _each("outer_one.value", last=True)
    rows = fetch(
        f"SELECT outer_one.key, one.key, {_total('one')} FROM {model._meta.db_table} AS piece, {outer} AS outer_one,"
        f" {inner} AS one WHERE {ours} GROUP BY outer_one.key, one.key ORDER BY outer_one.key, one.key",
        values,
    )
    found: dict[str, dict[str, int]] = {}
    for first, second, count in rows:
        found.setdefault(first, {})[second] = int(count)
    return found


def _each(column: str, *, last: bool) -> str:
    """Return the table of an object's keys and values; the values of the last are numbers."""
    if connection.vendor == "postgresql":
        return f"jsonb_each_text({column})" if last else f"jsonb_each({column})"
    return f"json_each({column})"


def _total(name: str) -> str:
    cast: Any = "::bigint" if connection.vendor == "postgresql" else ""
    return f"SUM({name}.value{cast})"
