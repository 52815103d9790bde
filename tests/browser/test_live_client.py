"""The client, the widget and the service worker in Chromium on the real hub: what a person and a network do to them."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.pipeline.live_hub import LiveHub
from tests.servers.fixtures import announce

from .test_inbox import faults
from .worker import ENABLE, SUBSCRIBES, Worker

pytestmark = pytest.mark.server
WITHIN_MS = 100.0
"""From the request to the page, the quickest of five."""

STORY = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Story</title>
<link rel="stylesheet" href="/static/notifyhub/notifyhub-inbox.css">
<script src="/static/notifyhub/notifyhub.js"></script><script src="/static/notifyhub/notifyhub-inbox.js"></script>
</head><body><main><h1>Story</h1><notifyhub-inbox></notifyhub-inbox></main></body></html>"""
# What the page tells of its client: entries with the instant they came, and the transports it had.
START = """(given) => {
  window.entries = [];
  window.transports = [];
  window.states = [];
  window.blocked = false;
  window.hub = NotifyHub.connect({
    url: "/ws/v1/", token: given.token, worker: "/static/notifyhub/notifyhub-sw.js", times: {base: 100},
    WebSocket: function (url, protocols) {
      return new WebSocket(window.blocked ? "ws://127.0.0.1:1/" : url, protocols);
    },
    onEntry: (entry) => entries.push({id: entry.id, title: entry.title, at: Date.now()}),
    onState: (state, detail) => {
      states.push(state + " " + Math.round(performance.now()) + " " + JSON.stringify(detail));
      if (state === "connected") { transports.push(detail.transport); }
    },
  });
  document.querySelector("notifyhub-inbox").hub = hub;
}"""


# Connects over one transport, and notes what the hub has taken of the client's receipts.
STORING = """(given) => {
  window.entries = [];
  window.stored = "";
  window.hub = NotifyHub.connect({
    url: "/ws/v1/", token: given.token, transports: [given.transport],
    onEntry: (entry) => entries.push(entry.id),
    XMLHttpRequest: class extends XMLHttpRequest {
      send(body) {
        this.addEventListener("load", () => { if (this.status === 202) { window.stored += body; } });
        super.send(body);
      }
    },
  });
}"""


class Hub(LiveHub):
    """A live hub that may push to the fleet's browsers."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "NOTIFYHUB_WEB_PUSH_PRIVATE_HOSTS": "localhost,127.0.0.1"}

    @property
    def story_url(self) -> str:
        """A page of the hub's own origin, at the near end of the cable, below the service worker's path."""
        return f"http://127.0.0.1:{self._cable.port}/static/notifyhub/story"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Hub]:
    """A hub that runs, for the tests of this module."""
    with Hub(tmp_path_factory.mktemp("live")) as hub:
        announce(request.config, hub)
        yield hub


class Reader:
    """A subscriber with a browser."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.name = f"reader-{uuid.uuid4().hex[:8]}"
        self.device = str(uuid.uuid4())
        hub.api("PUT", f"subscribers/{self.name}", {"locale": "en"})
        what = {"subscriber": self.name, "platform": "web", "provider": "socket"}
        hub.api("PUT", f"devices/{self.device}", what)
        self.token = str(hub.api("POST", "tokens", {"subscriber": self.name, "device": self.device})["token"])

    def push(self, title: str, **more: Any) -> str:
        """Tell the reader something; return its id."""
        body = {"to": self.name, "title": title, "lane": "high", **more}
        return str(self.hub.api("POST", "notifications", body)["notifications"][0]["id"])

    def inbox(self) -> list[dict[str, Any]]:
        """Return what the inbox lists."""
        listed: list[dict[str, Any]] = self.hub.api("GET", "inbox/latest", secret=self.token)["entries"]
        return listed

    def open(self, page: Page) -> None:
        """Open the story's page as this reader, and wait until it is connected."""
        page.goto(self.hub.story_url)
        page.evaluate(START, {"token": self.token})
        wait(page, "hub.state === 'connected'")


@pytest.fixture
def reader(hub: Hub) -> Reader:
    """A reader of their own for each test."""
    return Reader(hub)


@pytest.fixture(autouse=True)
def story(profile: BrowserContext) -> None:
    """Let the story's page, which the test makes and the hub does not have, speak to the hub on this machine."""
    profile.grant_permissions(["local-network-access", "notifications"])
    profile.route(
        "**/static/notifyhub/story", lambda route: route.fulfill(body=STORY, content_type="text/html")
    )


def wait(page: Page, condition: str) -> None:
    page.wait_for_function(f"() => {condition}", polling=10, timeout=30_000)


def titles(page: Page) -> list[str]:
    found: list[str] = page.evaluate("entries.map((entry) => entry.title)")
    return found


def test_a_page_gets_a_push_goes_offline_misses_three_and_comes_back_with_exactly_these(
    page: Page, hub: Hub, reader: Reader
) -> None:
    reader.open(page)
    took = []
    for number in range(5):
        asked = time.time() * 1000
        reader.push(f"live {number}")
        wait(page, f"entries.length === {number + 1}")
        took.append(page.evaluate("entries[entries.length - 1].at") - asked)
    print(f"from the request to the page, ms: {', '.join(f'{one:.0f}' for one in took)}")
    assert min(took) < WITHIN_MS, "all of them late is no matter of a busy machine"
    page.context.set_offline(True)
    hub.cut()
    wait(page, "hub.state === 'offline'")
    missed = [reader.push(f"missed {number}") for number in range(3)]
    page.context.set_offline(False)
    wait(page, "entries.length >= 8")
    assert page.evaluate("entries.slice(5).map((entry) => entry.id)") == missed
    reader.push("live again")
    wait(page, "entries.length === 9")
    assert page.evaluate("transports") == ["websocket", "websocket"], page.evaluate("states")


def test_the_same_entries_come_exactly_once_whatever_the_network_lets_through(
    page: Page, hub: Hub, reader: Reader
) -> None:
    reader.open(page)
    sent = [reader.push("by socket")]
    wait(page, "entries.length === 1 && transports.join() === 'websocket'")
    page.evaluate("window.blocked = true")
    hub.cut()
    sent += [reader.push("missed by the socket")]
    wait(page, "transports[transports.length - 1] === 'stream'")
    wait(page, "entries.length === 2")
    sent += [reader.push("by stream")]
    wait(page, "entries.length === 3")
    page.route("**/api/v1/inbox/stream*", lambda route: route.abort())
    hub.cut()
    sent += [reader.push("missed by the stream")]
    wait(page, "transports[transports.length - 1] === 'poll'")
    wait(page, "entries.length === 4")
    sent += [reader.push("by poll")]
    wait(page, "entries.length === 5")
    page.evaluate("window.blocked = false")
    page.reload()
    page.evaluate(START, {"token": reader.token})
    wait(page, "hub.state === 'connected'")
    sent_after = [reader.push("after a reload")]
    wait(page, "entries.length >= 1")
    assert page.evaluate("entries.map((entry) => entry.id)") == sent_after
    assert [entry["id"] for entry in reversed(reader.inbox())] == sent + sent_after


def test_entries_over_a_stream_and_a_poll_are_acknowledged(page: Page, hub: Hub, reader: Reader) -> None:
    script = """
from delivery.log.store import log_store
from devices.models import Device
from uuid import UUID
device = Device.objects.select_related("subscriber").get(uid="{device}")
rows = log_store().receipts(device.subscriber.uid, [UUID(one) for one in "{ids}".split()])
print("SAID", *sorted(str(row.notification) for row in rows if row.kind == "acknowledged"), bool(device.acknowledged))
"""
    page.add_init_script("delete window.WebSocket")
    sent = []
    for count, transport in enumerate(("stream", "poll"), 1):
        page.goto(hub.story_url)
        given = {"token": reader.token, "transport": transport}
        page.evaluate(STORING, given)
        wait(page, "hub.state === 'connected'")
        sent.append(reader.push(f"by {transport}"))
        wait(page, f"entries.length === 1 && stored.includes('{sent[-1]}')")
        assert page.evaluate("entries") == sent[-1:]
        said = hub.manage("shell", "-c", script.format(device=reader.device, ids=" ".join(sent)))
        assert [line for line in said.splitlines() if line.startswith("SAID")] == [
            f"SAID {' '.join(sorted(sent))} True"
        ], count


def test_two_tabs_show_the_same_and_what_is_read_in_one_is_read_in_the_other(
    page: Page, profile: BrowserContext, reader: Reader
) -> None:
    other = profile.new_page()
    tabs = (page, other)
    for tab in tabs:
        reader.open(tab)
    reader.push("for both")
    reader.push("for both as well")
    for tab in tabs:
        wait(tab, "entries.length === 2")
        assert titles(tab) == ["for both", "for both as well"]
        expect(tab.locator(".nh-bell")).to_have_accessible_name("Notifications, 2 unread")
    page.locator(".nh-bell").click()
    page.get_by_role("button", name="Mark as read: for both", exact=True).click()
    for tab in tabs:
        expect(tab.locator(".nh-bell")).to_have_accessible_name("Notifications, 1 unread")
    other.close()
    reader.push("for one")
    wait(page, "entries.length === 3")


def test_the_widget_lists_reads_puts_away_and_chooses_on_the_real_hub(
    page: Page, hub: Hub, reader: Reader
) -> None:
    reader.push("Before the page was open", body="An old one.")
    reader.open(page)
    bell = page.locator(".nh-bell")
    expect(bell).to_have_accessible_name("Notifications, 1 unread")
    reader.push("While it is open", link="https://example.com/offer")
    expect(bell).to_have_accessible_name("Notifications, 2 unread")
    bell.click()
    listed = page.locator(".nh-main")
    expect(listed).to_have_text(["While it is open", "Before the page was open"])
    assert faults(page) == []
    page.get_by_role("button", name="Mark as read: While it is open").click()
    page.get_by_role("button", name="Archive: Before the page was open").click()
    expect(listed).to_have_text(["While it is open"])
    expect(bell).to_have_accessible_name("Notifications, none unread")
    page.get_by_role("button", name="Preferences").click()
    page.get_by_role("checkbox", name="Notifications").uncheck()
    expect(page.get_by_role("status")).to_have_text("Saved")
    assert hub.api("GET", f"subscribers/{reader.name}")["consent"] is False
    page.get_by_role("checkbox", name="Notifications").check()
    expect(page.get_by_role("status")).to_have_text("Saved")
    reader.open(page)
    expect(bell).to_have_accessible_name("Notifications, none unread")
    bell.click()
    expect(listed).to_have_text(["While it is open"])
    assert [(one["title"], one["state"]) for one in reader.inbox()] == [("While it is open", "read")]


def test_a_browser_asleep_is_pushed_to_and_a_click_is_told(page: Page, hub: Hub, reader: Reader) -> None:
    credential = {"provider": "webpush", "subject": "mailto:staff@example.com", "stands_in": True}
    key = hub.api("POST", "credentials", credential)["public_key"]
    (subscription,) = hub.fleet.make_subscriptions(1, application_server_key=key)
    reader.open(page)
    page.evaluate(SUBSCRIBES, subscription)
    assert page.evaluate(ENABLE) is None
    worker = Worker(page)
    page.evaluate("hub.close()")
    told = reader.push("Your table is ready", body="Row F", link="/static/notifyhub/story")
    endpoint = subscription["endpoint"]
    deadline = time.monotonic() + 30
    while not (came := hub.fleet.arrived_for([endpoint]).get(endpoint)):
        assert time.monotonic() < deadline, "nothing came to the push service"
    assert [(one["notification"], one["times"]) for one in came] == [(told, 1)]
    # The fleet has decrypted what the hub made; Chromium is handed the same words.
    worker.push({"nh": {"id": told, "run": came[0]["run"]}, "title": "Your table is ready", "tag": told})
    (shown,) = worker.wait_for_shown(1)
    assert shown["title"] == "Your table is ready"
    worker.dispatch("notificationclick")
    wait(
        page,
        f"""fetch("/api/v1/inbox/latest", {{headers: {{Authorization: "Bearer {reader.token}"}}}})
      .then((answer) => answer.json()).then((found) => found.entries[0].state === "read")""",
    )
    assert reader.inbox()[0]["id"] == told
