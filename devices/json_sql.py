"""JSON comparisons that mean the same on SQLite and PostgreSQL, and are never NULL."""

import json
from typing import Any

from django.db import models
from django.db.models.expressions import Func


def _path(key: str) -> str:
    """Return SQLite's path to a key, escaped as Django writes JSON: SQLite before 3.45 compares keys unread."""
    return f"$.{json.dumps(key)}"


class JsonKind(Func):
    """The kind of value under a key of a JSON column: string, number, true, false, null, object, array or missing.

    Comparisons stand behind it because the databases order and equate different kinds differently
    (on SQLite `true` equals 1, and every text is above every number), and because a comparison with a
    missing key is NULL, whose contrary is NULL too.
    """

    output_field = models.CharField()
    arity = 1

    def __init__(self, column: str, key: str) -> None:
        super().__init__(column)
        self.key = key

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        column, params = compiler.compile(self.source_expressions[0])
        sql = (
            f"CASE JSON_TYPE({column}, %s) WHEN 'text' THEN 'string' WHEN 'integer' THEN 'number' "
            f"WHEN 'real' THEN 'number' ELSE COALESCE(JSON_TYPE({column}, %s), 'missing') END"
        )
        path = _path(self.key)
        return sql, [*params, path, *params, path]

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        column, params = compiler.compile(self.source_expressions[0])
        sql = (
            f"CASE jsonb_typeof({column} -> %s) WHEN 'boolean' THEN {column} ->> %s "
            f"ELSE COALESCE(jsonb_typeof({column} -> %s), 'missing') END"
        )
        return sql, [*params, self.key] * 3


class JsonCompare(Func):
    """Whether the text or number under a key of a JSON column stands to some values as `operator` says.

    `kind` is string or number, `operator` one of "in", ">" and "<"; false for every other kind of value.
    """

    output_field = models.BooleanField()
    arity = 1

    def __init__(self, column: str, key: str, kind: str, operator: str, values: list[Any]) -> None:
        super().__init__(column)
        self.key = key
        self.kind = kind
        self.operator = operator
        self.values = values

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        column, params = compiler.compile(self.source_expressions[0])
        path = _path(self.key)
        kinds = "('text')" if self.kind == "string" else "('integer', 'real')"
        sql = (
            f"CASE WHEN JSON_TYPE({column}, %s) IN {kinds} "
            f"THEN JSON_EXTRACT({column}, %s) {self._against('%s')} ELSE 0 END"
        )
        return sql, [*params, path, *params, path, *self.values]

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        column, params = compiler.compile(self.source_expressions[0])
        cast = "text" if self.kind == "string" else "numeric"
        sql = (
            f"CASE WHEN jsonb_typeof({column} -> %s) = '{self.kind}' "
            f"THEN ({column} ->> %s)::{cast} {self._against('%s::' + cast)} ELSE false END"
        )
        return sql, [*params, self.key, *params, self.key, *map(str, self.values)]

    def _against(self, value: str) -> str:
        if self.operator == "in":
            return f"IN ({', '.join([value] * len(self.values))})"
        return f"{self.operator} {value}"


class JsonHolds(Func):
    """Whether a list under a key of a JSON column has a value in it, or a text there contains it."""

    output_field = models.BooleanField()
    arity = 1

    def __init__(self, column: str, key: str, value: Any) -> None:
        super().__init__(column)
        self.key = key
        self.value = value

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        column, params = compiler.compile(self.source_expressions[0])
        path = _path(self.key)
        in_list = "JSON_QUOTE(item.value) = JSON_QUOTE(JSON_EXTRACT(%s, '$'))"
        if isinstance(self.value, bool) or self.value is None:
            in_list = "item.type = %s"
        elif not isinstance(self.value, str):
            in_list = "item.type IN ('integer', 'real') AND item.value = JSON_EXTRACT(%s, '$')"
        held = json.dumps(self.value)
        sql = (
            f"(JSON_TYPE({column}, %s) IS 'array' "
            f"AND EXISTS (SELECT 1 FROM JSON_EACH({column}, %s) AS item WHERE {in_list}))"
        )
        values = [*params, path, *params, path, held]
        if isinstance(self.value, str):
            sql = f"({sql} OR (JSON_TYPE({column}, %s) IS 'text' AND INSTR(JSON_EXTRACT({column}, %s), %s) > 0))"
            values += [*params, path, *params, path, self.value]
        return sql, values

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        column, params = compiler.compile(self.source_expressions[0])
        sql = (
            f"(COALESCE(jsonb_typeof({column} -> %s), '') = 'array' "
            f"AND COALESCE({column} -> %s @> %s::jsonb, false))"
        )
        values = [*params, self.key, *params, self.key, json.dumps([self.value])]
        if isinstance(self.value, str):
            sql = (
                f"({sql} OR (COALESCE(jsonb_typeof({column} -> %s), '') = 'string' "
                f"AND POSITION(%s IN COALESCE({column} ->> %s, '')) > 0))"
            )
            values += [*params, self.key, self.value, *params, self.key]
        return sql, values
