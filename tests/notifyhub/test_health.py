import threading
import time

import pytest

from notifyhub import health


def _refuse():
    raise ConnectionError("redis://:sesame@somewhere refused")


def test_live_answers_without_asking_anybody(client, monkeypatch):
    monkeypatch.setattr(health, "CHECKS", {"database": _refuse})
    assert client.get("/-/health/live").json() == {"status": "live"}


def test_ready_when_all_parts_answer(client, monkeypatch):
    monkeypatch.setattr(health, "CHECKS", {"database": lambda: None, "redis": lambda: None})
    answer = client.get("/-/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert all(part["ok"] for part in answer.json()["parts"].values())


def test_a_part_that_fails_is_named_and_its_error_text_kept_to_the_log(client, monkeypatch):
    monkeypatch.setattr(health, "CHECKS", {"database": lambda: None, "redis": _refuse})
    answer = client.get("/-/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"]["redis"] == {"ok": False, "error": "ConnectionError"}
    assert "sesame" not in answer.content.decode()


def test_a_part_that_hangs_holds_the_answer_up_no_longer_than_the_timeout(monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(health, "CHECKS", {"log": lambda: let_go.wait(30) and None})
    began = time.monotonic()
    try:
        found = health.examine(timeout=0.1)
    finally:
        let_go.set()
    assert time.monotonic() - began < 2
    assert found["log"] == {"ok": False, "error": "no answer within 0.1 s"}


def test_without_redis_the_hub_is_not_ready():
    # The tests' environment names a port where nobody listens.
    with pytest.raises(Exception, match="refused"):
        health.check_redis()


def test_only_reading_is_allowed(client):
    assert client.post("/-/health/live").status_code == 405
