"""Pages and parcels as new rows: made by the handful in one statement, past the ORM's instances."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from delivery.models import Page, Parcel
from devices.statements import insert, to_text


def make(model: type[Page] | type[Parcel], rows: Sequence[dict[str, Any]]) -> None:
    """Insert pages or parcels, inside the caller's transaction; each row maps columns to values, the rest are defaults.

    Every row of a call names the same columns.
    """
    if not rows:
        return
    defaults = _defaults(model)
    names = list(rows[0])
    others = [(name, value) for name, value in defaults.items() if name not in rows[0]]
    insert(
        model._meta.db_table,
        [*names, *(name for name, _ in others)],
        [(*(row[name] for name in names), *(value for _, value in others)) for row in rows],
    )


@cache
def _defaults(model: type[Page] | type[Parcel]) -> dict[str, Any]:
    """Return what a new row holds in each column that nobody names."""
    values = {
        field.attname: field.get_default() for field in model._meta.concrete_fields if not field.primary_key
    }
    return {name: to_text(value) if isinstance(value, dict) else value for name, value in values.items()}
