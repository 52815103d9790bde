import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import feed


class Hub:
    """Takes events as the hub's intake does, and remembers them."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.refuses = False
        self.hold = threading.Event()
        self.hold.set()
        self.taken = threading.Semaphore(0)


@pytest.fixture
def hub() -> Iterator[tuple[Hub, feed.Service]]:
    """Yield a hub and a service with four threads that sends to it."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            documents = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if documents[0]["id"].endswith("-0"):
                state.hold.wait(10)
            state.batches.append([document["id"] for document in documents])
            state.taken.release()
            taken = 0 if state.refuses else len(documents)
            body = json.dumps({"accepted": taken, "repeated": 0, "rejected": []}).encode()
            self.send_response(202)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state, feed.Service("127.0.0.1", server.server_port, "key", threads=4)
    finally:
        state.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def documents(count: int) -> list[dict[str, object]]:
    return [
        feed.event(number, kind="com.example.x", subject="p", series="s", data={}) for number in range(count)
    ]


def test_every_event_is_sent_once_in_batches(hub: tuple[Hub, feed.Service]):
    state, service = hub
    service.pour(documents(25), batch=10)
    assert sorted(map(len, state.batches)) == [5, 10, 10]
    assert sorted(one for batch in state.batches for one in batch) == sorted(f"s-{n}" for n in range(25))


def test_an_event_that_is_not_taken_is_an_error(hub: tuple[Hub, feed.Service]):
    state, service = hub
    state.refuses = True
    with pytest.raises(feed.FeedError, match="202"):
        service.pour(documents(2), batch=1)


def test_an_answer_that_lasts_delays_no_other_event_and_counts_from_the_timetable(
    hub: tuple[Hub, feed.Service],
):
    state, service = hub
    state.hold.clear()
    shots: list[feed.Shot] = []
    begin = 1.0  # long ago: all are due at once
    follower = threading.Thread(
        target=lambda: shots.extend(service.follow(documents(8), rate=2.0, begin=begin))
    )
    follower.start()
    others = [state.taken.acquire(timeout=10) for _ in range(7)]  # the first one is held
    state.hold.set()
    follower.join()
    assert all(others)
    assert [shot.intended for shot in shots] == [begin + number / 2 for number in range(8)]
