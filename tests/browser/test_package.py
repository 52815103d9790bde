"""The npm package of the client: what is in it, and that its types are right, as npm and TypeScript see them."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from clients import build
from tests.servers import node_tools

ROOT = Path(__file__).parents[2]
SHIPPED = {
    "LICENSE", "README.md", "package.json", "notifyhub.js", "notifyhub.d.ts", "notifyhub-inbox.js",
    "notifyhub-inbox.d.ts", "notifyhub-inbox.css", "notifyhub-sw.js",
}  # fmt: skip
USE = """
import { connect, Entry, Hub, Problem, Latest } from "notifyhub";
import { attach } from "notifyhub/inbox";

const hub: Hub = connect({
  url: "/ws/v1/",
  getToken: (done) => done("token"),
  onEntry: (entry: Entry) => { const at: string = entry.sent_at; },
  onState: (state, detail) => { if (state === "connected" && detail.transport === "poll") { hub.close(); } },
  transports: ["websocket", "poll"], landing: 5000, times: { base: 100 }, worker: "/notifyhub-sw.js",
});
const off: () => void = hub.on("marked", (ids, state) => { if (state === "archived") { hub.receipt(ids, "read"); } });
hub.ask<Latest>("GET", "inbox/latest", null, (problem: Problem | null, answer) => answer?.entries[0].state);
hub.enablePush((problem) => problem?.title);
document.querySelector("notifyhub-inbox")!.hub = hub;
attach(document.body, hub, { theme: "dark", texts: { heading: "Mitteilungen" } }).open();
"""
WRONG = [
    'connect({ url: "/ws/v1/" });',
    'connect({ token: "t" });',
    'connect({ url: "/", token: "t", transports: ["pigeon"] });',
    'connect({ url: "/", token: "t", onentry: () => 0 });',
    'hub.receipt("a", "seen");',
    'hub.on("entries", () => 0);',
    'hub.state = "closed";',
    'attach(document.body, hub, { texts: { header: "x" } });',
]


def package() -> dict[str, object]:
    found: dict[str, object] = json.loads((build.SOURCES / "package.json").read_text())
    return found


def test_the_package_has_the_version_and_licence_of_the_hub() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (package()["version"], package()["license"]) == (project["version"], project["license"])
    assert (build.SOURCES / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_everything_the_package_names_is_there_and_built_files_come_of_it() -> None:
    text = json.dumps([package()[name] for name in ("main", "types", "exports", "files")])
    named = {one.removeprefix("./") for one in re.findall(r'"((?:\./)?notifyhub[^"]*\.[a-z.]+)"', text)}
    assert named | {"LICENSE", "README.md", "package.json"} == SHIPPED
    assert all((build.SOURCES / name).is_file() for name in SHIPPED)
    assert set(build.BUILT) <= SHIPPED


def test_every_option_event_and_member_that_the_client_has_is_typed() -> None:
    script = (build.SOURCES / "notifyhub.js").read_text()
    types = (build.SOURCES / "notifyhub.d.ts").read_text()
    options = set(re.findall(r"\boptions\.(\w+)", script)) - {"times"}
    lists = {
        name: re.search(rf"var {name} = \[([^\]]*)\]", script) for name in ("EVENTS", "TRANSPORTS", "KINDS")
    }
    words = {word for found in lists.values() if found for word in re.findall(r'"(\w+)"', found[1])}
    times = re.search(r"var TIMES = \{(.*?)\n  \};", script, re.DOTALL)
    members = re.search(r"var hub = \{([^}]*)\}", script)
    assert times and members
    told = re.sub("//.*", "", times[1]) + members[1]
    asked = options | words | set(re.findall(r"(\w+):", told))
    assert len(asked) > 35
    assert [name for name in sorted(asked) if not re.search(rf"\b{name}\b", types)] == []


def test_every_text_of_the_widget_is_typed() -> None:
    script = (build.SOURCES / "notifyhub-inbox.js").read_text()
    texts = re.search(r"var TEXTS = \{(.*?)\n  \};", script, re.DOTALL)
    types = re.search(
        r"interface Texts \{(.*?)\n\}", (build.SOURCES / "notifyhub-inbox.d.ts").read_text(), re.DOTALL
    )
    assert texts and types
    assert set(re.findall(r"(\w+): \"", texts[1])) == set(re.findall(r"(\w+): string", types[1]))


@pytest.mark.server
def test_npm_packs_what_is_shipped_and_nothing_else() -> None:
    packed = subprocess.run(
        [str(node_tools.find_npm()), "pack", "--dry-run", "--json", "--ignore-scripts"],
        cwd=build.SOURCES, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {one["path"] for one in json.loads(packed.stdout)[0]["files"]} == SHIPPED


def compiled(folder: Path, program: str) -> str:
    """Return what TypeScript says of a program that uses the package; empty: nothing."""
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "notifyhub").symlink_to(build.SOURCES)
    (folder / "use.ts").write_text(program)
    options = ["--noEmit", "--strict", "--target", "es2020", "--module", "nodenext", "--lib", "es2020,dom"]
    command = ["node", str(node_tools.find_compiler()), *options, "--preserveSymlinks", "use.ts"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.server
def test_a_program_that_uses_the_package_compiles_and_every_wrong_use_does_not(tmp_path: Path) -> None:
    said = compiled(tmp_path, USE + "\n".join(WRONG))
    first = USE.count("\n") + 1
    lines = {int(number) for number in re.findall(r"use\.ts\((\d+),", said)}
    assert lines == set(range(first, first + len(WRONG))), said
