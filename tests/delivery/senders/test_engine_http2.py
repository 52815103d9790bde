"""What the engine makes of providers that are not calm, frame by frame: nothing is lost, nothing answered twice."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest

from delivery.senders.engine import Answer, Engine, Request
from delivery.senders.http2 import frames, origin
from delivery.senders.network import Network
from tests.delivery.senders.scripted import Asked, Peer, Scripted, answer_all

LINES = ["content-type: application/json"]


@pytest.fixture(scope="module")
def scripted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripted]:
    server = Scripted(tmp_path_factory.mktemp("scripted"))
    yield server
    server.close()


@pytest.fixture
def server(scripted_server: Scripted) -> Scripted:
    scripted_server.reset(answer_all)
    return scripted_server


@pytest.fixture
def own(server: Scripted) -> Iterator[Engine]:
    made = Engine(ca_file=server.ca_file, network=Network(request_seconds=20.0))
    yield made
    made.close()


def posts(server: Scripted, count: int, *, first: int = 0) -> list[Request]:
    return [
        (number, f"{server.url}/{number}", LINES, b"%d" % number) for number in range(first, first + count)
    ]


def once_each(answers: list[Answer], count: int) -> bool:
    return sorted(answer.key for answer in answers) == list(range(count))


def asked_for(server: Scripted) -> Counter[str]:
    """Return how often each path came, on all connections."""
    return Counter(asked.headers[":path"] for peer in server.peers for asked in peer.asked)


def test_each_answer_goes_to_its_request(own: Engine, server: Scripted) -> None:
    answers = list(own.run(posts(server, 2_000), streams=900))
    assert once_each(answers, 2_000)
    assert all(answer.status == 200 and answer.body == b"%d" % answer.key for answer in answers)
    assert len(server.peers) == 1


def test_a_goodbye_in_mid_batch_loses_nothing_and_repeats_nothing(own: Engine, server: Scripted) -> None:
    def leave_after_some(peer: Peer) -> None:
        peer.greet(max_concurrent_streams=100)
        waiting: list[Asked] = []
        for asked in peer.requests():
            waiting.append(asked)
            if len(waiting) == 60 and peer.number < 2:
                peer.say_goodbye(waiting[29].stream)
                for one in waiting[:30]:
                    peer.answer(one)
                for _ in peer.requests():
                    pass  # nothing more is touched
                return
            if peer.number >= 2:
                peer.answer(asked)

    server.reset(leave_after_some)
    answers = list(own.run(posts(server, 300), streams=100))
    assert once_each(answers, 300)
    assert {answer.status for answer in answers} == {200}
    assert len(server.peers) == 3


def test_a_provider_may_say_goodbye_as_often_as_it_likes_while_it_works(
    own: Engine, server: Scripted
) -> None:
    def answer_five(peer: Peer) -> None:
        peer.greet()
        for number, asked in enumerate(peer.requests(), 1):
            if number > 5:
                continue  # it was never looked at
            peer.answer(asked)
            if number == 5:
                peer.say_goodbye(asked.stream)

    server.reset(answer_five)
    answers = list(own.run(posts(server, 60), streams=60))
    assert once_each(answers, 60) and {answer.status for answer in answers} == {200}
    assert len(server.peers) == 12 > origin.TRIES


def test_a_connection_that_closes_in_mid_batch_leaves_only_the_sent_unknown(
    own: Engine, server: Scripted
) -> None:
    def hang_up_once(peer: Peer) -> None:
        peer.greet(max_concurrent_streams=50)
        for number, asked in enumerate(peer.requests(), 1):
            if peer.number == 0 and number == 30:
                peer.hang_up()
                return
            peer.answer(asked)

    server.reset(hang_up_once)
    answers = list(own.run(posts(server, 200), streams=200))
    assert once_each(answers, 200)
    lost = [answer for answer in answers if answer.error]
    assert lost and len(lost) <= 50 and all(answer.unknown for answer in lost)
    assert all(times == 1 for times in asked_for(server).values()), "nothing was sent twice"


def test_a_limit_of_one_stream_holds_until_the_provider_lifts_it(own: Engine, server: Scripted) -> None:
    most = []

    def trusting_slowly(peer: Peer) -> None:
        # As APNs: one stream until the first good token.
        peer.greet(max_concurrent_streams=1)
        for number, asked in enumerate(peer.requests(), 1):
            most.append(number)
            if number == 1:
                peer.write(frames.settings(max_concurrent_streams=1000))
            peer.answer(asked)

    server.reset(trusting_slowly)
    answers = list(own.run(posts(server, 500), streams=500))
    assert once_each(answers, 500) and {answer.status for answer in answers} == {200}
    assert len(server.peers) == 1


def test_where_a_connection_takes_few_requests_there_are_several(own: Engine, server: Scripted) -> None:
    together = threading.Barrier(3)

    def few(peer: Peer) -> None:
        peer.greet(max_concurrent_streams=10)
        waiting: list[Asked] = []
        for asked in peer.requests():
            if not peer.asked[1:]:
                peer.answer(asked)
                continue
            waiting.append(asked)
            if len(waiting) == 10:
                # Three connections are full at the same time, or this never goes on.
                if peer.number < 3 and len(peer.asked) == 11:
                    together.wait(10)
                for one in waiting:
                    peer.answer(one)
                waiting.clear()

    server.reset(few)
    answers = list(own.run(posts(server, 3 + 30 * 4), streams=30, deadline=time.monotonic() + 15))
    assert once_each(answers, 123)
    assert {answer.status for answer in answers if not answer.error} == {200}
    assert 3 <= len(server.peers) <= origin.CONNECTIONS
    assert max(len(peer.asked) for peer in server.peers) < 123


def test_a_refused_request_is_sent_again(own: Engine, server: Scripted) -> None:
    def refuse_first(peer: Peer) -> None:
        peer.greet()
        seen: set[str] = set()
        for asked in peer.requests():
            path = asked.headers[":path"]
            if path in seen:
                peer.answer(asked)
            else:
                seen.add(path)
                peer.refuse(asked)

    server.reset(refuse_first)
    answers = list(own.run(posts(server, 40)))
    assert once_each(answers, 40) and {answer.status for answer in answers} == {200}


def test_a_request_that_is_always_refused_is_refused_not_unknown(own: Engine, server: Scripted) -> None:
    def refuse(peer: Peer) -> None:
        peer.greet()
        for asked in peer.requests():
            peer.refuse(asked)

    server.reset(refuse)
    (answer,) = own.run(posts(server, 1))
    assert answer.error and not answer.unknown
    assert asked_for(server).total() == origin.TRIES


def test_a_silent_socket_is_found_out_and_the_next_batch_has_a_new_connection(server: Scripted) -> None:
    def fall_silent(peer: Peer) -> None:
        if peer.number:
            answer_all(peer)
            return
        peer.greet()
        peer.answers_pings = False
        for _ in peer.requests():
            pass

    server.reset(fall_silent)
    impatient = Engine(ca_file=server.ca_file, network=Network(request_seconds=1.5))
    answers = list(impatient.run(posts(server, 20)))
    assert once_each(answers, 20) and all(answer.unknown for answer in answers)
    assert [answer.status for answer in impatient.run(posts(server, 3))] == [200] * 3
    assert len(server.peers) == 2
    impatient.close()


def test_a_slow_provider_that_lives_keeps_its_connection(server: Scripted) -> None:
    def lose_the_first(peer: Peer) -> None:
        peer.greet()
        for asked in peer.requests():
            if asked.headers[":path"] != "/0":
                peer.answer(asked)

    server.reset(lose_the_first)
    impatient = Engine(ca_file=server.ca_file, network=Network(request_seconds=1.5))
    answers = list(impatient.run(posts(server, 5)))
    assert once_each(answers, 5)
    assert [answer.key for answer in answers if answer.error and answer.unknown] == [0]
    assert [answer.status for answer in impatient.run(posts(server, 2, first=1))] == [200] * 2
    assert len(server.peers) == 1
    impatient.close()


def test_a_connection_that_was_closed_while_idle_costs_nothing(own: Engine, server: Scripted) -> None:
    closed = threading.Event()

    def close_after_first(peer: Peer) -> None:
        peer.greet()
        for asked in peer.requests():
            peer.answer(asked)
            if peer.number == 0:
                peer.say_goodbye(asked.stream)
                peer.hang_up()
                closed.set()
                return

    server.reset(close_after_first)
    assert [answer.status for answer in own.run(posts(server, 1))] == [200]
    closed.wait(5)
    time.sleep(1.1)  # the engine looks for what came meanwhile after a second of rest
    assert [answer.status for answer in own.run(posts(server, 30))] == [200] * 30


def test_a_long_silent_connection_is_asked_for_a_sign_of_life_before_it_is_used(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Engine(ca_file=server.ca_file, network=Network(ping_seconds=-1.0))

    def answer_pings_once(peer: Peer) -> None:
        peer.greet()
        for asked in peer.requests():
            peer.answer(asked)
            peer.answers_pings = peer.number > 0

    server.reset(answer_pings_once)
    assert [answer.status for answer in own.run(posts(server, 1))] == [200]
    monkeypatch.setattr(origin, "PROBE_SECONDS", 0.2)
    assert [answer.status for answer in own.run(posts(server, 10))] == [200] * 10
    assert len(server.peers) == 2 and len(server.peers[0].asked) == 1
    monkeypatch.setattr(origin, "PROBE_SECONDS", 5.0)
    assert [answer.status for answer in own.run(posts(server, 10))] == [200] * 10
    assert len(server.peers) == 2 and frames.PING in server.peers[1].kinds
    own.close()


def test_a_connection_that_is_silent_while_requests_are_under_way_is_asked_for_a_sign_of_life(
    server: Scripted,
) -> None:
    def think(peer: Peer) -> None:
        peer.greet()
        for asked in peer.requests():
            peer.owed.append(asked)

    server.reset(think)
    own = Engine(ca_file=server.ca_file, network=Network(ping_seconds=0.05))
    assert [answer.status for answer in own.run(posts(server, 1))] == [200]
    own.close()


def test_an_old_connection_ends_what_it_has_and_makes_room_for_a_new_one(
    server: Scripted,
) -> None:
    own = Engine(ca_file=server.ca_file, network=Network(connection_seconds=100.0))
    run = own.run(posts(server, 50), streams=10)
    answers = list(islice(run, 5))
    (only,) = own._origins[server.url].sessions
    only.since -= 101
    answers += run
    own.close()
    assert once_each(answers, 50) and {answer.status for answer in answers} == {200}
    assert len(server.peers) == 2 and asked_for(server).total() == 50


def test_a_connection_that_was_not_used_for_long_is_not_used_again(
    own: Engine, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(own.run(posts(server, 1)))
    monkeypatch.setattr(origin, "IDLE_SECONDS", -1.0)
    assert [answer.status for answer in own.run(posts(server, 1))] == [200]
    assert len(server.peers) == 2


def test_a_provider_that_reads_slowly_gets_everything_in_the_end(own: Engine, server: Scripted) -> None:
    def sip(peer: Peer) -> None:
        peer.greet(initial_window_size=1)
        peer.sips = 2
        for asked in peer.requests():
            peer.answer(asked, body=asked.body)

    server.reset(sip)
    requests: list[Request] = [(number, server.url, LINES, b"x" * 9) for number in range(5)]
    answers = list(own.run(requests))
    assert once_each(answers, 5) and {answer.body for answer in answers} == {b"x" * 9}


def test_what_a_provider_does_not_read_is_given_up_at_the_deadline(own: Engine, server: Scripted) -> None:
    def read_nothing(peer: Peer) -> None:
        peer.greet(initial_window_size=0)
        for _ in peer.requests():
            pass

    server.reset(read_nothing)
    answers = list(own.run(posts(server, 5), deadline=time.monotonic() + 0.5))
    assert once_each(answers, 5) and all(answer.error for answer in answers)
    assert sum(answer.unknown for answer in answers) == 1, "only the first was begun"


def test_a_provider_that_speaks_nonsense_is_unknown_not_an_exception(own: Engine, server: Scripted) -> None:
    def nonsense(peer: Peer) -> None:
        peer.greet()
        for _ in peer.requests():
            peer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>")

    server.reset(nonsense)
    answers = list(own.run(posts(server, 20)))
    assert once_each(answers, 20) and all(answer.error for answer in answers)


def test_a_run_that_is_left_tells_the_provider(own: Engine, server: Scripted) -> None:
    told = threading.Event()

    def hang(peer: Peer) -> None:
        peer.greet()
        for asked in peer.requests():
            if asked.headers[":path"] == "/0":
                peer.answer(asked)
            if len(peer.asked) == 10:
                break
        list(islice(peer.requests(), 1))  # reads on until the client goes
        if peer.kinds.count(frames.RST_STREAM) == 9:
            told.set()

    server.reset(hang)
    left = own.run(posts(server, 10))
    next(left)
    left.close()
    own.close()
    assert told.wait(5)
