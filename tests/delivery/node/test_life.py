"""A socket's life on a real node, behind both servers: how it begins, what ends it, and how it moves."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

import pytest
from django.conf import settings
from websockets.exceptions import ConnectionClosed, InvalidStatus

from delivery import device_messages, positions
from delivery.node.closings import LOOK_BACK
from tests.delivery.node.device import Socket
from tests.delivery.node.site import Site, WebProcess

pytestmark = pytest.mark.server
SERVERS = ("daphne", "uvicorn")


@pytest.fixture(scope="module", params=SERVERS)
def web(site: Site, request: pytest.FixtureRequest) -> WebProcess:
    """A node behind each server."""
    return site.web(request.param, NOTIFYHUB_SOCKETS="12")


@pytest.fixture
def opened(web: WebProcess) -> Iterator[Callable[..., Socket]]:
    """Open sockets to the node; they end with the test."""
    with ExitStack() as stack:
        yield lambda *given, **options: stack.enter_context(Socket(web.url, *given, **options))


Open = Callable[..., Socket]


def test_what_was_missed_comes_first_then_what_is_new(site: Site, opened: Open) -> None:
    [device] = site.devices(1)
    for title in ("one", "two"):
        site.tell([device], title)
    socket = opened(device["token"])
    assert socket.hello["recovered"] is True
    assert socket.titles(2) == ["one", "two"]
    told = site.tell([device], "three")
    assert told["outcomes"] == [["sent", "written"]]
    assert socket.titles(1) == ["three"]


def test_a_cursor_from_before_the_log_is_told_so_with_the_place_to_start_from(
    site: Site, opened: Open
) -> None:
    [device] = site.devices(1)
    site.tell([device], "still there")
    old = positions.floor(time.time() - (settings.LOG_DAYS + 1) * 86_400)
    socket = opened(device["token"], cursor=positions.encode(old))
    assert socket.hello["recovered"] is False
    start = positions.decode(socket.hello["cursor"])
    assert old < start <= positions.floor(time.time() - settings.LOG_DAYS * 86_400)
    assert socket.titles(1) == ["still there"]
    socket.close()
    assert opened(device["token"], cursor=positions.encode(start)).hello["cursor"]


def test_an_acknowledgement_becomes_a_receipt_soon(site: Site, opened: Open) -> None:
    [device] = site.devices(1)
    socket = opened(device["token"])
    ids = site.tell([device], "told")["ids"]
    assert socket.titles(1) == ["told"]
    wanted = [[ids[0], device["uid"], "acknowledged"]]
    until = time.monotonic() + 20
    while (found := site.ask("receipts", device=device["uid"], ids=ids)) != wanted:
        assert time.monotonic() < until, found


def test_what_is_read_on_one_device_is_cleared_on_the_others(site: Site, opened: Open) -> None:
    first, second = site.devices(2, of="reader")
    [stranger] = site.devices(1)
    sockets = [opened(one["token"]) for one in (first, second, stranger)]
    ids = site.tell([first], "told")["ids"]
    sockets[0].titles(1)
    sockets[0].say(type="receipt", ids=ids, kind="opened")
    assert sockets[1].frame("marked") == {"type": "marked", "ids": ids, "state": "read"}
    sockets[2].say(type="ping")
    assert sockets[2].next()["type"] == "pong", "somebody else's device was told"


def test_a_ticket_opens_one_socket(site: Site, web: WebProcess) -> None:
    [device] = site.devices(1)
    ticket = site.ask("ticket", token=device["token"])
    with Socket(f"{web.url}?ticket={ticket}") as socket:
        assert socket.hello["device"] == device["uid"]
    with Socket(f"{web.url}?ticket={ticket}", resume=False) as again:
        assert again.frame("error")["problem"]["title"] == "The token was refused."
        assert again.close_code() == 4401


def test_a_token_may_come_in_the_first_frame(site: Site, opened: Open) -> None:
    [device] = site.devices(1)
    site.tell([device], "one")
    socket = opened(resume=False)
    socket.say(type="auth", token=device["token"], cursor=None)
    assert socket.next()["type"] == "hello"
    assert socket.titles(1) == ["one"]
    wrong = opened(resume=False)
    wrong.say(type="auth", token="nonsense")
    assert wrong.next()["problem"]["title"] == "The token was refused."
    assert wrong.close_code() == 4401


def test_a_cookie_opens_nothing(site: Site, opened: Open) -> None:
    [device] = site.devices(1)
    names = ("sessionid", "token", "access_token", "notifyhub.auth")
    cookies = "; ".join(f"{name}={device['token']}" for name in names)
    socket = opened(resume=False, additional_headers={"Cookie": cookies})
    socket.say(type="resume", cursor=None)
    assert socket.next()["problem"]["title"] == "Authenticate first."


def test_a_token_in_the_address_opens_nothing(site: Site, web: WebProcess) -> None:
    [device] = site.devices(1)
    with Socket(f"{web.url}?token={device['token']}&access_token={device['token']}", resume=False) as socket:
        socket.say(type="resume", cursor=None)
        assert socket.next()["problem"]["title"] == "Authenticate first."


def test_a_socket_that_shows_no_token_is_closed(opened: Open) -> None:
    began = time.monotonic()
    assert opened(resume=False).close_code() == 4401
    assert time.monotonic() - began >= 4.9


def test_a_page_of_another_origin_is_refused(site: Site, opened: Open) -> None:
    [device] = site.devices(1, origins=["https://ours.example"])
    refused = opened(device["token"], resume=False, origin="https://theirs.example")
    assert refused.close_code() == 4403
    assert opened(device["token"], origin="https://ours.example").hello


def test_revoked_tokens_close_their_sockets_within_a_second(site: Site, opened: Open) -> None:
    devices = site.devices(2)
    sockets = [opened(one["token"]) for one in devices]
    site.ask("revoke", device=devices[0]["uid"])
    assert sockets[0].close_code(within=1.0) == 4401
    sockets[1].settled()


def test_a_device_whose_note_comes_after_very_many_others_loses_its_sockets_too(
    site: Site, opened: Open
) -> None:
    [device] = site.devices(1)
    socket = opened(device["token"])
    site.ask("close", devices=[device["uid"]], others=25_000)
    assert socket.close_code(within=LOOK_BACK / 2) == 4401


def test_a_retired_device_loses_its_sockets_and_comes_not_back(site: Site, opened: Open) -> None:
    devices = site.devices(2)
    sockets = [opened(one["token"]) for one in devices]
    site.ask("retire", device=devices[0]["uid"])
    assert sockets[0].close_code(within=1.0) == 4401
    sockets[1].settled()
    assert opened(devices[0]["token"], resume=False).close_code() == 4401


def test_a_retired_signing_key_closes_what_its_tokens_opened(site: Site, opened: Open) -> None:
    devices = site.devices(2)
    sockets = [opened(one["token"]) for one in devices]
    site.ask("retire_key")
    assert [socket.close_code(within=1.0) for socket in sockets] == [4401, 4401]
    assert opened(devices[0]["token"], resume=False).close_code() == 4401
    [after] = site.devices(1)
    opened(after["token"]).settled()


def test_a_token_that_is_shown_later_is_not_held_to_an_older_note(site: Site, opened: Open) -> None:
    first, second = site.devices(2)
    sockets = [opened(first["token"]), opened(second["token"])]
    site.ask("close", devices=[first["uid"], second["uid"]])
    assert [socket.close_code(within=1.0) for socket in sockets] == [4401, 4401]
    again = opened(first["token"])
    third = site.devices(1)[0]
    opened(third["token"])
    site.ask("close", devices=[third["uid"]])  # the notes are read again, the older one among them
    again.settled()
    site.tell([first], "still there")
    assert again.titles(1) == ["still there"]


def test_a_device_says_something_to_another_that_is_there(site: Site, opened: Open) -> None:
    phone, screen, away = site.devices(3, of=f"viewer-{uuid4()}")
    tv = opened(screen["token"])
    heard = site.ask("say", device=phone["uid"], to=[screen["uid"], away["uid"]], data={"play": "é"})
    assert heard == [True, False]
    frame = tv.frame("message")
    assert (frame["sender"], frame["data"]) == (phone["uid"], {"play": "é"})
    assert 0 < site.ask("say_too_much", device=phone["uid"]) <= 2 * device_messages.MOST, (
        "in two windows at most"
    )
    assert site.ask("say", device=screen["uid"], to=[], data=1) == [], "each device has its own share"


def test_a_device_may_hold_four_sockets_and_the_oldest_makes_room(site: Site, opened: Open) -> None:
    [device] = site.devices(1)
    sockets = [opened(device["token"]) for _ in range(5)]
    assert sockets[0].close_code() == 4409
    site.tell([device], "told")
    assert [socket.titles(1, acknowledge=False) for socket in sockets[1:]] == [["told"]] * 4


def test_a_frame_above_the_limit_ends_the_socket(site: Site, opened: Open) -> None:
    [device] = site.devices(1)
    socket = opened(device["token"])
    socket.connection.send("x" * 16_385)
    assert socket.close_code() == 1009


def test_a_binary_frame_ends_the_socket(site: Site, opened: Open) -> None:
    [device] = site.devices(1)
    socket = opened(device["token"])
    socket.connection.send(b"{}")
    assert socket.close_code() == 4413


def test_a_device_that_says_too_much_is_closed(site: Site, opened: Open) -> None:
    [device] = site.devices(1)
    socket = opened(device["token"])
    with suppress(ConnectionClosed):  # it may hear of its end while it still speaks
        for _ in range(400):
            socket.say(type="ping")
    assert socket.close_code() == 4429


def test_a_full_node_refuses_with_a_time_to_come_back(site: Site, web: WebProcess, opened: Open) -> None:
    until = time.monotonic() + 20
    sockets: list[Socket] = []
    while len(sockets) < 12:  # those of other tests are still being forgotten
        try:
            sockets.append(opened(resume=False))
        except InvalidStatus:
            assert time.monotonic() < until
    with pytest.raises(InvalidStatus) as refused:
        Socket(web.url, resume=False)
    assert refused.value.response.status_code == 503
    assert 5 <= int(refused.value.response.headers["Retry-After"]) <= 30
    # who is refused a socket is served all the same
    live = Request(f"http://127.0.0.1:{web.port}/-/health/live")
    with build_opener(ProxyHandler({})).open(live) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("server", SERVERS)
def test_a_node_that_is_told_to_end_moves_its_devices_and_loses_nothing(site: Site, server: str) -> None:
    old = site.web(server, NOTIFYHUB_DRAIN_SECONDS="1")
    new = site.web(server)
    devices = site.devices(8)
    with ExitStack() as stack:
        sockets = [stack.enter_context(Socket(old.url, one["token"])) for one in devices]
        site.tell(devices, "before")
        assert [socket.titles(1) for socket in sockets] == [["before"]] * 8
        old.process.ask_to_stop()
        sockets[0].frame("reconnect")
        with pytest.raises(InvalidStatus) as refused:
            Socket(old.url, devices[0]["token"])
        assert refused.value.response.status_code == 503
        assert 1 <= int(refused.value.response.headers["Retry-After"]) <= 5
        for device, socket in zip(devices, sockets, strict=True):
            if socket is not sockets[0]:
                socket.frame("reconnect")
            cursor = socket.hello["cursor"]
            follower = stack.enter_context(Socket(new.url, device["token"], cursor=cursor))
            socket.close()
            site.tell([device], "after")
            seen = follower.titles(2)
            assert seen == ["before", "after"]
        until = time.monotonic() + 20
        while old.process.running:
            assert time.monotonic() < until, "the node does not end though everybody has left"
            time.sleep(0.05)
    new.process.stop()


@pytest.mark.parametrize("server", SERVERS)
def test_the_last_node_ends_at_once_for_nobody_could_move(site: Site, server: str) -> None:
    alone = site.web(server, NOTIFYHUB_DRAIN_SECONDS="60", NOTIFYHUB_REDIS_URL=f"{site.redis.url[:-1]}1")
    [device] = site.devices(1)
    with Socket(alone.url, device["token"]):
        began = time.monotonic()
        alone.process.stop()
        assert time.monotonic() - began < 20
