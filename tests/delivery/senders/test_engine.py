import gc
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from itertools import islice

import pytest

from delivery.senders import engine as module
from delivery.senders.engine import Engine, Request, engine
from delivery.senders.network import Network
from fleet.client import Fleet
from tests.delivery.senders.rude import Rude, polite

HEADERS = ["Expect:"]


@pytest.fixture
def own(rude: Rude) -> Iterator[Engine]:
    made = Engine(ca_file=rude.ca_file, network=Network(request_seconds=5.0))
    yield made
    made.close()


def posts(url: str, count: int = 1) -> list[Request]:
    return [(number, url, HEADERS, b"{}") for number in range(count)]


def test_every_request_has_one_answer(own: Engine, rude: Rude) -> None:
    rude.answers["ok"] = lambda handler: polite(handler, 200, handler.path.encode())
    answers = list(own.run([(n, f"{rude.url}/ok/{n}", HEADERS, b"{}") for n in range(30)]))
    assert {answer.key: answer.body for answer in answers} == {n: f"/ok/{n}".encode() for n in range(30)}
    assert all(answer.status == 200 and not answer.error for answer in answers)


def test_an_error_status_is_an_answer_with_its_retry_after(own: Engine, rude: Rude) -> None:
    rude.answers["busy"] = lambda handler: polite(handler, 503, b"later", Retry_After="7")
    (answer,) = own.run(posts(f"{rude.url}/busy"))
    assert (answer.status, answer.body, answer.retry_after, answer.error) == (503, b"later", 7, "")


def test_nobody_listening_is_refused_not_unknown(own: Engine) -> None:
    (answer,) = own.run(posts("https://127.0.0.1:1/"))
    assert answer.error and not answer.unknown


def test_an_untrusted_server_is_refused_not_unknown(rude: Rude) -> None:
    stranger = Engine()
    (answer,) = stranger.run(posts(f"{rude.url}/ok"))
    assert "certificate" in answer.error and not answer.unknown
    assert rude.requests == []
    stranger.close()


def test_a_connection_that_dies_after_the_request_is_unknown(own: Engine, rude: Rude) -> None:
    def vanish(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    rude.answers["vanish"] = vanish
    (answer,) = own.run(posts(f"{rude.url}/vanish"))
    assert answer.error and answer.unknown
    assert rude.requests


def test_an_endless_body_is_cut_off(own: Engine, rude: Rude) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        for _ in range(10_000):
            handler.wfile.write(b"x" * 65_536)

    rude.answers["flood"] = flood
    (answer,) = own.run(posts(f"{rude.url}/flood"))
    assert answer.error and answer.unknown and answer.body == b""


def test_at_the_deadline_what_is_under_way_is_unknown_and_the_rest_untouched(own: Engine, rude: Rude) -> None:
    here, go = threading.Event(), threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        here.set()
        go.wait(5)

    rude.answers["hang"] = hang
    taken = []

    def requests() -> Iterator[Request]:
        for request in posts(f"{rude.url}/hang", 5):
            taken.append(request[0])
            yield request

    began = time.monotonic()
    answers = list(own.run(requests(), deadline=began + 0.5, streams=2))
    go.set()
    assert time.monotonic() - began < 2
    assert here.is_set()
    assert sorted(answer.key for answer in answers) == taken == [0, 1]
    assert all(answer.error for answer in answers) and any(answer.unknown for answer in answers)


def test_a_request_without_an_answer_ends_in_time(rude: Rude) -> None:
    go = threading.Event()
    rude.answers["hang"] = lambda handler: go.wait(5)
    impatient = Engine(ca_file=rude.ca_file, network=Network(request_seconds=0.3))
    (answer,) = impatient.run(posts(f"{rude.url}/hang"))
    go.set()
    impatient.close()
    assert answer.error and answer.unknown


def test_runs_may_be_interleaved(own: Engine, rude: Rude) -> None:
    rude.answers["ok"] = lambda handler: polite(handler, 200, b"")
    first = own.run([(f"first {n}", f"{rude.url}/ok", HEADERS, b"") for n in range(20)], streams=5)
    second = own.run([(f"second {n}", f"{rude.url}/ok", HEADERS, b"") for n in range(20)], streams=5)
    keys = [next(first).key, next(second).key]
    keys += [answer.key for answer in first]
    keys += [answer.key for answer in second]
    assert sorted(keys) == sorted(f"{run} {n}" for run in ("first", "second") for n in range(20))


def test_a_run_that_is_left_early_does_not_disturb_the_next(own: Engine, rude: Rude) -> None:
    rude.answers["ok"] = lambda handler: polite(handler, 200, b"")
    left = own.run(posts(f"{rude.url}/ok", 50), streams=10)
    list(islice(left, 3))
    left.close()
    assert [answer.status for answer in own.run(posts(f"{rude.url}/ok", 3))] == [200] * 3


def test_after_a_lost_connection_the_engine_goes_on(own: Engine, rude: Rude) -> None:
    def leave(handler: BaseHTTPRequestHandler) -> None:
        polite(handler, 200, b"")
        handler.close_connection = True

    rude.answers["leave"] = leave
    for _ in range(3):
        (answer,) = own.run(posts(f"{rude.url}/leave"))
        assert answer.status == 200


def test_hundreds_of_requests_share_one_http2_connection(fleet: Fleet) -> None:
    multiplexed = Engine(ca_file=fleet.ca_file)
    before = open_sockets()
    run = multiplexed.run(posts(f"{fleet.fcm_url}/v1/projects/none/messages:send", 1000))
    answers = list(islice(run, 600))
    assert open_sockets() - before == 1
    answers += run
    multiplexed.close()
    assert len(answers) == 1000 and {answer.status for answer in answers} == {401}


def open_sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            pass  # the listing's own
    return count


def test_a_thread_has_its_own_engines() -> None:
    mine = engine("test")
    theirs: list[Engine] = []
    thread = threading.Thread(target=lambda: theirs.append(engine("test")))
    thread.start()
    thread.join()
    assert engine("test") is mine
    assert theirs[0] is not mine


def test_pools_do_not_share_an_engine() -> None:
    assert engine("one") is engine("one")
    assert engine("one") is not engine("two")


def test_the_longest_unused_pool_makes_room() -> None:
    def fill() -> None:
        first = engine("pool 0")
        for number in range(module.POOLS + 1):
            engine(f"pool {number}")
        assert engine("pool 0") is not first

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()


def test_a_forked_child_makes_its_own_and_leaves_its_parents_connection(rude: Rude) -> None:
    callers = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        callers.append(handler.client_address)
        polite(handler, 200, b"")

    def post() -> bool:
        (answer,) = engine("forked", ca_file=rude.ca_file).run(posts(f"{rude.url}/ok"))
        return answer.status == 200

    rude.answers["ok"] = note
    assert post()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # No pytest in the child: whatever happens, it must end here.
        try:
            good = post()
            gc.collect()
            os.write(write, b"1" if good else b"0")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as verdict:
        assert verdict.read() == b"1"
    os.waitpid(child, 0)
    assert post()
    first, childs, second = callers
    assert first == second != childs
