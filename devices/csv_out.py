"""Writes CSV files that a spreadsheet opens without running anything: of an application, streamed, at any size.

A cell that begins with one of = + - @ tab CR (OWASP, "CSV Injection") gets an apostrophe before it, which `csv_in`
takes away again. Numbers stay numbers.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from django.http import StreamingHttpResponse

from devices import segments
from devices.csv_in import FIELDS, UNSAFE
from devices.models import Application, Subscriber

ROWS_AT_ONCE = 2_000
LOOKED_THROUGH = 5_000
"""Of so many of the newest subscribers the attributes become columns."""
MOST_COLUMNS = 90


def safe(value: Any) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "'" + text if text.startswith(UNSAFE) else text


def line(cells: Iterable[Any]) -> str:
    """Return a row of a file (RFC 4180)."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_MINIMAL).writerow([safe(cell) for cell in cells])
    return out.getvalue()


def response(pieces: Iterator[str], *, name: str) -> StreamingHttpResponse:
    """Return a download of a file whose text comes in pieces; the first has a BOM, or Excel misreads letters."""

    def whole() -> Iterator[str]:
        yield "\ufeff"
        yield from pieces

    answer = StreamingHttpResponse(whole(), content_type="text/csv; charset=utf-8")
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in name
    )
    answer["Content-Disposition"] = (
        f"attachment; filename=\"{plain}.csv\"; filename*=UTF-8''{quote(name, safe='')}.csv"
    )
    answer["Cache-Control"] = "private, no-store"
    return answer


def subscribers(application: Application, predicate: Any, *, name: str) -> StreamingHttpResponse:
    """Return a download of the subscribers that a predicate (whole; None: everybody) chooses."""
    chosen = Subscriber.objects.filter(segments.to_q(predicate), application=application)
    newest = Subscriber.objects.filter(application=application).order_by("-pk")
    attributes: dict[str, None] = {}
    for known in newest.values_list("attributes", flat=True)[:LOOKED_THROUGH]:
        if isinstance(known, dict):
            attributes.update(dict.fromkeys(known))
    columns = sorted(attributes)[:MOST_COLUMNS]
    return response(_rows(chosen, columns), name=name)


def _rows(chosen: Any, columns: Sequence[str]) -> Iterator[str]:
    yield line([*FIELDS, *columns])
    last = 0
    while True:
        page = list(
            chosen.filter(pk__gt=last).order_by("pk").values_list("pk", *FIELDS, "attributes")[:ROWS_AT_ONCE]
        )
        if not page:
            return
        last = page[-1][0]
        yield "".join(
            line(
                [*row[1:-1], *(row[-1].get(name) if isinstance(row[-1], dict) else None for name in columns)]
            )
            for row in page
        )
