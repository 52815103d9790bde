"""Node.js and TypeScript's compiler, for the tests of the npm package; TypeScript comes from npm, pinned."""

import shutil
import subprocess
from pathlib import Path

from tests.servers.cassandra_node import servers_folder
from tests.servers.process import ServerError

TYPESCRIPT = "5.9.3"
_INSTALL = "run `python -m tests.servers install`"


def find_npm() -> Path:
    """Return npm; raises `ServerError` where Node.js or npm is missing."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        raise ServerError(f"no Node.js with npm on PATH: {_INSTALL}, or install nodejs and npm")
    return Path(npm)


def compiler_folder() -> Path:
    """Return where this version of TypeScript belongs, whether it is there or not."""
    return servers_folder() / f"typescript-{TYPESCRIPT}"


def find_compiler() -> Path:
    """Return TypeScript's compiler, a script for Node.js; raises `ServerError` when it was never downloaded."""
    compiler = compiler_folder() / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        raise ServerError(f"no TypeScript {TYPESCRIPT} in {compiler_folder()}: {_INSTALL}")
    return compiler


def fetch_compiler() -> None:
    """Have npm fetch TypeScript; a folder that is there is whole."""
    target = compiler_folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    making = target.with_name(f"{target.name}-fetching")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    (making / "package.json").write_text('{"private": true}')
    wanted = [f"typescript@{TYPESCRIPT}"]
    flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--save-exact"]
    subprocess.run([str(find_npm()), "install", *flags, *wanted], cwd=making, check=True)
    making.rename(target)
