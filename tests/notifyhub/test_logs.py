import io
import json
import logging
import sys

import pytest
import structlog

from notifyhub import logs


@pytest.fixture
def lines(monkeypatch):
    """Set logging up as the hub does; return a function that gives what was written so far, a document a line."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    handlers, level = logging.root.handlers, logging.root.level
    logs.configure({"level": "INFO"})
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.root.handlers = handlers
    logging.root.setLevel(level)


def test_a_line_is_a_json_object_with_ids_as_keys(lines):
    structlog.get_logger("delivery.test").info("parcel.sent", run="r1", parcel=7)
    (line,) = lines()
    assert line["event"] == "parcel.sent"
    assert (line["run"], line["parcel"], line["level"], line["logger"]) == ("r1", 7, "info", "delivery.test")


def test_the_standard_librarys_loggers_write_the_same_lines(lines):
    logging.getLogger("some.library").warning("gave up after %d tries", 3)
    (line,) = lines()
    assert (line["event"], line["level"]) == ("gave up after 3 tries", "warning")


def test_ids_that_are_bound_to_the_context_stand_in_every_line(lines):
    with structlog.contextvars.bound_contextvars(page=12):
        logging.getLogger("other").warning("x")
    assert lines()[0]["page"] == 12


def test_values_under_telling_keys_are_blanked(lines):
    structlog.get_logger("t").info("x", token="abc", device_token="abc", secret={"a": "abc"}, password="abc")
    (line,) = lines()
    assert "abc" not in json.dumps(line)
    assert line["token"] == logs.BLANK


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer sesame.open-it",
        "subprotocol notifyhub.auth.sesame.open-it",
        "key nh_0a1b2c_sesame-open-it",
        "at redis://:sesame@127.0.0.1:6379/0",
        "at postgresql://hub:sesame@db/hub",
        "jws eyJhbGciOiJIUzI1NiJ9.eyJzZXNhbWUiOjF9.sesame",
    ],
)
def test_credentials_inside_texts_are_blanked_and_the_rest_stays(lines, text):
    structlog.get_logger("t").info("x", detail=f"before {text} after")
    detail = lines()[0]["detail"]
    assert "sesame" not in detail
    assert detail.startswith("before ")
    assert detail.endswith(" after")


def test_a_traceback_is_blanked_too(lines):
    try:
        raise ValueError("refused: Bearer sesame")
    except ValueError:
        structlog.get_logger("t").exception("x")
    (line,) = lines()
    assert "ValueError" in line["exception"]
    assert "sesame" not in line["exception"]


def test_nested_values_are_blanked():
    shown = logs.blank({"rows": [{"token": "sesame", "id": 1}]})
    assert shown == {"rows": [{"token": logs.BLANK, "id": 1}]}


def test_words_that_only_contain_a_telling_word_stay():
    assert logs.blank({"tokens_left": 4, "keyboard": "x"}) == {"tokens_left": 4, "keyboard": "x"}
