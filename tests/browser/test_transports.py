"""notifyhub.js where a network or an engine lets no WebSocket through: stream, long poll, and back."""

import pytest
from playwright.sync_api import Page

from .fake_hub import FakeHub
from .test_client import connected, open_client, told, wait

pytestmark = pytest.mark.server

TRANSPORT = "told.details.length && told.details[told.details.length - 1].transport"
# Notes what the client says of each connection, and hurries it.
NOTING = """() => {
  window.extra = {
    times: {base: 20, hello: 2000, upgrade: 3600000, poll: 2000},
    onState: (state, detail) => {
      told.states.push(state);
      if (state === "connected") { (told.details = told.details || []).push(detail); }
    },
  };
}"""


def over(page: Page, hub: FakeHub, transport: str, *, more: str = "", clock: bool = False) -> None:
    """Connect, and wait until this is what the client is connected with."""
    open_client(page, hub, before=f"() => {{ ({NOTING})(); {more} }}", clock=clock)
    wait(page, f"told.details && {TRANSPORT} === '{transport}'")


def acknowledged(hub: FakeHub) -> list[str]:
    return [one for said in hub.receipts if said["kind"] == "acknowledged" for one in said["ids"]]


def test_where_a_proxy_blocks_websockets_a_stream_brings_the_entries(page: Page, hub: FakeHub) -> None:
    hub.blocked = {"websocket"}
    over(page, hub, "stream")
    ids = [hub.push("one"), hub.push("two")]
    hub.wait_until(lambda: acknowledged(hub) == ids)
    assert told(page, "entries") == ["one", "two"]
    assert told(page, "states") == ["connecting", "reconnecting", "connected"]
    assert hub.device == page.evaluate("hub.device")


@pytest.mark.parametrize("how", ["blocked", "held"])
def test_where_a_proxy_spoils_streams_too_polls_bring_the_entries(page: Page, hub: FakeHub, how: str) -> None:
    hub.blocked = {"websocket"}
    getattr(hub, how).add("stream")
    over(page, hub, "poll", more="extra.times.hello = 300;")
    ids = [hub.push("one"), hub.push("two")]
    hub.wait_until(lambda: sorted(acknowledged(hub)) == sorted(ids))
    assert told(page, "entries") == ["one", "two"]
    assert hub.polls[0].startswith("wait=0") and hub.polls[1].startswith("wait=2")


@pytest.mark.parametrize("missing", ["WebSocket", "WebSocket, EventSource"])
def test_an_engine_without_websocket_and_eventsource_streams(page: Page, hub: FakeHub, missing: str) -> None:
    gone = "".join(f"delete window.{name.strip()};" for name in missing.split(","))
    over(page, hub, "stream", more=gone)
    hub.push("one")
    wait(page, "told.entries.length === 1")
    assert hub.connections[0].transport == "stream"


def test_the_cursor_moves_between_transports(page: Page, hub: FakeHub) -> None:
    over(page, hub, "websocket")
    hub.push("by socket")
    hub.wait_for_frame("ack", seq=1)
    hub.blocked = {"websocket"}
    hub.cut()
    hub.push("missed")
    wait(page, f"{TRANSPORT} === 'stream'")
    assert hub.connections[-1].frames[0] == {"type": "resume", "cursor": "1"}
    wait(page, "told.entries.length === 2")
    hub.blocked = {"websocket", "stream"}
    hub.close(1012)
    hub.push("missed again")
    wait(page, f"{TRANSPORT} === 'poll'")
    wait(page, "told.entries.length === 3")
    hub.push("by poll")
    wait(page, "told.entries.length === 4")
    assert told(page, "entries") == ["by socket", "missed", "missed again", "by poll"]
    assert any(query.endswith("after=3") for query in hub.polls)


def test_a_socket_that_worked_is_tried_three_times_before_the_next_transport(
    page: Page, hub: FakeHub
) -> None:
    tried = """
      window.tried = 0;
      extra.WebSocket = class extends WebSocket { constructor(...given) { super(...given); window.tried += 1; } };
    """
    over(page, hub, "websocket", more=tried)
    hub.blocked = {"websocket"}
    hub.cut()
    wait(page, f"{TRANSPORT} === 'stream'")
    assert page.evaluate("tried") == 4


def test_a_stream_gives_way_to_the_socket_as_soon_as_there_is_one(page: Page, hub: FakeHub) -> None:
    hub.blocked = {"websocket"}
    over(page, hub, "stream", more="extra.times.upgrade = 100; extra.times.upgradeCap = 200;")
    hub.push("by stream")
    wait(page, "told.entries.length === 1")
    hub.blocked = set()
    wait(page, f"{TRANSPORT} === 'websocket'")
    hub.push("by socket")
    wait(page, "told.entries.length === 2")
    stream = next(one for one in hub.connections if one.transport == "stream")
    hub.wait_until(lambda: not stream.open)
    # never without a connection while it looked for a better one
    assert told(page, "states") == ["connecting", "reconnecting", "connected", "connected"]
    assert told(page, "entries") == ["by stream", "by socket"]


def test_a_page_opened_again_begins_with_the_transport_that_worked(page: Page, hub: FakeHub) -> None:
    hub.blocked = {"websocket"}
    over(page, hub, "stream")
    over(page, hub, "stream")
    assert told(page, "states") == ["connecting", "connected"]


def test_a_stream_that_breaks_off_is_taken_up_behind_its_last_event(page: Page, hub: FakeHub) -> None:
    hub.blocked = {"websocket"}
    over(page, hub, "stream")
    hub.push("one")
    wait(page, "told.entries.length === 1")
    hub.cut()
    hub.push("two")
    wait(page, "told.entries.length === 2")
    assert [one.frames[0]["cursor"] for one in hub.connections] == [None, "1"]
    assert told(page, "entries") == ["one", "two"]


@pytest.mark.parametrize(("code", "state"), [(4409, "replaced"), (4403, "refused")])
def test_a_stream_that_is_told_to_stay_away_stays_away(
    page: Page, hub: FakeHub, code: int, state: str
) -> None:
    hub.blocked = {"websocket"}
    over(page, hub, "stream")
    hub.close(code)
    wait(page, f"hub.state === '{state}'")


@pytest.mark.parametrize("transport", ["stream", "poll"])
def test_a_refused_token_is_replaced_on_every_transport(page: Page, hub: FakeHub, transport: str) -> None:
    open_client(
        page, hub, tokens=["stale", "token-1"], options={"transports": [transport], "times": {"base": 20}}
    )
    wait(page, "hub.state === 'connected'")
    hub.push("one")
    wait(page, "told.entries.length === 1")


def test_a_hub_that_is_full_is_left_alone_for_the_time_it_names(page: Page, hub: FakeHub) -> None:
    counting = """() => {
      window.asked = 0;
      window.extra = {transports: ["stream"], times: {base: 1}, XMLHttpRequest: class extends XMLHttpRequest {
        send(body) { window.asked += 1; super.send(body); }
      }};
    }"""
    hub.retry_after = 30
    open_client(page, hub, before=counting, clock=True)
    page.clock.run_for(100)
    wait(page, "asked === 1 && hub.state === 'reconnecting'")
    page.clock.run_for(29_000)
    assert page.evaluate("asked") == 1
    hub.retry_after = 0
    page.clock.run_for(2_000)
    wait(page, "hub.state === 'connected'")


@pytest.mark.parametrize("transport", ["stream", "poll"])
def test_a_silent_line_is_dead_after_55_seconds(page: Page, hub: FakeHub, transport: str) -> None:
    open_client(page, hub, clock=True, options={"transports": [transport], "times": {"poll": 3_600_000}})
    for _ in range(20):
        page.clock.run_for(100)
    wait(page, "hub.state === 'connected'")
    page.clock.run_for(50_000)
    assert page.evaluate("hub.state") == "connected"
    page.clock.run_for(6_000)
    wait(page, "told.states.includes('reconnecting')")


def test_a_line_over_http_is_opened_anew_when_the_network_came_back(page: Page, hub: FakeHub) -> None:
    connected(page, hub, options={"transports": ["stream"]})
    page.evaluate("window.dispatchEvent(new Event('online'))")
    hub.wait_for_connection(2)


def test_a_receipt_that_did_not_arrive_is_said_again(page: Page, hub: FakeHub) -> None:
    losing = """() => {
      window.lost = 0;
      window.extra = {transports: ["stream"], times: {steady: 100}, XMLHttpRequest: class extends XMLHttpRequest {
        open(method, url) { super.open(method, method === "POST" && !window.lost++ ? "http://127.0.0.1:1/" : url); }
      }};
    }"""
    connected(page, hub, before=losing)
    page.evaluate("hub.receipt('a', 'opened')")
    hub.wait_until(lambda: {"kind": "opened", "ids": ["a"]} in hub.receipts)


def test_a_long_replay_over_a_stream_is_acknowledged_in_receipts_of_500(page: Page, hub: FakeHub) -> None:
    connected(page, hub, options={"transports": ["stream"]})
    hub.log += [{"id": f"id-{n}", "run": "r", "title": ""} for n in range(1200)]
    hub.repeat(*[entry["id"] for entry in hub.log])
    hub.wait_until(lambda: len(acknowledged(hub)) == 1200)
    assert [len(said["ids"]) for said in hub.receipts] == [500, 500, 200]


def test_an_unknown_transport_is_refused_with_those_there_are(page: Page, hub: FakeHub) -> None:
    page.goto(hub.blank_url)
    message = page.evaluate("""(() => {
      try { NotifyHub.connect({url: "/ws/v1/", token: "x", transports: ["carrier pigeon"]}); }
      catch (error) { return error.message; }
    })()""")
    assert "websocket, stream, poll" in message


def test_every_event_has_as_many_listeners_as_the_page_wants(page: Page, hub: FakeHub) -> None:
    connected(page, hub)
    page.evaluate("() => { window.off = hub.on('entry', (entry) => told.recalls.push(entry.title)); }")
    hub.push("one")
    wait(page, "told.recalls.length === 1 && told.entries.length === 1")
    page.evaluate("off()")
    hub.push("two")
    wait(page, "told.entries.length === 2")
    assert told(page, "recalls") == ["one"]
    assert "entry, recall, marked" in page.evaluate(
        "(() => { try { hub.on('entries', () => 0); } catch (error) { return error.message; } })()"
    )


def test_what_an_entry_points_at_is_fetched_at_a_random_moment(page: Page, hub: FakeHub) -> None:
    landing = """() => {
      Math.random = () => 0.5;
      window.extra = {landing: 60000, onLand: (entry) => told.recalls.push(entry.title)};
    }"""
    connected(page, hub, before=landing, clock=True)
    hub.push("sale")
    hub.push("recalled", run="run-2")
    hub.wait_for_frame("ack", seq=1)
    wait(page, "told.entries.length === 2")
    hub.say({"type": "recall", "run": "run-2"})
    page.clock.run_for(29_000)
    assert told(page, "recalls") == ["run-2"]
    page.clock.run_for(1_500)
    assert told(page, "recalls") == ["run-2", "sale"]


def test_marks_of_other_devices_reach_the_page(page: Page, hub: FakeHub) -> None:
    connected(
        page,
        hub,
        before="() => { window.extra = {onMarked: (ids, state) => told.recalls.push(ids + state)}; }",
    )
    hub.say({"type": "marked", "ids": ["a", "b"], "state": "read"})
    wait(page, "told.recalls.length === 1")
    assert told(page, "recalls") == ["a,bread"]


def test_a_request_with_a_refused_token_is_made_again_with_a_new_one(page: Page, hub: FakeHub) -> None:
    connected(page, hub, tokens=["token-1"])
    hub.answers["GET", "preferences"] = {"consent": True}
    hub.token = "token-2"
    page.evaluate("""() => new Promise((done) => {
      window.extra = null;
      hub.ask("GET", "preferences", null, (problem, answer) => { window.answer = [problem, answer]; done(); });
    })""")
    problem, _ = page.evaluate("answer")
    assert problem["title"] == "No" and hub.asked == [("GET", "preferences")] * 2
