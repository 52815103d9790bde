"""A page's service worker, as a test drives it: pushed to and clicked without a push service and a desktop."""

import json
from typing import Any

from playwright.sync_api import CDPSession, Page

from .chromium import wait_until

# What a browser's push manager gives, without a push service: a subscription that is handed in.
SUBSCRIBES = """(given) => {
  window.subscribedWith = [];
  PushManager.prototype.getSubscription = () => Promise.resolve(null);
  PushManager.prototype.subscribe = (options) => {
    window.subscribedWith.push(options);
    return Promise.resolve({toJSON: () => Object.assign({}, given)});
  };
}"""
ENABLE = """() => new Promise((done) => hub.enablePush((problem) => done(problem && problem.detail)))"""
# Chromium forgets a notification that is asked for while it is being shown: what is shown is counted instead.
COUNTS = """() => {
  const show = ServiceWorkerRegistration.prototype.showNotification;
  self.shows = 0;
  ServiceWorkerRegistration.prototype.showNotification = function () {
    return show.apply(this, arguments).then((answer) => { self.shows += 1; return answer; });
  };
}"""
SHOWN = """() => navigator.serviceWorker.ready.then((ready) => ready.getNotifications())
  .then((all) => all.map((one) => ({title: one.title, body: one.body, tag: one.tag, data: one.data})))"""
DISPATCH = """(kind) => self.registration.getNotifications().then((all) => {
  all.forEach((notification) => self.dispatchEvent(new NotificationEvent(kind, {notification})));
  return all.length;
})"""


class Worker:
    """The service worker of a page that has Web Push."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._cdp: CDPSession = page.context.new_cdp_session(page)
        self._registrations: list[dict[str, Any]] = []
        self._cdp.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda event: self._registrations.extend(event["registrations"]),
        )
        self._cdp.send("ServiceWorker.enable")
        wait_until(page, lambda: self._registrations)
        self.run(COUNTS)

    def push(self, message: object) -> None:
        """Deliver a push message, as the push service does."""
        where = self._registrations[-1]
        address = where["scopeURL"].split("/")
        origin = "/".join(address[:3])
        what = {"origin": origin, "registrationId": where["registrationId"], "data": json.dumps(message)}
        self._cdp.send("ServiceWorker.deliverPushMessage", what)

    def shown(self) -> list[dict[str, Any]]:
        """Return the notifications on the screen."""
        found: list[dict[str, Any]] = self._page.evaluate(SHOWN)
        return found

    def wait_for_shown(self, count: int) -> list[dict[str, Any]]:
        """Return the notifications on the screen once so many were shown; there are so many."""
        wait_until(self._page, lambda: self.run("self.shows") >= count)
        found = self.shown()
        assert len(found) == count
        return found

    def dispatch(self, kind: str) -> int:
        """Click or close every notification: `notificationclick` or `notificationclose`; return how many."""
        return int(self._evaluate(DISPATCH, kind))

    def _evaluate(self, script: str, argument: object) -> Any:
        return self._page.context.service_workers[-1].evaluate(script, argument)

    def run(self, script: str) -> Any:
        """Run a script in the worker."""
        return self._page.context.service_workers[-1].evaluate(script)
