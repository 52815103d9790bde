"""The load client (`bench/baselines/push`), driven by lines: the same for every server."""

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class LoadError(Exception):
    """The load client, or the server it speaks to, did not do what it was told; says what."""


class Load:
    """Holds connections to one server and counts what arrives."""

    def __init__(self, program: Path, config: dict[str, Any], folder: Path, *, cpu: int) -> None:
        path = folder / "load.json"
        path.write_text(json.dumps(config))
        self._process = subprocess.Popen(
            [str(program), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"GOMAXPROCS": "1"},
        )
        os.sched_setaffinity(self._process.pid, {cpu})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def tell(self, *words: object) -> dict[str, Any]:
        """Give a line and return the answer; raises `LoadError` when that names an error."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise LoadError(f"the load client ended at “{words[0]}”")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("error"):
            raise LoadError(f"{words[0]}: {answer['error']} ({answer})")
        return answer
