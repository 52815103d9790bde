from pathlib import Path

import pytest

from bench import baseline


def test_without_go_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(baseline, "CACHE", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(baseline.BaselineError, match=r"no `go` on PATH: install Go"):
        baseline.build()


def test_a_program_that_was_built_from_the_same_source_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(baseline, "CACHE", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: None)
    (tmp_path / baseline.program_name()).touch()
    assert baseline.build() == tmp_path / baseline.program_name()


def test_a_program_that_ends_at_once_is_an_error_and_no_hang(tmp_path: Path):
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    with pytest.raises(baseline.BaselineError):
        baseline.run(Path("/bin/false"), plan, baseline.Settings())


def test_a_build_that_fails_says_what_the_compiler_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho main.go:1: no >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setattr(baseline, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("shutil.which", lambda _: str(go))
    with pytest.raises(baseline.BaselineError, match=r"main\.go:1: no"):
        baseline.build()
