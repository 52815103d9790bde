import json
import uuid

import pytest

from delivery import runs
from fleet.client import FleetError
from notifyhub.demo import report


class Run:
    title, uid = "Spring", uuid.UUID(int=7)


class Fleet:
    """A fleet that has counted what it is told."""

    def __init__(self, **counts: int) -> None:
        self.counts = counts
        self.rows: list[list[object]] = []

    def arrivals(self, *, run: str):
        return {"arrivals": self.rows}

    def wait(self, *, run: str, at_least: int, timeout: float) -> int:
        if sum(self.counts.values()) < at_least:
            raise FleetError("not in time")
        return sum(self.counts.values())

    def arrived(self, *, run: str):
        return {provider: {"distinct_messages": count} for provider, count in self.counts.items()}


PROGRESS = runs.Progress(
    audience=10,
    stopped={"no_consent": 1},
    logged=9,
    messages=9,
    outcomes={"sent": 8, "stored": 1},
    reasons={},
    waiting=0,
    deferred=0,
    planned=True,
)


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    """What the hub has counted; a test may change it."""
    sums = {"sent": {"fcm": 5, "socket": 3}, "entries": 9}
    monkeypatch.setattr(
        runs,
        "balances",
        lambda run: runs.Balance(
            run=str(run.uid), title=run.title, progress=PROGRESS, stopped_rows=1, log_entries=sums["entries"]
        ),
    )
    monkeypatch.setattr(report, "sent_by_provider", lambda run: sums["sent"])
    return sums


def test_nothing_differs_when_the_fleet_saw_what_was_sent():
    assert report.differences(Run, Fleet(fcm=5, websocket=3)) == []


def test_a_provider_that_saw_less_or_more_is_named():
    (less,) = report.differences(Run, Fleet(fcm=4, websocket=3))
    assert less.endswith("fcm: 5 sent, 4 arrived at the fleet")
    (more,) = report.differences(Run, Fleet(fcm=5, websocket=4))
    assert more.endswith("socket: 3 sent, 4 arrived at the fleet")


def test_sockets_may_have_read_what_was_stored_for_them_and_no_more():
    assert report.differences(Run, Fleet(fcm=5, websocket=4), late=1) == []
    assert len(report.differences(Run, Fleet(fcm=6, websocket=3), late=1)) == 1
    assert len(report.differences(Run, Fleet(fcm=5, websocket=5), late=1)) == 1
    assert len(report.differences(Run, Fleet(fcm=5, websocket=2), late=1)) == 1


def test_an_event_is_compared_by_its_notification_alone():
    fleet = Fleet(websocket=3)
    fleet.rows = [["d", "new", 5.0, 1], ["d", "of an earlier start, told again", 4.0, 1]]
    assert report.event_differences(Run, fleet, notification="new", earlier=7) == []
    (fault,) = report.event_differences(Run, fleet, notification="new", earlier=6)
    assert fault.endswith("2 sent for the event, 1 arrived at the fleet")


def test_an_entry_that_the_log_lost_is_a_difference(counted):
    counted["entries"] = 8
    (fault,) = report.differences(Run, Fleet(fcm=5, websocket=3))
    assert "9 logged in the sums, 8 entries in the log" in fault


def test_the_report_is_one_line_of_json_with_both_balances():
    line = report.line(PROGRESS, seconds=1.2345, event_to_socket_ms=9.87)
    assert "\n" not in line
    assert json.loads(line) == {
        "audience": 10,
        "stopped": {"no_consent": 1},
        "logged": 9,
        "messages": 9,
        "outcomes": {"sent": 8, "stored": 1},
        "seconds": 1.23,
        "event_to_socket_ms": 9.9,
    }
