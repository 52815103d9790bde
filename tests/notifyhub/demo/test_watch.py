import io

import pytest

from delivery import runs
from notifyhub.demo import watch


def _progress(**values):
    sums = {"audience": 10, "stopped": {"no_consent": 1}, "logged": 9, "messages": 9, "outcomes": {"sent": 9}}
    return runs.Progress(**{**sums, "reasons": {}, "waiting": 0, "deferred": 0, "planned": True, **values})


def test_the_bar_fills():
    assert watch.bar(0, 10, width=4) == "[····] 0/10"
    assert watch.bar(5, 10, width=4) == "[██··] 5/10"
    assert watch.bar(12, 10, width=4) == "[████] 12/10"
    assert watch.bar(0, 0, width=2) == "[··] 0/0"


def test_it_watches_until_nothing_waits(monkeypatch):
    steps = iter([_progress(planned=False), _progress(waiting=3), _progress()])
    monkeypatch.setattr(runs, "progress", lambda run: next(steps))
    paused = []
    found = watch.until_complete(None, expected=10, within=60, out=io.StringIO(), pause=paused.append)
    assert found.logged == 9
    assert len(paused) == 2


def test_it_gives_up_with_where_the_run_stands(monkeypatch):
    class Run:
        title = "Spring"

    monkeypatch.setattr(runs, "progress", lambda run: _progress(waiting=3))
    with pytest.raises(watch.WatchError, match=r"'Spring' is not complete.*waiting=3"):
        watch.until_complete(Run(), expected=10, within=0, out=io.StringIO())
