/*
 * notifyhub-sw.js: the service worker that shows what is pushed while no page is open, and says what became of it.
 *
 * It must come from the page's own origin: a file there, /notifyhub-sw.js, with the one line
 *
 *   importScripts("https://push.example.com/static/notifyhub/notifyhub-sw.js");
 *
 * and the page names it: NotifyHub.connect({worker: "/notifyhub-sw.js", …}), then hub.enablePush(…) in answer to a
 * click.
 * Your own handlers may stand beside it: a push of another sender is left alone. A click opens the notice's link, or
 * focuses the page that shows it. Displayed, opened and dismissed go to the hub as long as the page's token is good;
 * what could not be said waits until a page brings a new one. A page that hears that a notice was read elsewhere or
 * recalled, or learns so when it connects, closes it, by `data.nh`.
 */
(function (worker) {
  "use strict";

  var STORE = "notifyhub", PLACE = "/notifyhub-state";
  var KEPT = 100;                                   // receipts that wait
  var turn = worker.Promise.resolve();              // one change of what is stored after the other

  function load() {
    return worker.caches.open(STORE).then(function (cache) { return cache.match(PLACE); })
      .then(function (found) { return found ? found.json() : {}; })
      .then(function (state) { return state && typeof state === "object" ? state : {}; });
  }
  function save(state) {
    return worker.caches.open(STORE).then(function (cache) {
      return cache.put(PLACE, new worker.Response(JSON.stringify(state)));
    });
  }
  /* Run `work(state)`, which may return a promise, and store what it made of the state. */
  function change(work) {
    turn = turn.then(load).then(function (state) {
      return worker.Promise.resolve(work(state)).then(function () { return save(state); });
    })["catch"](function () { /* storage is full or forbidden: the next change tries again */ });
    return turn;
  }

  function request(state, method, path, body) {
    return worker.fetch(state.api + path, {
      method: method,
      headers: {"Authorization": "Bearer " + state.token, "Content-Type": "application/json"},
      body: JSON.stringify(body)
    });
  }
  function flush(state) {
    var said = state.receipts || [];
    if (!said.length || !state.token) { return null; }
    return request(state, "POST", "receipts", {receipts: said}).then(function (answer) {
      if (answer.status === 401) { state.token = null; return; }
      // What the hub does not want now, it will not want later either.
      if (answer.status < 500) { state.receipts = []; }
    }, function () { /* no network: the next one takes them along */ });
  }
  function receipt(id, kind) {
    return change(function (state) {
      state.receipts = (state.receipts || []).concat({kind: kind, ids: [id]}).slice(-KEPT);
      return flush(state);
    });
  }

  function isWebAddress(address) {
    return /^https?:\/\//i.test(address || "") || /^\/(?!\/)/.test(address || "");
  }
  function said(event) {
    try { return event.data.json(); } catch (error) { return null; }
  }
  function show(notice) {
    var told = {nh: notice.nh, link: notice.link, data: notice.data};
    var options = {body: notice.body || "", tag: notice.tag, data: told};
    if (isWebAddress(notice.image)) { options.image = notice.image; }
    Object.keys(notice.options || {}).forEach(function (name) {
      if (name !== "data") { options[name] = notice.options[name]; }
    });
    if (typeof notice.badge === "number" && worker.navigator.setAppBadge) {
      worker.navigator.setAppBadge(notice.badge)["catch"](function () { /* the page is not installed as an app */ });
    }
    return worker.registration.showNotification(notice.title || notice.body || "", options);
  }

  worker.addEventListener("push", function (event) {
    var notice = said(event);
    if (!notice || !notice.nh) { return; }
    event.waitUntil(show(notice).then(function () { return receipt(notice.nh.id, "displayed"); }));
  });

  worker.addEventListener("notificationclick", function (event) {
    var told = event.notification.data || {}, address;
    if (!told.nh) { return; }
    event.notification.close();
    address = new worker.URL(isWebAddress(told.link) ? told.link : "/", worker.location.origin).href;
    event.waitUntil(worker.Promise.all([receipt(told.nh.id, "opened"), go(address)]));
  });
  function go(address) {
    return worker.clients.matchAll({type: "window", includeUncontrolled: true}).then(function (pages) {
      var open = pages.filter(function (page) { return page.url === address; })[0];
      return open ? open.focus() : worker.clients.openWindow(address);
    })["catch"](function () { /* the browser does not let us: it was told all the same */ });
  }

  worker.addEventListener("notificationclose", function (event) {
    var told = event.notification.data || {};
    if (told.nh) { event.waitUntil(receipt(told.nh.id, "dismissed")); }
  });

  /* The browser has given us another address. */
  worker.addEventListener("pushsubscriptionchange", function (event) {
    event.waitUntil(change(function (state) {
      if (!state.key || !state.token) { return null; }
      return worker.registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: state.key})
        .then(function (subscription) {
          var value = subscription.toJSON();
          value.applicationServerKey = state.key;
          return request(state, "PUT", "devices/" + state.device, {provider: "webpush", subscription: value});
        });
    }));
  });

  /* A page hands over its token, and with it whatever waits can be said. */
  worker.addEventListener("message", function (event) {
    var given = event.data && event.data.notifyhub;
    if (!given) { return; }
    event.waitUntil(change(function (state) {
      Object.keys(given).forEach(function (name) { if (given[name]) { state[name] = given[name]; } });
      return flush(state);
    }));
  });
})(self);
