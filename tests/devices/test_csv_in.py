"""CSV files are read as people's programs write them, and what cannot be read is refused with what to do."""

import io
import zipfile
from typing import Any

import pytest

from devices import csv_in
from devices.csv_out import line, safe


def read(content: bytes, **options: Any) -> tuple[list[str], list[csv_in.Row]]:
    reader = csv_in.Reader(io.BytesIO(content), **options)
    return reader.header, list(reader.rows())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_delimiters_are_found_out(encoding: str, delimiter: str, end: str) -> None:
    text = end.join([delimiter.join(["external_id", "city"]), delimiter.join(["ada", "Köln"]), ""])
    header, rows = read(text.encode(encoding))
    assert header == ["external_id", "city"]
    assert [(row.cells, row.reason) for row in rows] == [(["ada", "Köln"], "")]


def test_quoted_cells_may_hold_delimiters_and_line_ends() -> None:
    header, rows = read(
        b'"a;b",external_id,note\r\nx,ada,"one\r\ntwo, ""three"""\r\n\r\ny,bob,\r\n'.replace(b'"a;b"', b"a")
    )
    assert header == ["a", "external_id", "note"]
    assert [(row.line, row.cells) for row in rows] == [
        (2, ["x", "ada", 'one\r\ntwo, "three"']),
        (5, ["y", "bob", ""]),
    ]


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"\x00" * 20_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bomb(), "This is a zip archive or an Excel workbook (xlsx), not a CSV file. Save it as CSV"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 100, "an old Excel workbook"),
        (b"\x1f\x8b\x08" + b"x" * 100, "a gzip archive"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 500, "not a text file"),
        (b"", "The file is empty"),
        (b"\n\n", "The file is empty"),
        (b"externalid,plan\nx,y\n", "There is “externalid”: did you mean external_id?"),
        (b"External Id,plan\nx,y\n", "There is “External Id”: did you mean external_id?"),
        (b"name,plan\nx,y\n", "no column external_id, which says who a row is about. It has name, plan."),
        (b"external_id,locle\nx,y\n", "“locle”: did you mean locale?"),
        (b"external_id,time zone\nx,y\n", "“time zone”: did you mean time_zone?"),
        (b"external_id,plan,plan\nx,y,z\n", "“plan” twice"),
        (b"external_id,,plan\nx,y,z\n", "Column 2 of the header has no name"),
        (b"external_id,7\nx,y\n", "“7” cannot be the name of an attribute"),
        (b"external_id" + b",a" * 120 + b"\n", "100 are the most"),
        (b"external_id,plan\n\x81\x8d,y\n", "Line 2 is neither UTF-8 nor Windows-1252"),
        (b'external_id,plan\nx,"y\n', "Line 2 cannot be read"),
    ],
)
def test_what_is_no_file_of_people_is_refused_with_what_to_do(content: bytes, said: str) -> None:
    with pytest.raises(csv_in.FileError) as error:
        read(content)
    assert said in str(error.value)


def test_rows_that_cannot_be_are_refused_one_by_one() -> None:
    _, rows = read(
        b"external_id,plan\nada,pro\nbob\n,pro\na/b,pro\nx\x00y,pro\nada,free\ncyd,pro,more\n\ndan,"
        + b"z" * 5000
    )
    assert [(row.line, row.reason) for row in rows] == [
        (2, ""),
        (3, "it has 1 cells, the header 2"),
        (4, "external_id is empty"),
        (5, "external_id is not 1 to 255 characters without “/” and control characters"),
        (6, "external_id holds the character NUL"),
        (7, "the same external_id stands in line 2"),
        (8, "it has 3 cells, the header 2"),
        (10, "plan has 5,000 characters, more than 4,096"),
    ]


def test_too_many_rows_and_bytes_are_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_in, "MOST_ROWS", 2)
    with pytest.raises(csv_in.FileError, match="more than 2 rows, the most"):
        read(b"external_id\na\nb\nc\n")
    monkeypatch.setattr(csv_in, "MOST_BYTES", 10)
    with pytest.raises(csv_in.FileError, match="the most that one may be"):
        read(b"external_id\na\nb\nc\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("pro", "pro"),
        ("12", 12),
        ("-1.5", -1.5),
        ("007", "007"),
        ("+49", "+49"),
        ("1e5", "1e5"),
        ("99999999999999999999", "99999999999999999999"),
        ("TRUE", True),
        ("false", False),
        ('["a", 1]', ["a", 1]),
        ("[a", "[a"),
        ("NaN", "NaN"),
    ],
)
def test_values_become_what_they_are(text: str, value: Any) -> None:
    found = csv_in.values(["external_id", "x"], ["ada", text]).attributes["x"]
    assert found == value and type(found) is type(value)


def test_fields_tags_and_empty_cells() -> None:
    header = ["external_id", "locale", "time_zone", "quiet_hours", "consent", "tags", "plan"]
    found = csv_in.values(header, ["ada", "pt_BR", "Europe/Berlin", "22:00-08:00", "No", "vip | new", ""])
    assert found.fields == {
        "locale": "pt-BR",
        "time_zone": "Europe/Berlin",
        "quiet_hours": "22:00-08:00",
        "consent": False,
    }
    assert found.attributes == {"tags": ["vip", "new"]}
    for name, text, said in (
        ("locale", "german!", "no language tag"),
        ("time_zone", "Europe/Berln", "did you mean Europe/Berlin?"),
        ("consent", "maybe", "none of true, false"),
        ("quiet_hours", "late", "names no quiet hours"),
    ):
        with pytest.raises(ValueError, match=r".+") as error:
            csv_in.values(["external_id", name], ["ada", text])
        assert said in str(error.value)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "plain", "'quoted", "a,b", 'a"b'])
def test_what_was_made_safe_comes_back_as_it_was(cell: str) -> None:
    assert not safe(cell).startswith(csv_in.UNSAFE)
    _, rows = read(("external_id,note\r\n" + line(["ada", cell])).encode())
    assert rows[0].cells == ["ada", cell]
