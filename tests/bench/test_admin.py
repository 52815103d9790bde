import json

import msgspec
import pytest

from bench import admin, command, result
from bench.admin import Measured, Page


def measured(*pages: Page, refused: tuple[str, ...] = ()) -> Measured:
    return Measured(list(pages), 1.0, list(refused))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(found: Measured):
        monkeypatch.setattr(command, "measured", lambda _: (result.read_goals("admin"), found))
        status = admin.main([])
        return status, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


QUICK, SLOW = Page("runs", 120.0, 150.0, 9, 40.0), Page("dashboard", 420.0, 500.0, 31, 50.0)


def test_the_slowest_page_is_what_counts(said):
    status, line = said(measured(QUICK, SLOW))
    assert status == result.DELIVERED
    assert line["ratios"] == {"seconds_slowest_page": 0.42} and not line["met"]
    assert (line["figures"]["slowest"], line["figures"]["over_300_ms"]) == ("dashboard", ["dashboard"])
    assert said(measured(QUICK))[1]["met"]


def test_a_page_that_is_not_there_makes_the_figures_void(said):
    status, _ = said(measured(QUICK, refused=("why: /admin/why/ answered 500",)))
    assert status == result.NOT_DELIVERED


def test_what_was_measured_is_read_as_it_was_written():
    assert msgspec.json.decode(msgspec.json.encode(measured(SLOW)), type=Measured) == measured(SLOW)
