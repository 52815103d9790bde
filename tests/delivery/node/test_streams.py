"""One cursor over WebSocket, Server-Sent Events, long poll and REST inbox, behind both servers."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.delivery.node.device import Socket
from tests.delivery.node.site import Site, WebProcess

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def web(site: Site, request: pytest.FixtureRequest) -> WebProcess:
    return site.web(request.param)


class Stream:
    """An event stream that is read event by event."""

    def __init__(self, port: int, token: str, *, cursor: str = "", last: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last else {})
        path = "/api/v1/inbox/stream" + (f"?after={cursor}" if cursor else "")
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        self.last = ""

    def event(self) -> dict[str, Any]:
        data = ""
        while True:
            line = self.response.readline().decode()
            if not line:
                raise EOFError
            line = line.rstrip("\n")
            if line.startswith("id: "):
                self.last = line[4:]
            elif line.startswith("data: "):
                data = line[6:]
            elif not line and data:
                found: dict[str, Any] = json.loads(data)
                return found

    def titles(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            frame = self.event()
            found += [entry["title"] for entry in frame.get("entries", ())]
        return found

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@pytest.fixture
def stream(web: WebProcess) -> Iterator[Callable[..., Stream]]:
    with ExitStack() as stack:

        def open_one(token: str, **options: str) -> Stream:
            made = Stream(web.port, token, **options)
            stack.callback(made.close)
            return made

        yield open_one


def get(web: WebProcess, path: str, token: str = "", **headers: str) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and JSON of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=70)) as connection:
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(
            "GET", path, headers=shown | {name.replace("_", "-"): value for name, value in headers.items()}
        )
        with connection.getresponse() as answer:
            body = answer.read()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, fields, json.loads(body) if body else None


Open = Callable[..., Stream]


def test_a_stream_greets_replays_and_goes_on_live(site: Site, stream: Open) -> None:
    [device] = site.devices(1)
    site.tell([device], "one")
    events = stream(device["token"])
    assert events.response.status == 200
    assert events.response.headers["Content-Type"].startswith("text/event-stream")
    assert events.event()["type"] == "hello"
    assert events.titles(1) == ["one"]
    assert site.tell([device], "two")["outcomes"] == [["sent", "written"]]
    assert events.titles(1) == ["two"]


def test_a_cursor_moves_between_all_four(site: Site, web: WebProcess, stream: Open) -> None:
    """Each takes the next entry with the cursor of the one before; they are old enough to be behind it."""
    [device] = site.devices(1)
    for number in range(5):
        site.tell([device], f"t{number}", late=60.0 - number, live=False)
    token = device["token"]
    _, _, first = get(web, "/api/v1/inbox?limit=1", token)
    assert [entry["title"] for entry in first["entries"]] == ["t0"]
    events = stream(token, cursor=first["next"])
    assert events.titles(4) == ["t1", "t2", "t3", "t4"]
    events.close()
    site.tell([device], "new")
    with Socket(web.url, token, cursor=events.last) as socket:
        assert socket.titles(1) == ["new"]
        cursor = socket.hello["cursor"]
    status, _, polled = get(web, f"/api/v1/inbox?after={cursor}&wait=5", token)
    assert status == 200 and [entry["title"] for entry in polled["entries"]] == ["new"]
    events = stream(token, last=polled["cursor"])
    events.event()
    site.tell([device], "last")
    assert events.titles(1) == ["last"], "what the poll had read came again"


def test_a_long_poll_is_answered_as_soon_as_there_is_something(site: Site, web: WebProcess) -> None:
    [device] = site.devices(1)
    _, _, before = get(web, "/api/v1/inbox", device["token"])
    answers: list[Any] = []

    def poll() -> None:
        began = time.monotonic()
        answers.append(get(web, f"/api/v1/inbox?after={before['cursor']}&wait=50", device["token"]))
        answers.append(time.monotonic() - began)

    waiting = threading.Thread(target=poll)
    waiting.start()
    while site.ask("online", devices=[device["uid"]]) == [0]:
        time.sleep(0.01)
    site.tell([device], "now")
    waiting.join(40)
    (status, headers, found), seconds = answers
    assert status == 200 and [entry["title"] for entry in found["entries"]] == ["now"]
    assert found["entries"][0]["state"] == "unread"
    assert seconds < 50
    assert headers["access-control-allow-origin"] == "*"
    _, _, again = get(web, f"/api/v1/inbox?after={found['cursor']}&wait=1", device["token"])
    assert again["entries"] == [], "the cursor names what was read of the last seconds"
    until = time.monotonic() + 20
    while site.ask("online", devices=[device["uid"]]) != [0]:
        assert time.monotonic() < until, "presence stays though nobody polls"


def test_a_long_poll_without_a_cursor_begins_where_a_socket_would(site: Site, web: WebProcess) -> None:
    [device] = site.devices(1)
    site.tell([device], "before it was registered", late=600.0, live=False)
    site.tell([device], "since", live=False)
    _, _, everything = get(web, "/api/v1/inbox", device["token"])
    assert len(everything["entries"]) == 2
    _, headers, polled = get(web, "/api/v1/inbox?wait=0", device["token"])
    assert [entry["title"] for entry in polled["entries"]] == ["since"]
    assert polled["device"] == everything["device"] == device["uid"]
    assert headers["access-control-expose-headers"] == "Retry-After"


def test_a_device_that_gives_up_its_poll_is_no_longer_present(site: Site, web: WebProcess) -> None:
    [device] = site.devices(1)
    with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)) as connection:
        connection.request(
            "GET", "/api/v1/inbox?wait=50", headers={"Authorization": f"Bearer {device['token']}"}
        )
        while site.ask("online", devices=[device["uid"]]) == [0]:
            time.sleep(0.01)
    until = time.monotonic() + 20
    while site.ask("online", devices=[device["uid"]]) != [0]:
        assert time.monotonic() < until


def test_nothing_new_is_304_with_the_time_to_ask_again(site: Site, web: WebProcess) -> None:
    [device] = site.devices(1)
    site.tell([device], "one", late=60.0)
    path = "/api/v1/inbox"
    _, headers, found = get(web, path, device["token"])
    assert 60_000 <= found["poll_after_ms"] == int(headers["poll-after-ms"]) <= 90_000
    status, headers, nothing = get(web, path, device["token"], If_None_Match=headers["etag"])
    assert (status, nothing) == (304, None)
    assert 60_000 <= int(headers["poll-after-ms"]) <= 90_000
    site.ask("receipt", device=device["uid"], ids=[found["entries"][0]["id"]], kind="read")
    status, _, found = get(web, path, device["token"], If_None_Match=headers["etag"])
    assert status == 200 and found["entries"][0]["state"] == "read"


@pytest.mark.parametrize("path", ["/api/v1/inbox/stream", "/api/v1/inbox?wait=1"])
def test_a_line_without_a_good_token_is_refused_with_a_problem(web: WebProcess, path: str) -> None:
    for token in ("", "nonsense"):
        status, headers, problem = get(web, path, token)
        assert (status, problem["type"]) == (401, "/problems/not-authenticated")
        assert headers["content-type"] == "application/problem+json"
    assert get(web, f"{path}{'&' if '?' in path else '?'}token=x&access_token=x")[0] == 401


@pytest.mark.parametrize("path", ["/api/v1/inbox/stream", "/api/v1/inbox?wait=1"])
def test_a_line_of_another_origins_page_is_refused(site: Site, web: WebProcess, path: str) -> None:
    [device] = site.devices(1, origins=["https://ours.example"])
    status, _, problem = get(web, path, device["token"], Origin="https://theirs.example")
    assert (status, problem["type"]) == (403, "/problems/origin-refused")
    assert get(web, "/api/v1/inbox?wait=0", device["token"], Origin="https://ours.example")[0] == 200


def test_a_line_lives_no_longer_than_its_token(site: Site, web: WebProcess, stream: Open) -> None:
    """A stream says so with its last event; a poll is answered, and the next one is refused."""
    [device] = site.devices(1, seconds=6)
    events = stream(device["token"])
    events.event()
    began = time.monotonic()
    get(web, "/api/v1/inbox?wait=50", device["token"])
    assert time.monotonic() - began < 20
    assert events.event() == {"type": "closed", "code": 4401}
    assert get(web, "/api/v1/inbox?wait=50", device["token"])[0] == 401


@pytest.mark.parametrize("query", ["wait=x", "wait=-1", "wait=nan", "wait=1&limit=0", "wait=1&after=x"])
def test_a_wrong_long_poll_is_400(site: Site, web: WebProcess, query: str) -> None:
    [device] = site.devices(1)
    status, _, problem = get(web, f"/api/v1/inbox?{query}", device["token"])
    assert (status, problem["type"]) == (400, "/problems/invalid")


def test_revoked_tokens_end_their_streams(site: Site, stream: Open) -> None:
    [device] = site.devices(1)
    events = stream(device["token"])
    events.event()
    site.ask("revoke", device=device["uid"])
    assert events.event() == {"type": "closed", "code": 4401}
    assert events.response.read() in (b"", b"\n")


def test_a_long_poll_says_that_its_token_was_revoked(site: Site, web: WebProcess) -> None:
    [device] = site.devices(1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(get, web, "/api/v1/inbox?wait=20", device["token"])
        while site.ask("online", devices=[device["uid"]]) == [0]:
            pass
        site.ask("revoke", device=device["uid"])
        status, _, problem = waiting.result(10)
    assert (status, problem["type"]) == (401, "/problems/not-authenticated") and "revoked" in problem[
        "detail"
    ]


def test_a_preflight_is_answered_for_every_origin(web: WebProcess) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)) as connection:
        asked = {"Origin": "https://tv.example", "Access-Control-Request-Method": "GET"}
        connection.request("OPTIONS", "/api/v1/inbox/stream", headers=asked)
        with connection.getresponse() as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
