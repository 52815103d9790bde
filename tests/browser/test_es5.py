"""What devices load is ECMAScript 5, in syntax and in the library it calls; small; and built of its source."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from calmjs.parse import es5
from calmjs.parse.asttypes import DotAccessor, Identifier, Node, Regex, String
from calmjs.parse.exceptions import ECMASyntaxError
from calmjs.parse.walkers import Walker

from clients import build

from .page import static_folder

SERVED = sorted(static_folder().rglob("*.js"))
SCRIPTS = [*SERVED, *sorted(build.SOURCES.rglob("*.js"))]
BUDGET = 8 * 1024
"""Bytes of notifyhub.js, gzipped."""
# Globals and members that came with ES2015 or later (or a browser of that age), with no ES5 namesake of ours.
LATER_GLOBALS = {"Promise", "Map", "Set", "WeakMap", "WeakSet", "Symbol", "Proxy", "Reflect", "BigInt", "globalThis",
                 "fetch", "URL", "URLSearchParams", "AbortController", "TextDecoder", "crypto", "queueMicrotask",
                 "structuredClone", "BroadcastChannel", "IntersectionObserver"}  # fmt: skip
LATER_MEMBERS = {"assign", "entries", "values", "fromEntries", "includes", "startsWith", "endsWith", "padStart",
                 "padEnd", "repeat", "findIndex", "find", "flat", "flatMap", "from", "of", "fill", "isInteger",
                 "append", "prepend", "before", "after", "replaceWith", "closest", "replaceAll", "trimStart",
                 "at", "finally", "then", "remove"}  # fmt: skip
# What has such a name and is none (`entries` and `before` of answers), or is asked for where it must be there: Web Push
# and service workers come with promises, custom elements with Reflect.
ALLOWED = {
    "notifyhub.js": {"entries", "then"},
    "notifyhub-inbox.js": {"entries", "before", "Reflect"},
    "notifyhub-sw.js": {"then", "Promise", "URL", "fetch"},
}


def nodes(source: str, kind: type[Node] | tuple[type[Node], ...]) -> Iterator[Node]:
    """Every node of this kind in the program; raises `ECMASyntaxError` for anything that is not ES5."""
    return Walker().filter(es5(source), lambda node: isinstance(node, kind))  # type: ignore[no-any-return]


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_a_script_for_tvs_has_es5_syntax_only(script: Path) -> None:
    flags = [node.value.rpartition("/")[2] for node in nodes(script.read_text(), Regex)]
    assert all(set(flag) <= set("gim") for flag in flags)


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_a_script_for_tvs_calls_nothing_that_es5_engines_lack(script: Path) -> None:
    program = script.read_text()
    members = {node.identifier.value for node in nodes(program, DotAccessor)}
    names = {node.value for node in nodes(program, Identifier)}
    allowed = ALLOWED.get(script.name, set())
    assert members & LATER_MEMBERS - allowed == set()
    assert names & LATER_GLOBALS - allowed == set()


def test_every_script_that_is_served_is_looked_at() -> None:
    served = {path.name for path in SERVED}
    assert served == {"device.js", "notifyhub.js", "notifyhub-inbox.js", "notifyhub-sw.js"}


def test_the_client_is_under_eight_kilobytes() -> None:
    size = len(gzip.compress((static_folder() / "notifyhub.js").read_bytes(), 9))
    print(f"notifyhub.js: {size:,} bytes gzipped")
    assert size < BUDGET


@pytest.mark.parametrize("name", build.BUILT)
def test_what_is_served_is_built_of_its_source(name: str) -> None:
    assert (static_folder() / name).read_text() == build.output(name), "run `python -m clients.build`"


def test_a_build_changes_no_text_of_a_script() -> None:
    texts = sorted(node.value for node in nodes((build.SOURCES / "notifyhub.js").read_text(), String))
    built = sorted(node.value for node in nodes((static_folder() / "notifyhub.js").read_text(), String))
    assert texts == built


def test_the_client_is_one_file_that_names_no_other() -> None:
    program = (static_folder() / "notifyhub.js").read_text()
    assert not any(name in program for name in ("require(", "importScripts", "createElement", ".src"))


@pytest.mark.parametrize(
    "later",
    ["let a = 1;", "const a = 1;", "f(() => 1);", "f(`a`);", "class A {}", "f(...a);", "var {a} = b;", "var a = {b};",
     "for (var a of b) {}", "a?.b;", "a ?? b;", "f(a,);", "function f(a = 1) {}", "async function f() {}", "2 ** 3;",
     "try {} catch {}"],
)  # fmt: skip
def test_the_parser_refuses_later_syntax(later: str) -> None:
    with pytest.raises(ECMASyntaxError):
        es5(later)
