"""What the snippets and how-tos ask of the hub is in its OpenAPI schema: addresses, fields, words and headers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_kotlin
import tree_sitter_swift
from drf_spectacular.generators import SchemaGenerator
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).parents[2]
SWIFT, KOTLIN, ROKU = (
    ROOT / "clients" / name
    for name in ("ios/NotifyHub.swift", "android/NotifyHub.kt", "roku/NotifyHubTask.brs")
)
HOW_TOS = sorted((ROOT / "docs" / "how-to").glob("connect-*.md"))
CALLS = re.compile(r'\b(?:send|ask)\(\s*"(GET|POST|PUT|PATCH)",\s*"([^"]+)"')
PATHS = re.compile(r'"(inbox[^"]*)"')
# Words of the snippets that are no field of the API: of the payloads (delivery/senders), of HTTP, of the platforms.
PAYLOAD = {"nh", "nh_id"}
HTTP = {
    "authorization",
    "content-type",
    "application/json",
    "if-none-match",
    "etag",
    "poll-after-ms",
    "retry-after",
}
ELSEWHERE = {
    SWIFT: {"en", "%02x"},
    KOTLIN: set[str](),
    ROKU: {"serve", "receipt", "seen", "notifyhub", "rosgnodeevent", "rourlevent", "rourltransfer", "romessageport",
           "roregistrysection", "rotimespan", "common:/certs/ca-bundle.crt"},
}  # fmt: skip
OUTCOMES = {
    SWIFT: {("PUT", "devices"), ("POST", "receipts"), ("GET", "inbox/latest")},
    KOTLIN: {("PUT", "devices"), ("POST", "receipts"), ("GET", "inbox/latest")},
    ROKU: {("GET", "inbox"), ("POST", "receipts")},
}


@pytest.fixture(scope="module")
def schema() -> Any:
    return SchemaGenerator(urlconf="notifyhub.urls").get_schema(request=None, public=True)


def paths_of(schema: Any) -> dict[str, Any]:
    """Return the operations by path as snippets write it, without parameters: devices, inbox/latest."""
    return {
        re.sub(r"/\{[^}]*\}", "/…", path.removeprefix("/api/v1/")): item
        for path, item in schema["paths"].items()
    }


def named(path: str) -> tuple[str, set[str]]:
    """Return a snippet's path as the schema has it, and the parameters of its query."""
    place, _, query = path.partition("?")
    place = re.sub(r"^devices/.+$", "devices/…", place)
    return place, set(re.findall(r"(?:^|&)(\w+)=", query))


def words_of(schema: Any, value: Any, met: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield every field name and enumerated word of a part of the schema."""
    if isinstance(value, list):
        for one in value:
            yield from words_of(schema, one, met)
    elif isinstance(value, dict):
        reference = value.get("$ref", "").rpartition("/")[2]
        if reference and reference not in met:
            yield from words_of(schema, schema["components"]["schemas"][reference], met | {reference})
        yield from (str(word) for word in value.get("enum", []))
        yield from value.get("properties", {})
        for one in value.values():
            yield from words_of(schema, one, met)


def calls_of(snippet: Path) -> list[tuple[str, str]]:
    """Return the method and path of every request of a snippet."""
    text = snippet.read_text()
    found = CALLS.findall(text)
    if snippet is ROKU:
        found += [("GET", path) for path in PATHS.findall(text)]
    return [(method, path.replace("\\(device)", "x").replace("$device", "x")) for method, path in found]


def literals(snippet: Path) -> set[str]:
    """Return the texts of a snippet without its comments, in lower case."""
    mark = "'" if snippet is ROKU else "//"
    code = "\n".join(
        line.partition(f" {mark}")[0]
        for line in snippet.read_text().splitlines()
        if not line.lstrip().startswith(mark)
    )
    code = re.sub(r"/\*\*.*?\*/", "", code, flags=re.DOTALL)
    return {
        text.lower() for text in re.findall(r'"((?:[^"\\]|\\.)*)"', code) if re.fullmatch(r"[\w:/.%-]+", text)
    }


@pytest.mark.parametrize("snippet", [SWIFT, KOTLIN, ROKU], ids=lambda path: path.name)
def test_every_request_of_a_snippet_is_one_of_the_api(schema: Any, snippet: Path) -> None:
    known = paths_of(schema)
    seen = set()
    for method, path in calls_of(snippet):
        place, query = named(path)
        operation = known[place][method.lower()]
        assert query <= {one["name"] for one in operation.get("parameters", [])}, path
        seen.add((method, place.removesuffix("/…")))
    assert seen == OUTCOMES[snippet]


@pytest.mark.parametrize("snippet", [SWIFT, KOTLIN, ROKU], ids=lambda path: path.name)
def test_every_word_of_a_snippet_is_one_of_its_requests(schema: Any, snippet: Path) -> None:
    known = paths_of(schema)
    operations = [known[named(path)[0]][method.lower()] for method, path in calls_of(snippet)]
    words = {word.lower() for word in words_of(schema, operations)}
    methods = {"get", "post", "put"}
    parts = {path.lower() for _, path in calls_of(snippet)}
    strange = literals(snippet) - words - PAYLOAD - HTTP - ELSEWHERE[snippet] - methods - parts
    assert strange - {"ids", "receipts", "devices/$device"} == set()
    assert {"ids", "receipts"} <= words


@pytest.mark.parametrize(
    ("snippet", "language"),
    [(SWIFT, tree_sitter_swift.language()), (KOTLIN, tree_sitter_kotlin.language())],
    ids=["swift", "kotlin"],
)
def test_a_snippet_is_read_by_its_language_and_is_short(snippet: Path, language: object) -> None:
    parser = Parser(Language(language))

    def faults(node: Node) -> list[str]:
        here = [str(node.start_point)] if node.is_error or node.is_missing else []
        return here + [fault for child in node.children for fault in faults(child)]

    source = snippet.read_text()
    assert faults(parser.parse(source.encode()).root_node) == []
    assert faults(parser.parse(source.replace("}", "", 1).encode()).root_node) != []
    lines = [line.strip() for line in source.splitlines()]
    code = [line for line in lines if line and not line.startswith(("//", "/**", "import"))]
    assert len(code) <= 40


def test_roku_has_blocks_that_end() -> None:
    code = re.sub(r"'.*", "", ROKU.read_text())
    for word in ("sub", "function", "while"):
        begun = re.findall(rf"^\s*{word}\b", code, re.MULTILINE)
        assert len(begun) == len(re.findall(rf"^\s*end {word}\b", code, re.MULTILINE)) > 0


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda path: path.name)
def test_what_a_how_to_asks_of_the_hub_is_there(schema: Any, page: Path) -> None:
    text = page.read_text()
    known = paths_of(schema)
    asked = re.findall(r"\bapi (GET|POST|PUT|PATCH) ([a-z][\w/-]*)", text)
    asked += re.findall(r"`(GET|POST|PUT|PATCH) /api/v1/([a-z/-]+)", text)
    for method, path in asked:
        place = path.rstrip("/")
        choices = [place, f"{place}/…", re.sub(r"/[^/]+$", "/…", place)]
        assert any(method.lower() in known.get(choice, {}) for choice in choices), (method, path)
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link


def test_there_is_a_how_to_for_every_kind_of_device() -> None:
    text = "\n".join(page.read_text() for page in HOW_TOS)
    for word in ("Tizen", "webOS", "Roku", "Fire TV", "Swift", "Kotlin", "notifyhub-inbox", "npm"):
        assert word in text
