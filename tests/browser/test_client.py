"""notifyhub.js in Chromium: what it does with entries, cuts, refusals and nonsense."""

import time
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page

from .fake_hub import FakeHub

pytestmark = pytest.mark.server

# Connects the client on a page; what it tells the page is collected in window.told.
CONNECT = """(given) => {
  const told = window.told = {entries: [], recalls: [], states: [], problems: []};
  const tokens = given.tokens || [];
  const options = {
    url: "/ws/v1/", token: tokens.length ? undefined : "token-1",
    getToken: tokens.length ? (done) => done(tokens.length > 1 ? tokens.shift() : tokens[0]) : undefined,
    onEntry: (entry) => told.entries.push(entry.title),
    onRecall: (run) => told.recalls.push(run),
    onState: (state) => told.states.push(state),
    onError: (problem) => told.problems.push(problem.title),
  };
  window.hub = NotifyHub.connect(Object.assign(options, given.options || {}, window.extra || {}));
}"""
# A socket that never opens, and notes when it was asked for.
UNREACHABLE = """() => {
  window.dialled = [];
  window.extra = {url: "ws://nowhere.invalid/", transports: ["websocket"], WebSocket: function () {
    const socket = this;
    window.dialled.push(Date.now());
    socket.close = () => {};
    setTimeout(() => socket.onclose && socket.onclose({code: 1006}), 0);
  }};
  Math.random = () => 1;
}"""


def open_client(page: Page, hub: FakeHub, *, before: str = "", clock: bool = False, **given: Any) -> None:
    """Open a blank page, run the script `before` on it, connect the client."""
    if clock:
        page.clock.install()
    page.goto(hub.blank_url)
    if clock:
        page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 60)
    if before:
        page.evaluate(before)
    page.evaluate(CONNECT, given)


def connected(page: Page, hub: FakeHub, **given: Any) -> None:
    """`open_client`, and wait for the hub's hello."""
    open_client(page, hub, **given)
    wait(page, "hub.state === 'connected'")


def wait(page: Page, condition: str) -> None:
    page.wait_for_function(f"() => {condition}", polling=20)


def told(page: Page, what: str) -> list[str]:
    answer: list[str] = page.evaluate(f"told.{what}")
    return answer


def test_an_entry_reaches_the_page_and_is_acknowledged(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.push("Doors open at eight")
    connection, _ = hub.wait_for_frame("ack", seq=1)
    assert told(page, "entries") == ["Doors open at eight"]
    assert connection.token == "token-1"
    assert connection.frames[0] == {"type": "resume", "cursor": None}


def test_an_entry_is_shown_then_stored_then_acknowledged(page: Page, hub: FakeHub) -> None:
    watch = """() => {
      window.order = [];
      window.extra = {
        onEntry: (entry) => order.push("shown"),
        storage: {getItem: (key) => localStorage.getItem(key), setItem: (key, value) => {
          localStorage.setItem(key, value);
          if (JSON.stringify(value).includes(window.awaited)) { order.push("stored"); }
        }},
        WebSocket: class extends WebSocket {
          send(text) { if (text.includes("ack")) { order.push("acknowledged"); } super.send(text); }
        },
      };
      window.awaited = "the-id";
    }"""
    connected(page, hub, before=watch)
    hub.push("one", id="the-id")
    hub.wait_for_frame("ack", seq=1)
    assert page.evaluate("order") == ["shown", "stored", "acknowledged"]


def test_a_repeat_is_dropped_and_acknowledged(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    first = hub.push("one")
    hub.repeat(first)
    hub.push("two")
    hub.wait_for_frame("ack", seq=3)
    assert told(page, "entries") == ["one", "two"]


def test_a_repeat_after_a_reload_is_dropped(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    first = hub.push("one")
    hub.wait_for_frame("ack", seq=1)
    connected(page, hub)
    hub.repeat(first)
    hub.push("two")
    hub.wait_for_frame("ack", seq=2)
    assert told(page, "entries") == ["two"]


def test_what_came_right_before_the_page_went_is_not_shown_by_the_next(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.push("one")
    hub.wait_for_frame("ack", seq=1)
    page.evaluate(
        "() => { const first = setTimeout; window.setTimeout = (act, ms) => ms === 250 ? 0 : first(act, ms); }"
    )
    for title in ("two", "three"):  # their storing waits for a moment that does not come
        hub.push(title)
    wait(page, "told.entries.length === 3")
    connected(page, hub)
    assert hub.connections[1].frames[0] == {"type": "resume", "cursor": "3"}
    assert told(page, "entries") == []


def test_only_the_last_five_hundred_ids_are_stored(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.log += [{"id": f"id-{n}", "run": "r", "title": ""} for n in range(600)]
    hub.repeat(*[entry["id"] for entry in hub.log])
    hub.wait_for_frame("ack", seq=1)
    stored = page.evaluate("JSON.parse(localStorage.getItem('notifyhub:device-1'))")
    assert stored == {
        "cursor": "600",
        "ids": [f"id-{n}" for n in range(100, 600)],
        "transport": "websocket",
    }


def test_a_client_that_was_cut_off_returns_with_its_cursor_and_gets_what_it_missed(
    page: Page, hub: FakeHub
) -> None:
    connected(page, hub)
    hub.push("before")
    hub.wait_for_frame("ack", seq=1)
    hub.cut()
    hub.push("meanwhile")
    second = hub.wait_for_connection(2)
    hub.push("after")
    wait(page, "told.entries.length === 3")
    assert second.frames[0] == {"type": "resume", "cursor": "1"}
    assert told(page, "entries") == ["before", "meanwhile", "after"]
    assert told(page, "states") == ["connecting", "connected", "reconnecting", "connected"]


def test_a_page_opened_again_resumes_from_the_stored_cursor(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.push("one")
    hub.wait_for_frame("ack", seq=1)
    page.goto("about:blank")
    hub.wait_until(lambda: not hub.connections[0].open)
    hub.push("two")
    connected(page, hub)
    wait(page, "told.entries.length === 1")
    assert hub.connections[1].frames[0] == {"type": "resume", "cursor": "1"}
    assert told(page, "entries") == ["two"]


def test_the_cursor_of_another_device_in_this_browser_is_not_used(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.push("for the first")
    hub.wait_for_frame("ack", seq=1)
    hub.device = "device-2"
    connected(page, hub)
    assert [c.frames[0]["cursor"] for c in hub.connections] == [None, "1", None]
    hub.device = "device-1"
    connected(page, hub, options={"device": "device-1"})
    assert hub.connections[-1].frames[0]["cursor"] == "1"


def test_a_reconnect_is_hand_over_hand(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.push("one")
    first, _ = hub.wait_for_frame("ack", seq=1)
    asked_at = time.monotonic()
    hub.say({"type": "reconnect", "after_ms": 300})
    hub.push("two")
    second = hub.wait_for_connection(2)
    assert second.came_at - asked_at >= 0.3
    hub.wait_until(lambda: not first.open)
    hub.push("three")
    wait(page, "told.entries.length === 3")
    assert told(page, "entries") == ["one", "two", "three"]
    assert told(page, "states") == ["connecting", "connected", "connected"]
    assert first.close_code == 1000
    assert first.frames[-1] == {"type": "ack", "seq": 2}


def test_the_old_connection_serves_until_the_new_one_is_greeted(page: Page, hub: FakeHub) -> None:
    connected(page, hub, options={"times": {"hello": 1000}})
    hub.silent = True  # the second connection is never greeted
    hub.say({"type": "reconnect", "after_ms": 0})
    hub.wait_for_connection(2)
    hub.silent = False
    hub.push("on the old one", to=1)
    first, _ = hub.wait_for_frame("ack", seq=1)
    assert first.number == 1 and first.open
    hub.close(4409, to=1)  # its successor is the reason: no farewell
    hub.wait_for_connection(3)
    wait(page, "hub.state === 'connected'")
    assert told(page, "entries") == ["on the old one"]
    assert told(page, "states") == ["connecting", "connected", "reconnecting", "connected"]


@pytest.mark.parametrize(("code", "state"), [(4409, "replaced"), (4403, "refused")])
def test_who_is_told_to_stay_away_stays_away(page: Page, hub: FakeHub, code: int, state: str) -> None:
    connected(page, hub, clock=True)
    hub.close(code)
    wait(page, f"hub.state === '{state}'")
    page.clock.run_for(600_000)
    page.evaluate("window.dispatchEvent(new Event('online'))")
    page.clock.run_for(600_000)
    assert page.evaluate("hub.state") == state
    assert len(hub.connections) == 1


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 4000])
def test_every_other_close_is_followed_by_a_return(page: Page, hub: FakeHub, code: int) -> None:
    connected(page, hub)
    hub.close(code)
    hub.wait_for_connection(2)


def test_a_refused_token_is_replaced_by_a_new_one(page: Page, hub: FakeHub) -> None:
    connected(page, hub, tokens=["stale", "token-1"])
    assert [c.token for c in hub.connections] == ["stale", "token-1"]
    hub.token = "token-2"
    hub.close(4401)
    hub.wait_for_connection(3)


def test_three_refused_handshakes_ask_for_a_new_token(page: Page, hub: FakeHub) -> None:
    closed_doors = """() => {
      window.tokens = [];
      window.extra = {transports: ["websocket"], times: {base: 10},
        getToken: (done) => done("token-" + tokens.push("")), WebSocket: function () {
        const socket = this;
        socket.close = () => {};
        setTimeout(() => socket.onclose && socket.onclose({code: 1006}), 0);
      }};
    }"""
    open_client(page, hub, before=closed_doors)
    wait(page, "tokens.length >= 3")


def test_a_refused_token_without_getToken_is_the_end(page: Page, hub: FakeHub) -> None:
    open_client(page, hub, options={"token": "stale"})
    wait(page, "hub.state === 'refused'")


def test_a_page_without_a_token_is_asked_again(page: Page, hub: FakeHub) -> None:
    connected(page, hub, tokens=[None, "", "token-1"], options={"times": {"base": 20}})
    assert told(page, "problems") == ["No token", "No token"]


@pytest.mark.parametrize(
    ("token", "options"),
    [("token-1", {"authFrame": True}), ("spaces and (brackets)", {})],
    ids=["asked", "needed"],
)
def test_a_token_can_travel_in_the_first_frame(
    page: Page, hub: FakeHub, token: str, options: dict[str, Any]
) -> None:
    hub.token = token
    connected(page, hub, options={"token": token, **options})
    assert hub.connections[0].frames[0] == {"type": "auth", "token": token, "cursor": None}
    assert hub.connections[0].token is None


def test_malformed_frames_leave_the_connection_standing(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    for nonsense in ('{"type":', "", "null", "[]", '"hello"', b"\x00\x01", {"type": "entries"}, {"seq": 7}):
        hub.say(nonsense)
    hub.say({"type": "of a later version"})
    hub.say({"type": "hasOwnProperty"})
    hub.push("still here")
    connection, _ = hub.wait_for_frame("ack", seq=1)
    assert connection.number == 1
    assert told(page, "entries") == ["still here"]
    assert told(page, "problems") == ["Malformed frame"] * 7


def test_a_malformed_entry_does_not_hide_its_neighbours(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    good = {"id": "x", "title": "good", "kind": "notification"}
    later = {"id": "y", "title": "a kind of a later version", "kind": "poll"}
    hub.say({"type": "entries", "seq": 1, "entries": [None, {}, later, good], "cursor": "0"})
    hub.wait_for_frame("ack", seq=1)
    assert told(page, "entries") == ["good"]


def test_what_a_broken_frame_held_is_fetched_again(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.push("one")
    hub.wait_for_frame("ack", seq=1)
    hub.lose_frame()
    hub.push("two")
    wait(page, "told.entries.length === 3")
    assert told(page, "entries") == ["one", "lost", "two"]
    assert hub.connections[1].frames[0] == {"type": "resume", "cursor": "1"}
    assert {"type": "ack", "seq": 3} not in hub.connections[0].frames  # it would have covered the lost one


def test_a_frame_that_is_always_broken_is_passed_after_one_return(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    for seq in (1, 2):  # the same on the second connection
        hub.say('{"type":"entries","seq":1,')
        hub.say({"type": "entries", "seq": 2, "entries": [], "cursor": "0"})
        if seq == 1:
            hub.wait_for_connection(2)
            wait(page, "hub.state === 'connected'")
    connection, _ = hub.wait_for_frame("ack", seq=2)
    assert connection.number == 2


def test_a_burst_is_acknowledged_at_once_and_then_together(page: Page, hub: FakeHub) -> None:
    connected(page, hub, clock=True)
    hub.push("first")
    hub.wait_for_frame("ack", seq=1)
    for n in range(20):
        hub.push(str(n))
    wait(page, "told.entries.length === 21")
    assert [frame["seq"] for frame in hub.frames("ack")] == [1]
    page.clock.run_for(250)
    hub.wait_for_frame("ack", seq=21)
    assert len(hub.frames("ack")) == 2


def test_a_connection_is_pinged_every_25_seconds_and_dead_after_55_of_silence(
    page: Page, hub: FakeHub
) -> None:
    connected(page, hub, clock=True)
    page.clock.run_for(24_900)
    assert hub.frames("ping") == []
    page.clock.run_for(200)
    hub.wait_for_frame("ping")
    hub.silent = True
    page.clock.run_for(25_000)
    hub.wait_until(lambda: len(hub.frames("ping")) == 2)
    page.clock.run_for(29_000)
    assert page.evaluate("hub.state") == "connected"
    hub.silent = False
    page.clock.run_for(2_000)
    hub.wait_for_connection(2)


def test_attempts_spread_over_a_doubling_span_up_to_the_cap(page: Page, hub: FakeHub) -> None:
    open_client(page, hub, before=UNREACHABLE, clock=True)
    page.clock.run_for(130_000)
    dialled = page.evaluate("dialled")
    waits = [round((later - earlier) / 1000, 1) for earlier, later in pairwise(dialled)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    page.evaluate("Math.random = () => 0")
    page.clock.run_for(30_000)
    page.clock.run_for(10)
    assert len(page.evaluate("dialled")) > 15


@pytest.mark.parametrize(
    ("target", "event"),
    [("window", "online"), ("document", "visibilitychange"), ("window", "pageshow")],
)
def test_who_comes_online_or_is_looked_at_again_does_not_wait(
    page: Page, hub: FakeHub, target: str, event: str
) -> None:
    open_client(page, hub, before=UNREACHABLE, clock=True)
    page.clock.run_for(70_000)
    before = page.evaluate("dialled.length")
    page.evaluate(f"{target}.dispatchEvent(new Event('{event}'))")
    page.clock.run_for(500)
    assert page.evaluate("dialled.length") == before + 1


def test_going_offline_shows_and_passes(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    page.context.set_offline(True)
    hub.cut()
    wait(page, "hub.state === 'offline'")
    page.context.set_offline(False)
    wait(page, "hub.state === 'connected'")


def test_a_forbidden_storage_is_replaced_by_memory(page: Page, hub: FakeHub) -> None:
    forbid = """() => {
      const refuse = () => { throw new Error("private"); };
      window.extra = {storage: {getItem: refuse, setItem: refuse}};
    }"""
    connected(page, hub, before=forbid)
    first = hub.push("one")
    hub.repeat(first)
    hub.wait_for_frame("ack", seq=2)
    hub.cut()
    second = hub.wait_for_connection(2)
    assert second.frames[0] == {"type": "resume", "cursor": "1"}
    assert told(page, "entries") == ["one"]


def test_spoilt_storage_is_an_empty_one(page: Page, hub: FakeHub) -> None:
    spoil = """() => {
      localStorage.setItem("notifyhub:device-1", '{"cursor": 7, "ids": "x"}');
      localStorage.setItem("notifyhub:device:ws://" + location.host + "/ws/v1/", "device-1");
    }"""
    connected(page, hub, before=spoil)
    hub.push("one")
    hub.wait_for_frame("ack", seq=1)
    assert hub.connections[0].frames[0] == {"type": "resume", "cursor": None}


def test_two_tabs_of_a_device_both_show_an_entry(page: Page, hub: FakeHub) -> None:
    other = page.context.new_page()
    connected(page, hub)
    connected(other, hub)
    hub.push("one")
    for tab in (page, other):
        wait(tab, "told.entries.length === 1")


def test_a_tab_keeps_the_ids_that_another_tab_stored(page: Page, hub: FakeHub) -> None:
    other = page.context.new_page()
    connected(page, hub)
    connected(other, hub)
    # what a tab stores reaches the other's process a moment later
    kept = "ids => JSON.parse(localStorage.getItem('notifyhub:device-1')).ids.join() === ids"
    one = hub.push("one", to=1)
    other.wait_for_function(kept, arg=one)
    two = hub.push("two", to=2)
    page.wait_for_function(kept, arg=f"{one},{two}")


def test_a_page_that_throws_does_not_stop_the_client(page: Page, hub: FakeHub) -> None:
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(error.message))
    connected(page, hub, before="() => { window.extra = {onEntry: () => { throw new Error('mine'); }}; }")
    hub.push("one")
    hub.push("two")
    hub.wait_for_frame("ack", seq=2)
    wait(page, "true")
    assert thrown == ["mine", "mine"]


def test_a_recall_hides_what_is_shown_and_what_still_comes(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.push("wrong price")
    hub.say({"type": "recall", "run": "run-1"})
    hub.push("wrong price, late")
    hub.push("right price", run="run-2")
    hub.wait_for_frame("ack", seq=3)
    assert told(page, "recalls") == ["run-1"]
    assert told(page, "entries") == ["wrong price", "right price"]


def test_what_another_device_says_is_told_with_who_says_it(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    page.evaluate(
        "() => { hub.on('message', (data, sender) => window.told.entries.push(sender + ' ' + data.play)); }"
    )
    hub.say({"type": "message", "sender": "phone-1", "data": {"play": 7}})
    hub.push("one")
    hub.wait_for_frame("ack", seq=1)
    assert told(page, "entries") == ["phone-1 7", "one"]


def test_a_resync_starts_again_from_the_cursor(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.push("one")
    hub.wait_for_frame("ack", seq=1)
    hub.say({"type": "resync"})
    assert hub.wait_for_connection(2).frames[0] == {"type": "resume", "cursor": "1"}


def test_a_receipt_waits_for_the_connection(page: Page, hub: FakeHub) -> None:
    open_client(page, hub)
    page.evaluate("hub.receipt('a', 'displayed')")
    wait(page, "hub.state === 'connected'")
    page.evaluate("hub.receipt(['b', 'c'], 'opened')")
    hub.wait_for_frame("receipt", ids=["a"], kind="displayed")
    hub.wait_for_frame("receipt", ids=["b", "c"], kind="opened")
    assert "displayed, opened, dismissed, read" in page.evaluate(
        "(() => { try { hub.receipt('a', 'seen'); } catch (error) { return error.message; } })()"
    )


def test_an_error_frame_reaches_the_page(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    hub.say({"type": "error", "problem": {"title": "Too many receipts", "status": 429}})
    wait(page, "told.problems.length === 1")
    assert told(page, "problems") == ["Too many receipts"]


def test_a_closed_client_acknowledges_and_stays_closed(page: Page, hub: FakeHub) -> None:
    connected(page, hub, clock=True)
    hub.push("one")
    hub.push("two")
    wait(page, "told.entries.length === 2")
    page.evaluate("hub.close()")
    connection, _ = hub.wait_for_frame("ack", seq=2)
    hub.wait_until(lambda: connection.close_code == 1000)
    page.clock.run_for(600_000)
    assert page.evaluate("hub.state") == "closed"
    assert len(hub.connections) == 1


@pytest.mark.parametrize(("options", "names"), [("{token: 'x'}", "url"), ("{url: '/ws/v1/'}", "getToken")])
def test_a_missing_option_is_named(page: Page, hub: FakeHub, options: str, names: str) -> None:
    page.goto(hub.blank_url)
    message = page.evaluate(
        f"(() => {{ try {{ NotifyHub.connect({options}); }} catch (error) {{ return error.message; }} }})()"
    )
    assert message.startswith("NotifyHub.connect: ") and names in message
