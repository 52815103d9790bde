"""Reads CSV files as people's programs write them: encoding, delimiter and header are found out, the rest is refused.

RFC 4180, and what spreadsheets make of it: UTF-8 with and without a BOM, UTF-16 with one, else Windows-1252 (of which
Latin-1's letters are a part); comma, semicolon or tab.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import IO, Any

import msgspec
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from devices import formats, quiet_hours
from devices.predicates import ATTRIBUTE_NAME, MAX_NUMBER
from devices.segments import TAGS
from devices.wall_time import zone_names
from devices.words import number

MOST_ROWS = 500_000
MOST_BYTES = 128 * 1024 * 1024
MOST_COLUMNS = 100
MOST_CHARACTERS = 4_096
"""Of one cell."""
ID = "external_id"
FIELDS = (ID, "locale", "time_zone", "quiet_hours", "consent")
"""Columns that are not attributes."""
OTHERS = {
    b"PK\x03\x04": _("a zip archive or an Excel workbook (xlsx)"),
    b"PK\x05\x06": _("a zip archive"),
    b"\x1f\x8b": _("a gzip archive"),
    b"\xd0\xcf\x11\xe0": _("an old Excel workbook (xls)"),
    b"7z\xbc\xaf": _("a 7z archive"),
    b"Rar!": _("a rar archive"),
    b"%PDF": _("a PDF"),
    b"SQLite": _("a database"),
}
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")
UNSAFE = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula; `csv_out` puts an apostrophe before it."""
_HOLES = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,15})(\.\d{1,15})?")


class FileError(ValueError):
    """A file that cannot be imported; says why and what to do."""


class Row(msgspec.Struct, frozen=True):
    """A row: the line it begins at, its cells, and why it is refused ("": it is not)."""

    line: int
    cells: list[str]
    reason: str = ""


class Values(msgspec.Struct, frozen=True):
    """What a row says of a subscriber; only what is there."""

    external_id: str
    fields: dict[str, Any]
    attributes: dict[str, Any]


class Reader:
    """A CSV file; `header` is there at once, `rows` are read once. Raises `FileError` for a file that is none."""

    def __init__(self, file: IO[bytes], *, only_id: bool = False) -> None:
        head = file.read(65_536)
        file.seek(0)
        self.encoding = _encoding(file, head)
        text = io.TextIOWrapper(file, encoding=self.encoding, newline="", errors="strict")
        self._text = text
        first = next(_guarded(text), "")
        if not first.strip():
            raise FileError(
                gettext(
                    "The file is empty, or its first line is. It begins with a header such as external_id,locale,plan."
                )
            )
        self.delimiter = max(",;\t", key=_outside(first).count)
        text.seek(0)
        self._rows = csv.reader(_guarded(text), delimiter=self.delimiter, strict=True)
        try:
            self.header = _header(next(self._rows), only_id=only_id)
        except (csv.Error, StopIteration) as error:
            raise FileError(gettext("The header cannot be read: %(error)s.") % {"error": error}) from None

    def rows(self) -> Iterator[Row]:
        """Yield the rows; those that are refused have a reason. Raises `FileError` beyond `MOST_ROWS`."""
        seen: dict[str, int] = {}
        place = self.header.index(ID)
        count = 0
        while True:
            line = self._rows.line_num + 1
            try:
                cells = next(self._rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise FileError(
                    gettext("Line %(line)s cannot be read: %(error)s. Nothing was imported.")
                    % {"line": line, "error": error}
                ) from None
            if not any(cell.strip() for cell in cells):
                continue
            count += 1
            if count > MOST_ROWS:
                raise FileError(
                    gettext(
                        "The file has more than %(most_rows)s rows, the most that one may have."
                        " Nothing was imported; split it and import the parts one after the other."
                    )
                    % {"most_rows": number(MOST_ROWS)}
                )
            cells = [_plain(cell) for cell in cells]
            reason = _shape(cells, self.header)
            if not reason:
                key = cells[place].strip()
                if key in seen:
                    reason = gettext("the same %(id)s stands in line %(seen)s") % {
                        "id": ID,
                        "seen": seen[key],
                    }
                else:
                    seen[key] = line
            yield Row(line, cells[: len(self.header) + 1], reason)

    def close(self) -> None:
        """Leave the file open for whoever gave it."""
        self._text.detach()


def _encoding(file: IO[bytes], head: bytes) -> str:
    for magic, what in OTHERS.items():
        if head.startswith(magic):
            raise FileError(
                gettext("This is %(what)s, not a CSV file. Save it as CSV (UTF-8) and import that.")
                % {"what": what}
            )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[:4096].count(b"\x00") > len(head[:4096]) // 100:
        raise FileError(gettext("This is not a text file. Save it as CSV (UTF-8) and import that."))
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = 0
    try:
        while piece := file.read(1024 * 1024):
            size += len(piece)
            if size > MOST_BYTES:
                raise FileError(
                    gettext(
                        "The file is larger than %(most_bytes)s MB, the most that one may be."
                        " Split it and import the parts one after the other."
                    )
                    % {"most_bytes": MOST_BYTES // 1024 // 1024}
                )
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        file.seek(0)
        _check_windows(file)
        return "cp1252"
    finally:
        file.seek(0)
    return "utf-8-sig"


def _check_windows(file: IO[bytes]) -> None:
    """Refuse one of the five bytes that Windows-1252 has no letter for, with its line."""
    lines = 1
    while piece := file.read(1024 * 1024):
        if hole := _HOLES.search(piece):
            lines += piece[: hole.start()].count(b"\n")
            raise FileError(
                gettext(
                    "Line %(lines)s is neither UTF-8 nor Windows-1252 (Latin-1). Save the file as CSV (UTF-8)."
                )
                % {"lines": lines}
            )
        lines += piece.count(b"\n")


def _guarded(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines; UTF-16 that breaks off is the file's fault, not ours."""
    try:
        while line := text.readline(MOST_COLUMNS * MOST_CHARACTERS):
            yield line
    except UnicodeDecodeError as error:
        raise FileError(
            gettext("The file is not what its beginning says (%(encoding)s). Save it as CSV (UTF-8).")
            % {"encoding": error.encoding}
        ) from None


def _outside(line: str) -> str:
    """Return a line without what stands in quotation marks."""
    return re.sub(r'"[^"]*"', "", line)


def _header(cells: list[str], *, only_id: bool) -> list[str]:
    names = [cell.strip() for cell in cells]
    names = [name.lower() if name.lower() in FIELDS else name for name in names]
    if len(names) > MOST_COLUMNS:
        raise FileError(
            gettext("The header has %(count)s columns; %(most_columns)s are the most.")
            % {"count": len(names), "most_columns": MOST_COLUMNS}
        )
    if ID not in names:
        near = get_close_matches(ID, [name.lower().replace(" ", "_") for name in names], n=1, cutoff=0.6)
        found = next((name for name in names if near and name.lower().replace(" ", "_") == near[0]), "")
        hint = (
            gettext(" There is “%(found)s”: did you mean %(id)s?") % {"found": found, "id": ID}
            if found
            else gettext(" It has %(listed)s.") % {"listed": ", ".join(names)[:200]}
        )
        raise FileError(
            gettext("The header has no column %(id)s, which says who a row is about.%(hint)s")
            % {"id": ID, "hint": hint}
        )
    for place, name in enumerate(names, 1):
        if not name:
            raise FileError(
                gettext("Column %(number)s of the header has no name. Name it, or remove the column.")
                % {"number": place}
            )
        if names.count(name) > 1:
            raise FileError(gettext("The header has the column “%(name)s” twice.") % {"name": name})
        if only_id or name in FIELDS:
            continue
        # short names are near to much: an attribute “zone” is not a slip of “time_zone”
        if near := get_close_matches(name.lower().replace(" ", "_"), FIELDS, n=1, cutoff=0.8):
            raise FileError(
                gettext("The header has the column “%(name)s”: did you mean %(near)s?")
                % {"name": name, "near": near[0]}
            )
        if not ATTRIBUTE_NAME.fullmatch(name):
            raise FileError(
                gettext(
                    "“%(name)s” cannot be the name of an attribute: at most 64 letters, digits, “_”, “-”, “.” and"
                    " spaces, beginning with a letter or “_”."
                )
                % {"name": name[:80]}
            )
    return names


def _plain(cell: str) -> str:
    """Return a cell as it was before it was made safe for spreadsheets."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in UNSAFE and len(cell) > 1 else cell


def _shape(cells: list[str], header: list[str]) -> str:
    if len(cells) != len(header):
        return gettext("it has %(count)s cells, the header %(columns)s") % {
            "count": len(cells),
            "columns": len(header),
        }
    for name, cell in zip(header, cells, strict=True):
        if "\x00" in cell:
            return gettext("%(name)s holds the character NUL") % {"name": name}
        if len(cell) > MOST_CHARACTERS:
            return gettext("%(name)s has %(count)s characters, more than %(most_characters)s") % {
                "name": name,
                "count": number(len(cell)),
                "most_characters": number(MOST_CHARACTERS),
            }
    key = cells[header.index(ID)].strip()
    if not key:
        return gettext("%(id)s is empty") % {"id": ID}
    if not formats.is_external_id(key):
        return gettext("%(id)s is not 1 to 255 characters without “/” and control characters") % {"id": ID}
    return ""


def values(header: list[str], cells: list[str]) -> Values:
    """Return what a row of a good shape says; an empty cell says nothing. Raises `ValueError` with the reason."""
    fields: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    key = ""
    for name, cell in zip(header, cells, strict=True):
        text = cell.strip()
        if name == ID:
            key = text
        elif not text:
            continue
        elif name in FIELDS:
            fields[name] = _field(name, text)
        else:
            attributes[name] = _list(text) if name == TAGS else _value(text)
    return Values(key, fields, attributes)


_zones = zone_names()


def _field(name: str, text: str) -> Any:
    if name == "consent":
        if text.lower() not in TRUE + FALSE:
            raise ValueError(
                gettext("consent “%(text)s” is none of true, false, yes, no, 1 and 0") % {"text": text[:40]}
            )
        return text.lower() in TRUE
    if name == "locale":
        tag = text.replace("_", "-")
        if not formats.LOCALE.fullmatch(tag) or len(tag) > 35:
            raise ValueError(
                gettext("locale “%(text)s” is no language tag, as de or pt-BR") % {"text": text[:40]}
            )
        return tag
    if name == "time_zone":
        if text not in _zones:
            near = get_close_matches(text, _zones, n=1)
            said = {"text": text[:40], "near": near[0] if near else ""}
            raise ValueError(
                gettext("time_zone “%(text)s” is no IANA time zone: did you mean %(near)s?") % said
                if near
                else gettext("time_zone “%(text)s” is no IANA time zone, as Europe/Berlin") % said
            )
        return text
    try:
        quiet_hours.parse(text)
    except quiet_hours.QuietHoursError as error:
        raise ValueError(f"quiet_hours: {error}") from None
    return text


def _value(text: str) -> Any:
    """Return true, false, numbers and JSON lists as what they are, everything else as text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _NUMBER.fullmatch(text):
        number = float(text) if "." in text else int(text)
        return number if abs(number) <= MAX_NUMBER else text
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return found if all(isinstance(one, str | int | float | bool) for one in found) else text
    return text


def _list(text: str) -> list[Any]:
    found = _value(text)
    return found if isinstance(found, list) else [one.strip() for one in text.split("|") if one.strip()]
