"""Every refusal is problem details: malformed bodies, wrong keys, wrong addresses, failures of the hub itself."""

import gzip
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.test import override_settings
from structlog.testing import capture_logs

from devices import keys
from devices.api import segments as segments_api
from devices.models import ApiKey
from tests.api_world import Caller, World


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status and told["type"] == f"/problems/{code}"
    assert told["title"] and told["detail"]
    return told


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"name": "x",\n  "predicate": }', "line 2, column 16"),
        (b'{"name": "\xff"}', "Byte 10 is not UTF-8"),
        (b'{"a": NaN}', "NaN is no JSON value"),
        (b'{"a": -Infinity}', "-Infinity is no JSON value"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[" * 100_000, "too deep"),
        (b"1" * 5_000, "too many digits"),
    ],
)
def test_a_malformed_body_is_refused_with_its_place(shop: World, body: bytes, said: str) -> None:
    told = problem(shop.service("POST", "segments", body), 400, "malformed-json")
    assert said in told["detail"]


@pytest.mark.parametrize("body", [b'"\\\\u0000"', b'"\\ud83d\\ude00"'])
def test_escapes_that_mean_something_storable_are_read(shop: World, body: bytes) -> None:
    answer = shop.service("PUT", "subscribers/emoji", b'{"attributes": {"a": ' + body + b"}}")
    assert answer.status_code == 201, answer.content


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1000)
def test_an_oversized_body_is_413(shop: World) -> None:
    for path in ("segments", "events", "notifications"):
        problem(shop.service("POST", path, b"[" + b" " * 1000), 413, "too-large")


def test_another_media_type_is_415_and_another_method_405(shop: World) -> None:
    told = problem(
        shop.service("POST", "segments", b"name=x", kind="text/plain"), 415, "unsupported-media-type"
    )
    assert "“Content-Type: application/json”" in told["detail"]
    told = problem(shop.service("DELETE", "segments"), 405, "method-not-allowed")
    assert told["detail"] == "Here it is GET or POST or HEAD."
    told = problem(shop.service("GET", "segments", accept="application/xml"), 406, "not-acceptable")
    assert "Answers are application/json" in told["detail"]


def test_a_compressed_body_is_refused_as_such(shop: World) -> None:
    body = gzip.compress(b"{}")
    told = problem(
        shop.service("POST", "segments", body, Content_Encoding="gzip"), 415, "unsupported-media-type"
    )
    assert "without “Content-Encoding”" in told["detail"]


def test_another_device_of_the_token_is_not_there(shop: World) -> None:
    told = problem(shop.app()("PUT", f"devices/{uuid4()}", {"platform": "web"}), 404, "not-found")
    assert told["detail"] == "There is nothing at this address, or it is not yours."


def test_a_field_of_a_notification_that_is_not_known_names_the_one_that_is(shop: World) -> None:
    told = problem(shop.service("POST", "notifications", {"to": "x", "titel": "x"}), 400, "invalid")
    assert told["errors"] == [
        {"pointer": "/titel", "detail": "There is no such field; did you mean “title”?"}
    ]


def test_an_address_that_is_not_there_is_a_404_problem(shop: World) -> None:
    for path in ("nothing", "segments/not-a-uuid", "", "campaigns/1/2/3"):
        problem(shop.service("GET", path), 404, "not-found")
        problem(Caller()("POST", path), 404, "not-found")


def test_a_slash_at_the_end_changes_nothing(shop: World) -> None:
    assert shop.service("GET", "segments/").json() == shop.service("GET", "segments").json()


@pytest.mark.parametrize(
    "secret", ["nh_000000000000_x", "nh_", "nh_x_y_z", "a.b.c", "eyJhbGciOiJub25lIn0.e30."]
)
def test_a_wrong_key_is_401(shop: World, secret: str) -> None:
    answer = Caller(secret)("GET", "segments")
    problem(answer, 401, "not-authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="notifyhub"'


def test_no_key_is_401_and_so_is_another_scheme(shop: World) -> None:
    told = problem(Caller()("GET", "segments"), 401, "not-authenticated")
    assert "an API key" in told["detail"]
    told = problem(shop.app()("GET", "segments"), 401, "not-authenticated")
    answer = Caller()("GET", "segments", Authorization="Basic YTpi")
    assert "Bearer" in problem(answer, 401, "not-authenticated")["detail"]


def test_a_missing_scope_is_403_and_named(shop: World) -> None:
    told = problem(shop.caller("events:write")("GET", "segments"), 403, "scope-missing")
    assert told["scope"] == "segments:read" and "segments:read" in told["detail"]
    problem(shop.caller("segments:read")("POST", "segments", {}), 403, "scope-missing")


def test_every_wrong_field_is_named_with_its_pointer(shop: World) -> None:
    told = problem(
        shop.service("POST", "segments", {"nam": "x", "id": 1, "predicate": {"plattform": "tv"}}),
        400,
        "invalid",
    )
    said = {error["pointer"]: error["detail"] for error in told["errors"]}
    assert "did you mean “name”" in said["/nam"] and "set by the hub" in said["/id"]
    told = problem(
        shop.service("POST", "segments", {"name": "x", "predicate": {"plattform": "tv"}}), 400, "invalid"
    )
    assert told["errors"] == [
        {
            "pointer": "/predicate/plattform",
            "detail": "At /plattform: “plattform” is not known; did you mean “platform”?",
        }
    ]


def test_a_parameter_that_is_not_known_is_refused_where_it_would_choose_everything(shop: World) -> None:
    told = problem(shop.service("GET", "subscribers?external_id=ada"), 400, "invalid")
    assert told["errors"][0]["pointer"] == "/external_id" and "there are after, limit" in told["detail"]
    told = problem(shop.service("GET", "runs?stat=paused"), 400, "invalid")
    assert "did you mean “state”" in told["detail"]
    told = problem(shop.service("GET", "runs?state=pausing"), 400, "invalid")
    assert "not one of planned, running, paused" in told["detail"]
    problem(shop.service("POST", "notifications?wiat=1", {"to": "x", "title": "x"}), 400, "invalid")


def test_a_wrong_choice_is_told_the_right_ones(shop: World) -> None:
    body = {"name": "a.b", "lane": "fast", "senders": ["me"]}
    told = problem(shop.service("POST", "event-types", body), 400, "invalid")
    said = {error["pointer"]: error["detail"] for error in told["errors"]}
    assert said["/lane"] == "“fast” is not one of critical, high, normal, bulk."
    assert said["/senders/0"].startswith("“me” is not one of keys, ")


def test_the_log_tells_what_was_refused_to_which_key_and_nothing_that_was_sent(shop: World) -> None:
    with capture_logs() as logged:
        shop.service("POST", "segments", {"nam": "Sesame", "predicate": {"locale": "de"}})
        Caller("nh_000000000000_x")("GET", "segments?after=1")
    [refused, stranger] = [line for line in logged if line["event"] == "api.refused"]
    assert (refused["status"], refused["code"], refused["pointers"]) == (400, "invalid", ["/nam"])
    assert (refused["method"], refused["path"]) == ("POST", "/api/v1/segments")
    assert refused["key"] == ApiKey.objects.get(application=shop.application, name="all").prefix
    assert (stranger["status"], stranger["key"]) == (401, "")
    assert "Sesame" not in str(logged)


def test_a_body_of_another_shape_is_refused(shop: World) -> None:
    for body in ([], "x", 3, None, True):
        answer = shop.service("POST", "segments", b"null" if body is None else body)
        assert answer.status_code == 400, answer.content


def test_a_failure_of_the_hub_is_a_500_problem_without_its_text(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(segments_api.SegmentViewSet, "_count", fail)
    answer = shop.service("GET", f"segments/{shop.segment.uid}/count")
    problem(answer, 500, "internal")
    assert b"secret detail" not in answer.content


def test_a_lost_database_is_503(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(keys, "verify", fail)
    answer = shop.service("GET", "segments")
    problem(answer, 503, "unavailable")
    assert answer["Retry-After"] == "5"


def test_lists_are_read_page_by_page_without_gap_or_repeat(shop: World) -> None:
    for number in range(5):
        shop.service("POST", "categories", {"key": f"c{number}", "name": "x"})
    seen, after = [], ""
    while after is not None:
        page = shop.service("GET", f"categories?limit=2&after={after}").json()
        seen += [item["key"] for item in page["items"]]
        after = page["after"]
    assert seen == ["c4", "c3", "c2", "c1", "c0", shop.category.key]
    problem(shop.service("GET", "categories?limit=201"), 400, "invalid")
    problem(shop.service("GET", "categories?limit=0"), 400, "invalid")
    problem(shop.service("GET", "categories?after=xyz"), 400, "invalid")
