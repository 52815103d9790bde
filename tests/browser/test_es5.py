"""What the hub serves to old TV engines is ECMAScript 5, in syntax and in the library it calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from calmjs.parse import es5
from calmjs.parse.asttypes import DotAccessor, Identifier, Node, Regex
from calmjs.parse.exceptions import ECMASyntaxError
from calmjs.parse.walkers import Walker

from .page import static_folder

SCRIPTS = sorted(static_folder().glob("*.js"))
# Globals and members that came with ES2015 or later (or a browser of that age), with no ES5 namesake of ours.
LATER_GLOBALS = {"Promise", "Map", "Set", "WeakMap", "WeakSet", "Symbol", "Proxy", "Reflect", "BigInt", "globalThis",
                 "fetch", "URL", "URLSearchParams", "AbortController", "TextDecoder", "crypto", "queueMicrotask",
                 "structuredClone", "BroadcastChannel", "IntersectionObserver"}  # fmt: skip
LATER_MEMBERS = {"assign", "entries", "values", "fromEntries", "includes", "startsWith", "endsWith", "padStart",
                 "padEnd", "repeat", "findIndex", "find", "flat", "flatMap", "from", "of", "fill", "isInteger",
                 "append", "prepend", "before", "after", "replaceWith", "closest", "replaceAll", "trimStart",
                 "at", "finally", "then", "remove"}  # fmt: skip
# Members of ours with such a name: frame.entries.
OURS = {"notifyhub.js": {"entries"}, "device.js": set[str]()}


def nodes(source: str, kind: type[Node] | tuple[type[Node], ...]) -> Iterator[Node]:
    """Every node of this kind in the program; raises `ECMASyntaxError` for anything that is not ES5."""
    return Walker().filter(es5(source), lambda node: isinstance(node, kind))  # type: ignore[no-any-return]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_for_tvs_has_es5_syntax_only(script: Path) -> None:
    flags = [node.value.rpartition("/")[2] for node in nodes(script.read_text(), Regex)]
    assert all(set(flag) <= set("gim") for flag in flags)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_for_tvs_calls_nothing_that_es5_engines_lack(script: Path) -> None:
    program = script.read_text()
    members = {node.identifier.value for node in nodes(program, DotAccessor)}
    names = {node.value for node in nodes(program, Identifier)}
    assert members & LATER_MEMBERS - OURS[script.name] == set()
    assert names & LATER_GLOBALS == set()


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
