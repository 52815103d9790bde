"""The service worker in Chromium: what is pushed while no page is open is shown, and what became of it is told."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from .chromium import wait_until
from .fake_hub import FakeHub
from .test_client import connected, told, wait
from .worker import ENABLE, SUBSCRIBES, Worker

pytestmark = pytest.mark.server

KEY = "BPuKZ4uQSA9c8EYBqGzcnKnZ7GnyrMOBzFRyPMZpZgGZGqtvYQO0mDMBfTRqmTqNOqDxNPHvPZXgQyXzWVxdZ-o"
SUBSCRIPTION = {
    "endpoint": "https://push.invalid/1",
    "expirationTime": None,
    "keys": {"p256dh": "x", "auth": "y"},
}
PUSHED: dict[str, Any] = {
    "nh": {"id": "the-id", "run": "run-1"}, "title": "Doors open", "body": "Row F", "tag": "the-id",
    "link": "/blank/", "data": {"film": "7"}, "options": {"requireInteraction": True},
}  # fmt: skip


@pytest.fixture
def worker(page: Page, hub: FakeHub) -> Worker:
    """The service worker of a page that asked for Web Push."""
    page.context.grant_permissions(["notifications"])
    hub.answers["GET", "web-push-key"] = {"public_key": KEY}
    hub.answers["PUT", "devices/device-1"] = {}
    connected(page, hub, options={"worker": "/notifyhub-sw.js"})
    page.evaluate(SUBSCRIBES, SUBSCRIPTION)
    assert page.evaluate(ENABLE) is None
    return Worker(page)


def said(hub: FakeHub, kind: str) -> list[str]:
    return [one for receipt in hub.receipts if receipt["kind"] == kind for one in receipt["ids"]]


def test_a_browser_subscribes_with_the_hubs_key_and_tells_its_address(
    page: Page, hub: FakeHub, worker: Worker
) -> None:
    assert hub.asked == [("GET", "web-push-key"), ("PUT", "devices/device-1")]
    assert hub.bodies[-1] == {
        "platform": "web",
        "provider": "webpush",
        "subscription": SUBSCRIPTION | {"applicationServerKey": KEY},
    }
    given = page.evaluate(
        "[subscribedWith[0].userVisibleOnly, subscribedWith[0].applicationServerKey.length]"
    )
    assert given == [True, 65]


def test_what_is_pushed_is_shown_and_told(hub: FakeHub, worker: Worker) -> None:
    worker.push(PUSHED)
    (shown,) = worker.wait_for_shown(1)
    assert (shown["title"], shown["body"], shown["tag"]) == ("Doors open", "Row F", "the-id")
    assert shown["data"] == {"nh": PUSHED["nh"], "link": "/blank/", "data": {"film": "7"}}
    hub.wait_until(lambda: said(hub, "displayed") == ["the-id"])


def test_the_same_display_identity_replaces_what_is_shown(hub: FakeHub, worker: Worker) -> None:
    worker.push(PUSHED)
    worker.wait_for_shown(1)
    worker.push({**PUSHED, "title": "Corrected"})
    hub.wait_until(lambda: said(hub, "displayed") == ["the-id"] * 2)
    assert [one["title"] for one in worker.shown()] == ["Corrected"]


@pytest.mark.parametrize(
    ("event", "kind"), [("notificationclick", "opened"), ("notificationclose", "dismissed")]
)
def test_a_click_is_told_as_opened_and_a_close_as_dismissed(
    hub: FakeHub, worker: Worker, event: str, kind: str
) -> None:
    worker.push(PUSHED)
    worker.wait_for_shown(1)
    assert worker.dispatch(event) == 1
    hub.wait_until(lambda: said(hub, kind) == ["the-id"])
    if event == "notificationclick":
        assert worker.shown() == []


def test_a_push_of_another_sender_is_left_alone(hub: FakeHub, worker: Worker) -> None:
    worker.push({"title": "Another's"})
    worker.push(PUSHED)
    (shown,) = worker.wait_for_shown(1)
    assert shown["title"] == "Doors open"


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "marked", "ids": ["other", "the-id"], "state": "read"},
        {"type": "marked", "ids": ["the-id"], "state": "archived"},
        {"type": "recall", "run": "run-1"},
    ],
)
def test_what_is_read_or_recalled_elsewhere_leaves_the_screen(
    page: Page, hub: FakeHub, worker: Worker, frame: dict[str, Any]
) -> None:
    worker.push({**PUSHED, "nh": {"id": "another", "run": "run-2"}, "tag": "another", "title": "Stays"})
    worker.push({**PUSHED, "tag": "a tag of the campaign"})
    worker.wait_for_shown(2)
    hub.say({"type": "marked", "ids": ["another"], "state": "unread"})
    hub.say(frame)
    wait_until(page, lambda: len(worker.shown()) < 2)
    assert [one["title"] for one in worker.shown()] == ["Stays"]
    assert said(hub, "dismissed") == []  # no person did it


# Counts how often a page was told what is on the screen.
LOOKS = """() => {
  const get = ServiceWorkerRegistration.prototype.getNotifications;
  window.looks = 0;
  ServiceWorkerRegistration.prototype.getNotifications = function () {
    return get.apply(this, arguments).then((shown) => { window.looks += 1; return shown; });
  };
}"""
SEVERAL = {"read": "run-1", "archived": "run-1", "unread": "run-1", "recalled": "run-2"}


@pytest.mark.parametrize("transports", [["websocket"], ["poll"]])
def test_what_was_read_or_recalled_while_no_page_was_open_leaves_the_screen_when_one_opens(
    page: Page, hub: FakeHub, worker: Worker, transports: list[str]
) -> None:
    for number, (name, run) in enumerate(SEVERAL.items(), 1):
        worker.push({**PUSHED, "nh": {"id": name, "run": run}, "tag": name, "title": name})
        worker.wait_for_shown(number)
    page.evaluate("hub.close()")
    hub.states = {"read": "read", "archived": "archived"}
    hub.recalled = ["run-2"]
    connected(page, hub, options={"worker": "/notifyhub-sw.js", "transports": transports})
    wait_until(page, lambda: len(worker.shown()) == 1)
    assert [one["title"] for one in worker.shown()] == ["unread"]
    ((ids, runs),) = hub.states_asked
    assert dict(zip(ids, runs, strict=True)) == SEVERAL
    assert said(hub, "dismissed") == []


def test_a_page_that_comes_back_asks_what_it_missed(page: Page, hub: FakeHub, worker: Worker) -> None:
    worker.push(PUSHED)
    worker.wait_for_shown(1)
    hub.states = {"the-id": "read"}
    hub.cut()
    wait_until(page, lambda: not worker.shown())


def test_a_page_asks_when_it_is_told_that_something_may_have_passed_it_by(
    page: Page, hub: FakeHub, worker: Worker
) -> None:
    page.evaluate("window.missed = 0; hub.on('missed', () => { missed += 1; }); null")
    worker.push(PUSHED)
    worker.wait_for_shown(1)
    hub.states = {"the-id": "read"}
    hub.say({"type": "missed"})
    wait_until(page, lambda: not worker.shown())
    assert page.evaluate("missed") == 1


def test_nothing_is_asked_where_nothing_of_ours_is_on_the_screen(
    page: Page, hub: FakeHub, worker: Worker
) -> None:
    worker.run("self.registration.showNotification('Stays', {data: {mine: 1}})")
    worker.wait_for_shown(1)
    connected(page, hub, options={"worker": "/notifyhub-sw.js"}, before=LOOKS)
    wait(page, "looks > 0")
    page.evaluate("new Promise((done) => hub.ask('GET', 'preferences', null, done))")
    assert [what for what in hub.asked if what[1].startswith("inbox")] == []


def test_only_the_newest_on_the_screen_are_asked_about(page: Page, hub: FakeHub, worker: Worker) -> None:
    ids = [f"id-{number:02}" for number in range(60)]  # from the newest to the oldest
    page.evaluate("hub.close()")
    fakes = """(ids) => {
      window.gone = [];
      ServiceWorkerRegistration.prototype.getNotifications = () => Promise.resolve(ids.map((id, number) => (
        {data: {nh: {id, run: "run-1"}}, timestamp: 1000 - number, close: () => gone.push(id)})).reverse());
    }"""
    hub.states = dict.fromkeys(ids, "read")
    connected(page, hub, options={"worker": "/notifyhub-sw.js"}, before=f"() => ({fakes})({json.dumps(ids)})")
    wait(page, "gone.length === 50")
    assert hub.states_asked == [(ids[:50], ["run-1"] * 50)]
    assert sorted(page.evaluate("gone")) == ids[:50]


@pytest.mark.parametrize("answer", [None, [], {}, {"states": []}, {"states": {"the-id": "read"}}])
def test_an_answer_that_is_none_closes_nothing(
    page: Page, hub: FakeHub, worker: Worker, answer: object
) -> None:
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(error.message))
    worker.push(PUSHED)
    worker.wait_for_shown(1)
    hub.answers["GET", "inbox/marks"] = answer
    hub.cut()
    hub.wait_until(lambda: ("GET", "inbox/marks") in hub.asked)
    page.evaluate("new Promise((done) => hub.ask('GET', 'preferences', null, done))")
    assert len(worker.shown()) == 1 and wrong == []


@pytest.mark.parametrize(
    "browser",
    [
        "Object.defineProperty(navigator, 'serviceWorker', {value: undefined})",
        "ServiceWorkerContainer.prototype.getRegistration = () => { throw new Error('forbidden'); }",
        "ServiceWorkerContainer.prototype.getRegistration = () => Promise.reject(new Error('forbidden'))",
        "",  # none registered
    ],
)
def test_where_nothing_shown_can_be_asked_for_the_page_is_told_all_the_same(
    page: Page, hub: FakeHub, browser: str
) -> None:
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(error.message))
    connected(page, hub, before=f"() => {{ {browser} }}")
    page.evaluate("() => { told.marks = []; hub.on('marked', (ids) => told.marks.push(...ids)); }")
    hub.say({"type": "marked", "ids": ["the-id"], "state": "read"})
    hub.say({"type": "recall", "run": "run-1"})
    wait(page, "told.recalls.length === 1")
    assert (told(page, "marks"), told(page, "problems"), wrong) == (["the-id"], [], [])


def test_what_could_not_be_told_waits_for_a_page_with_a_new_token(
    page: Page, hub: FakeHub, worker: Worker
) -> None:
    hub.token = "token-2"
    worker.push(PUSHED)
    worker.wait_for_shown(1)
    page.wait_for_function("""() => caches.match("/notifyhub-state").then((found) => found && found.json())
      .then((state) => state && state.token === null && state.receipts.length === 1)""")
    assert said(hub, "displayed") == []
    connected(page, hub, options={"worker": "/notifyhub-sw.js", "token": "token-2"})
    hub.wait_until(lambda: said(hub, "displayed") == ["the-id"])


def test_a_new_address_of_the_browser_reaches_the_hub(hub: FakeHub, worker: Worker) -> None:
    worker.run(f"""() => {{
      self.registration.pushManager.subscribe = () => Promise.resolve({{toJSON: () => ({SUBSCRIPTION["keys"]})}});
      self.dispatchEvent(new ExtendableEvent("pushsubscriptionchange"));
    }}""")
    hub.wait_until(lambda: hub.asked.count(("PUT", "devices/device-1")) == 2)
    assert hub.bodies[-1]["subscription"] == SUBSCRIPTION["keys"] | {"applicationServerKey": KEY}


@pytest.mark.parametrize(
    ("options", "before", "why"),
    [
        ({}, "", "Give the option worker"),
        ({"worker": "/notifyhub-sw.js"}, "delete window.PushManager", "This browser has none"),
        ({"worker": "/nothing-here.js"}, "", "Failed to register"),
    ],
)
def test_why_there_is_no_web_push_is_said(
    page: Page, hub: FakeHub, options: dict[str, str], before: str, why: str
) -> None:
    page.context.grant_permissions(["notifications"])
    connected(page, hub, before=f"() => {{ {before} }}", options=options)
    assert why in page.evaluate(ENABLE)


def test_a_person_who_says_no_is_not_asked_twice(page: Page, hub: FakeHub) -> None:
    connected(page, hub, options={"worker": "/notifyhub-sw.js"})
    page.evaluate("() => { Notification.requestPermission = () => Promise.resolve('denied'); }")
    assert page.evaluate(ENABLE) == "denied"
    assert hub.asked == []
