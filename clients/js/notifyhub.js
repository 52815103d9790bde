/*
 * notifyhub.js: receives a device's notifications in browsers and on TVs, whatever the network lets through. ES5, no
 * dependency.
 *
 *   var hub = NotifyHub.connect({
 *     url: "/ws/v1/",                             // or wss://hub.example/ws/v1/
 *     getToken: function (done) { done(token); }, // asked first and when a token was refused; done(null): failed
 *     onEntry: function (entry) {},               // {id, run, title, body, link, image, data, sent_at}, once per id
 *     onRecall: function (run) {},                // hide every entry of this run
 *     onMarked: function (ids, state) {},         // read or archived, here or on another device
 *     onMessage: function (data, sender) {},        // what another device of the same person says
 *     onState: function (state, detail) {},       // see below
 *     onError: function (problem) {},             // {title, detail}: worth a log line; the client goes on by itself
 *     onLand: function (entry) {}                 // after a random part of `landing` ms: fetch here what the entry
 *   });                                           // points at, so that not all devices do so in one instant
 *   hub.on("entry", callback);                    // more listeners: entry, recall, marked, message, …
 *   hub.receipt([entry.id], "opened");            // displayed, opened, dismissed or read; kept while unconnected
 *   hub.ask("GET", "inbox", null, function (problem, answer) {});  // the hub's REST API with the device's token
 *   hub.enablePush(function (problem) {});        // Web Push, in answer to a click; needs the option `worker`
 *   hub.close();  hub.state;  hub.device;
 *
 * States: connecting; connected (detail: device, node, transport, recovered: false where older entries are missing);
 * reconnecting and offline (it returns by itself); at rest for good: closed (by the page), replaced (too many
 * connections), refused (the origin, or a token where no getToken was given).
 * Transports: websocket; where that is blocked stream (Server-Sent Events, read with XMLHttpRequest); where that is held
 * back poll. They share the cursor; a lesser one looks for the WebSocket again, half a minute to ten minutes apart.
 * More options: transports (those to use); token (fixed, instead of getToken); device (its id, where several share one
 * browser); storage (localStorage by default, memory where that throws); authFrame (true: the token goes in the first
 * frame, for engines without subprotocols); worker (the path of notifyhub-sw.js on the page's own origin); landing; api
 * (the address of /api/v1/, if not beside url); times (see TIMES); WebSocket, XMLHttpRequest (the constructors).
 * An entry is handed to onEntry, then its id and the cursor are stored, then it is acknowledged: a page that dies in
 * between sees it again. The first of a burst is acknowledged at once, the rest together every 250 ms.
 */
(function (root) {
  "use strict";

  var TIMES = {                                     // milliseconds
    base: 500, cap: 30000,                          // full jitter: 0 to min(cap, base * 2^attempt)
    hello: 20000,                                   // from opening the socket to the server's hello
    steady: 10000,                                  // connected this long: the next attempt counts as the first
    pause: 3600000,                                 // the longest wait a server may ask for
    ping: 25000, answer: 30000,                     // silence of ping + answer is death
    probe: 5000,                                    // the same after waking up or a change of network
    ack: 250,
    poll: 25000,                                    // how long a poll waits for something
    upgrade: 30000, upgradeCap: 600000              // between two looks for a better transport; doubles
  };
  var TRANSPORTS = ["websocket", "stream", "poll"];
  var EVENTS = ["entry", "recall", "marked", "missed", "message", "state", "error", "land"];
  var MOST_IDS = 500;                               // in one receipt
  var REMEMBERED = 500;                             // ids, to drop repeats
  var ASKED = 50;                                   // notices on the screen, when what became of them is asked
  var QUEUED = 100;                                 // receipts kept while there is no connection
  var KINDS = ["displayed", "opened", "dismissed", "read"];
  var TOKEN_REFUSED = 4401, ORIGIN_REFUSED = 4403, REPLACED = 4409;

  function absolute(url) {
    var here = root.location;
    if (/^wss?:/.test(url)) { return url; }
    if (/^https?:/.test(url)) { return url.replace(/^http/, "ws"); }
    return (here.protocol === "https:" ? "wss://" : "ws://") + here.host + url;
  }

  function isObject(value) {
    return Object.prototype.toString.call(value) === "[object Object]";
  }

  function parse(text) {
    try { return JSON.parse(text); } catch (error) { return null; }
  }

  /* One request with a subscriber token. `done(status, text, xhr)`; status 0: no answer. `progress(text so far)`. */
  function request(Request, method, url, token, body, done, progress) {
    var xhr = new Request();
    xhr.open(method, url);
    xhr.setRequestHeader("Authorization", "Bearer " + token);
    if (body) { xhr.setRequestHeader("Content-Type", "application/json"); }
    xhr.onreadystatechange = function () {
      if (xhr.readyState === 4) { return done(xhr.status, xhr.responseText, xhr); }
      if (xhr.readyState === 3 && progress) { progress(xhr.responseText); }
    };
    xhr.send(body ? JSON.stringify(body) : null);
    return xhr;
  }

  /*
   * A line over plain HTTP with the manners of a WebSocket: the frames come as objects from a stream of events or from
   * the answers of long polls, and go as receipts. `slow`: it cannot be pinged. `onunsent(frame)`: a receipt came back.
   */
  function createHttpLine(Request, api, token, wait, streams) {
    var line = {readyState: 1, slow: true, send: send, close: close};
    var cursor = null, seq = 0, greeted = false, sent = [], xhr, timer;

    function close() {
      line.readyState = 3;
      clearTimeout(timer);
      if (xhr) { xhr.abort(); }
    }
    function end(code) {
      if (line.readyState !== 1) { return; }
      close();
      if (line.onclose) { line.onclose({code: code}); }
    }
    function take(frame) {
      if (frame.type === "closed") { return end(frame.code); }
      if (Array.isArray(frame.entries)) {
        sent.push({seq: frame.seq, cursor: frame.cursor, ids: idsOf(frame.entries)});
      }
      if (line.onmessage) { line.onmessage({data: frame}); }
    }
    function refused(status, text, answer) {
      var problem = parse(text), wait = status === 503 ? Number(answer.getResponseHeader("Retry-After")) : 0;
      // Only the hub's own word counts: a proxy on the way may answer 403 to what it does not like.
      var isOrigin = status === 403 && isObject(problem) && /origin-refused$/.test(problem.type);
      if (wait) { take({type: "reconnect", after_ms: wait * 1000}); }
      end(status === 401 ? TOKEN_REFUSED : isOrigin ? ORIGIN_REFUSED : 1006);
    }

    function stream() {
      var at = 0;
      function read(text) {
        var stop;
        while (line.readyState === 1 && (stop = text.indexOf("\n\n", at)) >= 0) {
          event(text.slice(at, stop));
          at = stop + 2;
        }
      }
      xhr = request(Request, "GET", api + "inbox/stream" + (cursor ? "?after=" + encodeURIComponent(cursor) : ""),
        token, null, function (status, text, answer) {
          if (status !== 200) { return refused(status, text, answer); }
          read(text);
          end(1006);
        }, read);
    }
    function event(block) {
      var data = block.split("\n").filter(function (row) { return /^data:/.test(row); })
        .map(function (row) { return row.slice(5); }).join("\n");
      take(!data ? {type: "pong"} : parse(data) || {});   // a comment: it lives
    }

    function poll(seconds) {
      var asked = Date.now();
      var query = "?wait=" + seconds + (cursor ? "&after=" + encodeURIComponent(cursor) : "");
      xhr = request(Request, "GET", api + "inbox" + query, token, null, function (status, text, xhr) {
          var found = parse(text), any, pause;
          if (line.readyState !== 1) { return; }
          if (status !== 200 || !isObject(found) || !Array.isArray(found.entries)) {
            return refused(status, text, xhr);
          }
          if (!greeted) {
            greeted = true;
            take({type: "hello", device: found.device, node: "", cursor: found.cursor, recovered: found.recovered});
          }
          any = found.entries.length;
          if (line.readyState === 1) {
            take(any ? {type: "entries", seq: seq += 1, entries: found.entries, cursor: found.cursor} : {type: "pong"});
          }
          if (line.readyState !== 1) { return; }
          cursor = found.next || found.cursor;
          // An answer with nothing in it that came at once is a proxy's or a hub's that ends: not again and again.
          pause = !any && seconds && Date.now() - asked < 1000 ? 1000 : 0;
          timer = setTimeout(function () { poll(wait / 1000); }, Math.max(pause, Number(found.poll_after_ms) || 0));
        });
    }

    function send(text) {
      var frame = JSON.parse(text), ids = [], said = [], last;
      if (frame.type === "resume" || frame.type === "auth") {
        cursor = frame.cursor;
        if (streams) { stream(); } else { poll(0); }
      } else if (frame.type === "ack") {
        while (sent.length && sent[0].seq <= frame.seq) {
          last = sent.shift();
          ids = ids.concat(last.ids);
        }
        while (ids.length) { said.push({kind: "acknowledged", ids: ids.splice(0, MOST_IDS)}); }
        if (said.length) { post({receipts: said, cursor: last.cursor}); }
      } else if (frame.type === "receipt") {
        post({receipts: [{kind: frame.kind, ids: frame.ids}]}, frame);
      }
    }
    function post(said, frame) {
      request(Request, "POST", api + "receipts", token, said, function (status) {
        if (frame && (!status || status === 401 || status >= 500) && line.onunsent) { line.onunsent(frame); }
      });
    }

    setTimeout(function () { if (line.onopen) { line.onopen(); } }, 0);
    return line;
  }

  /* What outlives the page: for each device its cursor and last ids in one value, and who was here last. */
  function createMemory(storage, url, device) {
    var pointer = "notifyhub:device:" + url;
    var memory = {device: null, cursor: null, transport: null, has: has, add: add, load: load, save: save};
    var ids, seen;

    function read(key) {
      try { return storage.getItem(key); } catch (error) { return null; }
    }
    function write(key, value) {
      try { storage.setItem(key, value); } catch (error) { /* full or forbidden: this page's memory serves */ }
    }
    function stored(owner) {
      var value = parse(read("notifyhub:" + owner));
      if (!isObject(value)) { value = {}; }
      return {cursor: typeof value.cursor === "string" ? value.cursor : null,
              ids: Array.isArray(value.ids) ? value.ids : [], transport: value.transport};
    }
    function has(id) { return seen["i" + id] === true; }
    function add(id) {
      seen["i" + id] = true;
      ids.push(id);
      if (ids.length > REMEMBERED) { delete seen["i" + ids.shift()]; }
    }
    function load(owner) {
      var value = stored(owner);
      memory.device = owner;
      memory.cursor = value.cursor;
      memory.transport = value.transport;
      ids = [];
      seen = {};
      value.ids.forEach(add);
    }
    function save() {
      // Another tab of this device stores here too: its ids stay, in front of ours.
      var others = stored(memory.device).ids.filter(function (id) { return !has(id); });
      var all = others.concat(ids).slice(-REMEMBERED);
      write("notifyhub:" + memory.device,
            JSON.stringify({cursor: memory.cursor, ids: all, transport: memory.transport}));
      write(pointer, memory.device);
    }

    load(device || read(pointer) || "");
    return memory;
  }

  function connect(options) {
    var Socket = options.WebSocket || root.WebSocket, Request = options.XMLHttpRequest || root.XMLHttpRequest;
    var hub = {state: "", device: "", on: on, receipt: receipt, ask: ask, enablePush: enablePush, close: close};
    var times = {}, listeners = {};
    var token = options.token || null;
    var url, api, memory;
    var ways, way, misses = 0, worked = [];         // the transports, the one in use, failures of it in a row
    var upgradeWait;
    var current = null;                             // the connection that has said hello
    var next = null;                                // the one being opened, beside `current` when handing over
    var stopped = false, asking = false, opening = false;
    var waiting = [];                               // for a token
    var attempt = 0, unopened = 0;
    var notBefore = 0, pause = 0;                   // the server's floor: until when, and how long it was
    var retryTimer = null, ackTimer = null, ackDue = false;
    var renewedAt;                                  // the cursor from which a broken frame made us start again
    var recalled = [];
    var receipts = [];

    if (!options.url) { throw new Error("NotifyHub.connect: url is missing, for example \"/ws/v1/\""); }
    if (!token && !options.getToken) { throw new Error("NotifyHub.connect: give token or getToken"); }
    ways = (options.transports || TRANSPORTS).filter(function (name) {
      return TRANSPORTS.indexOf(name) >= 0 && (name === "websocket" ? Socket : Request);
    });
    if (!ways.length) {
      throw new Error("NotifyHub.connect: none of the transports can be used here; there are " + TRANSPORTS.join(", "));
    }
    url = absolute(options.url);
    api = options.api || url.replace(/^ws/, "http").replace(/\/ws\/v1\/?(\?.*)?$/, "/api/v1/");
    Object.keys(TIMES).forEach(function (name) {
      times[name] = options.times && name in options.times ? options.times[name] : TIMES[name];
    });
    EVENTS.forEach(function (name) {
      var given = options["on" + name.charAt(0).toUpperCase() + name.slice(1)];
      listeners[name] = given ? [given] : [];
    });
    memory = createMemory(options.storage || localStorageOf(root), url, options.device);
    way = Math.max(0, ways.indexOf(memory.transport));
    upgradeWait = times.upgrade;

    /* -- telling the page -- */

    function on(name, callback) {
      if (!listeners[name]) { throw new Error("on: the events are " + EVENTS.join(", ") + ", not " + name); }
      listeners[name].push(callback);
      return function () {
        listeners[name] = listeners[name].filter(function (other) { return other !== callback; });
      };
    }
    function tell(name, first, second) {
      listeners[name].forEach(function (callback) {
        // The page's mistake is the page's: it reaches its console, and the client goes on.
        try { callback(first, second); } catch (error) { setTimeout(function () { throw error; }, 0); }
      });
    }
    function enter(state, detail) {
      if (hub.state === state && state !== "connected") { return; }
      hub.state = state;
      tell("state", state, detail || {});
    }
    function complain(title, detail) {
      tell("error", {title: title, detail: String(detail)});
    }

    /* -- coming and going -- */

    function again() {
      var limit = Math.min(times.cap, times.base * Math.pow(2, attempt));
      // A clock that was set back must not make the floor longer than the server asked for.
      var floor = Math.max(0, Math.min(pause, notBefore - Date.now()));
      if (stopped || retryTimer || next || opening) { return; }
      attempt += 1;
      retryTimer = setTimeout(function () { retryTimer = null; open(); }, floor + Math.random() * limit);
    }
    function open() {
      if (stopped || next || opening) { return; }
      opening = true;
      withToken(function () {
        opening = false;
        if (stopped || next) { return; }
        if (token) { dial(way); } else { again(); }
      });
    }
    /* Calls `use` when there is a token, or when getToken gave none. */
    function withToken(use) {
      var answered = false;
      if (token) { return use(); }
      waiting.push(use);
      if (asking || !options.getToken) { return asking ? null : flush(); }
      asking = true;
      function flush() {
        waiting.splice(0).forEach(function (one) { one(); });
      }
      function done(value) {
        if (answered) { return; }
        answered = true;
        asking = false;
        token = typeof value === "string" && value ? value : null;
        if (!token) { complain("No token", "getToken gave none; asking again later"); }
        flush();
      }
      try { options.getToken(done); } catch (error) { complain("getToken failed", error); done(null); }
    }
    function dial(index, isUpgrade) {
      // RFC 6455 allows only the characters of a header token in a subprotocol.
      var inFrame = options.authFrame || !/^[\w!#$%&'*+.^`|~-]+$/.test(token);
      var connection = {seq: 0, acked: 0, broken: false, cursor: null, timers: {}, way: index, isUpgrade: isUpgrade};
      var socket;
      try {
        socket = ways[index] === "websocket" ?
          new Socket(url, inFrame ? ["notifyhub.v1"] : ["notifyhub.v1", "notifyhub.auth." + token]) :
          createHttpLine(Request, api, token, times.poll, ways[index] === "stream");
      } catch (error) {
        complain("The socket could not be made", error);
        missed(connection);
        return again();
      }
      if (!socket.slow) { unopened += 1; }
      connection.socket = socket;
      next = connection;
      connection.timers.hello = setTimeout(function () { cut(connection); }, times.hello);
      socket.onopen = function () {
        if (!socket.slow) { unopened = 0; }
        connection.cursor = memory.cursor;
        send(connection, inFrame ? {type: "auth", token: token, cursor: connection.cursor}
                                 : {type: "resume", cursor: connection.cursor});
      };
      socket.onerror = function () { /* a close with its code follows */ };
      socket.onmessage = function (event) { receive(connection, event.data); };
      socket.onclose = function (event) { lost(connection, event.code); };
      socket.onunsent = function (frame) {
        receipts.unshift(frame);
        setTimeout(sendReceipts, times.steady);
      };
    }
    /* A connection was never greeted: after one failure, or three where it has worked before, the next transport. */
    function missed(connection) {
      if (connection.isUpgrade) { return; }
      misses += 1;
      if (misses < (worked[way] ? 3 : 1)) { return; }
      misses = 0;
      way = (way + 1) % ways.length;
    }
    function planUpgrade(connection) {
      connection.timers.upgrade = setTimeout(function () {
        if (next || retryTimer || !token) { return planUpgrade(connection); }
        upgradeWait = Math.min(times.upgradeCap, upgradeWait * 2);
        dial(0, true);
      }, upgradeWait * (0.5 + Math.random() / 2));
    }
    function release(connection) {
      var socket = connection.socket;
      Object.keys(connection.timers).forEach(function (name) { clearTimeout(connection.timers[name]); });
      connection.timers = {};
      socket.onopen = socket.onmessage = socket.onclose = socket.onunsent = null;
      try { socket.close(1000); } catch (error) { socket.close(); }
    }
    function cut(connection) {
      lost(connection, 1006);
    }
    function lost(connection, code) {
      var handedOver = connection === current && next !== null;
      release(connection);
      if (connection === next) {
        next = null;
        if (!(code >= 4000)) { missed(connection); }
      } else {
        current = null;
      }
      if (code === REPLACED && !handedOver) { return stop("replaced"); }
      if (code === ORIGIN_REFUSED) { return stop("refused"); }
      if (code === TOKEN_REFUSED && !options.getToken) { return stop("refused"); }
      // A proxy or server that refuses the handshake shows no code: after three of them the token is suspect too.
      if (options.getToken && (code === TOKEN_REFUSED || unopened >= 3)) {
        token = null;
        unopened = 0;
      }
      if (current && connection.isUpgrade) { return planUpgrade(current); }
      if (!current) { enter(isOffline() ? "offline" : "reconnecting", {code: code}); }
      again();
    }
    function stop(state) {
      stopped = true;
      clearTimeout(retryTimer);
      clearTimeout(ackTimer);
      if (current) { settleNow(); release(current); }
      if (next) { release(next); }
      current = next = null;
      listen("removeEventListener");
      enter(state);
    }
    function close() {
      if (!stopped) { stop("closed"); }
    }

    /* -- frames out -- */

    function send(connection, frame) {
      if (connection.socket.readyState !== 1) { return false; }
      try { connection.socket.send(JSON.stringify(frame)); } catch (error) { return false; }
      return true;
    }
    function ping(connection, patience) {
      if (connection.socket.slow) { patience = times.answer; }
      send(connection, {type: "ping"});
      // Only a ping without an answer is a sign of death: timers of a hidden tab come late, all at once.
      if (!connection.timers.dead || patience < times.answer) {
        clearTimeout(connection.timers.dead);
        connection.timers.dead = setTimeout(function () { cut(connection); }, patience);
      }
    }
    function beat(connection) {
      connection.timers.ping = setTimeout(function () {
        ping(connection, times.answer);
        beat(connection);
      }, times.ping);
    }
    function settleNow() {
      memory.save();
      if (current && current.seq > current.acked && send(current, {type: "ack", seq: current.seq})) {
        current.acked = current.seq;
      }
    }
    function settle() {
      if (ackTimer) { ackDue = true; return; }
      ackDue = false;
      settleNow();
      ackTimer = setTimeout(function () {
        ackTimer = null;
        if (ackDue) { settle(); }
      }, times.ack);
    }
    function receipt(ids, kind) {
      var list = Array.isArray(ids) ? ids : [ids];
      if (KINDS.indexOf(kind) < 0) {
        throw new Error("receipt: kind is one of " + KINDS.join(", ") + ", not " + kind);
      }
      if (stopped || !list.length) { return; }
      receipts.push({type: "receipt", ids: list, kind: kind});
      if (receipts.length > QUEUED) { receipts.shift(); }
      sendReceipts();
    }
    function sendReceipts() {
      while (current && receipts.length && send(current, receipts[0])) { receipts.shift(); }
    }

    /* -- requests -- */

    function ask(method, path, body, done, isAgain) {
      withToken(function () {
        var used = token;
        if (!used) { return done && done({title: "No token", detail: "getToken gave none"}); }
        request(Request, method, api + path, used, body, function (status, text) {
          var answer = parse(text);
          if (status === 401 && options.getToken && !isAgain) {
            if (token === used) { token = null; }
            return ask(method, path, body, done, true);
          }
          if (!done) { return; }
          if (status >= 200 && status < 300) { return done(null, answer); }
          done(isObject(answer) ? answer : {title: "No answer", detail: method + " " + path, status: status});
        });
      });
    }

    /* -- Web Push: a service worker that shows what comes while no page is open -- */

    function enablePush(done) {
      var container = root.navigator.serviceWorker, registration, key;
      function fail(error) {
        done({title: "No Web Push", detail: String(error && (error.detail || error.message) || error)});
      }
      if (!container || !root.PushManager || !root.Notification) { return fail("This browser has none."); }
      if (!options.worker) { return fail("Give the option worker, the path of notifyhub-sw.js on this origin."); }
      if (!hub.device) { return fail("Not connected yet."); }
      root.Notification.requestPermission().then(function (permission) {
        if (permission !== "granted") { throw permission; }
        return container.register(options.worker);
      }).then(function () { return container.ready; }).then(function (ready) {
        registration = ready;
        ask("GET", "web-push-key", null, function (problem, answer) {
          if (problem) { return fail(problem); }
          key = answer.public_key;
          registration.pushManager.getSubscription().then(function (old) {
            // One made with another key cannot be pushed to.
            return old && old.unsubscribe();
          }).then(function () {
            return registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: bytesOf(key)});
          }).then(function (subscription) {
            var value = subscription.toJSON();
            value.applicationServerKey = key;
            ask("PUT", "devices/" + hub.device, {platform: "web", provider: "webpush", subscription: value},
                function (problem) {
                  if (problem) { return fail(problem); }
                  tellWorker(key);
                  done(null);
                });
          })["catch"](fail);
        });
      })["catch"](fail);
    }
    /* The worker says by itself what was displayed and opened, as long as the token is good. */
    function tellWorker(key) {
      var container = root.navigator && root.navigator.serviceWorker;
      if (!container || !options.worker || !token) { return; }
      container.ready.then(function (registration) {
        registration.active.postMessage({notifyhub: {api: api, token: token, device: hub.device, key: key}});
      });
    }
    /* Calls `use` with the notices of ours on the screen, each with `data.nh`, {id, run}. */
    function withShown(use) {
      function ignore() { /* no service worker, or none that may be asked: the notice stays */ }
      try {
        root.navigator.serviceWorker.getRegistration(options.worker || "").then(function (registration) {
          return registration.getNotifications();
        }).then(function (shown) {
          use(shown.filter(function (notice) { return notice.data && isObject(notice.data.nh); }));
        })["catch"](ignore);
      } catch (error) { ignore(); }
    }
    /* What `isMeant({id, run})` leaves the screen. The person has not dismissed it. */
    function closeShown(isMeant) {
      withShown(function (shown) {
        shown.forEach(function (notice) { if (isMeant(notice.data.nh)) { notice.close(); } });
      });
    }
    /* What was read, archived or recalled unheard: asked only where something is on the screen. */
    function closeMissed() {
      withShown(function (shown) {
        // Chromium lists them by their tags, and some browsers do not say when each was shown.
        var newest = shown.sort(function (one, other) { return (other.timestamp || 0) - (one.timestamp || 0); });
        var query = newest.slice(0, ASKED).map(function (notice) {
          return "id=" + notice.data.nh.id + "&run=" + notice.data.nh.run;
        });
        if (!query.length) { return; }
        ask("GET", "inbox/marks?" + query.join("&"), null, function (problem, answer) {
          if (problem || !isObject(answer) || !isObject(answer.states) || !Array.isArray(answer.recalled)) { return; }
          closeShown(function (nh) {
            return (answer.states[nh.id] || "unread") !== "unread" || answer.recalled.indexOf(nh.run) >= 0;
          });
        });
      });
    }

    /* -- frames in -- */

    var handlers = {
      hello: function (connection, frame) {
        var device = String(frame.device);
        if (connection !== next) { return; }
        if (current) { settleNow(); release(current); current = null; }
        if (device !== memory.device) {
          memory.load(device);
          memory.save();
          // Another device's cursor was offered: start again with its own.
          if (memory.cursor !== connection.cursor) { return cut(connection); }
        }
        current = connection;
        next = null;
        hub.device = device;
        tellWorker();
        way = connection.way;
        misses = 0;
        worked[way] = true;
        if (memory.transport !== ways[way]) {
          memory.transport = ways[way];
          memory.save();
        }
        if (way) { planUpgrade(connection); } else { upgradeWait = times.upgrade; }
        clearTimeout(connection.timers.hello);
        connection.timers.steady = setTimeout(function () { attempt = 0; }, times.steady);
        beat(connection);
        if (!frame.recovered && typeof frame.cursor === "string") {
          memory.cursor = frame.cursor;
          memory.save();
        }
        enter("connected", {
          device: device, node: frame.node, recovered: !!frame.recovered, transport: ways[way]
        });
        sendReceipts();
        closeMissed();
      },
      entries: function (connection, frame) {
        if (connection !== current || typeof frame.seq !== "number" || !Array.isArray(frame.entries)) {
          return distrust(connection, "an entries frame without hello, seq or list");
        }
        // An acknowledgement covers all before it: what a broken frame held is fetched again, once.
        if (connection.broken && frame.seq > connection.seq + 1 && renewedAt !== memory.cursor) {
          renewedAt = memory.cursor;
          return cut(connection);
        }
        connection.broken = false;
        frame.entries.forEach(take);
        if (connection !== current) { return memory.save(); }   // the page closed us in onEntry
        connection.seq = frame.seq;
        if (typeof frame.cursor === "string") { memory.cursor = frame.cursor; }
        settle();
      },
      recall: function (connection, frame) {
        recalled.push(frame.run);
        if (recalled.length > REMEMBERED) { recalled.shift(); }
        closeShown(function (nh) { return nh.run === frame.run; });
        tell("recall", frame.run);
      },
      marked: function (connection, frame) {
        if (!Array.isArray(frame.ids)) { return; }
        if (frame.state !== "unread") { closeShown(function (nh) { return frame.ids.indexOf(nh.id) >= 0; }); }
        tell("marked", frame.ids, frame.state);
      },
      missed: function () {
        closeMissed();
        tell("missed");
      },
      message: function (connection, frame) {
        tell("message", frame.data, frame.sender);
      },
      reconnect: function (connection, frame) {
        pause = Math.min(times.pause, Math.max(0, Number(frame.after_ms) || 0));
        notBefore = Date.now() + pause;
        clearTimeout(retryTimer);
        retryTimer = null;
        again();
      },
      resync: cut,
      error: function (connection, frame) {
        tell("error", isObject(frame.problem) ? frame.problem : {title: "The server reports an error"});
      }
    };

    function receive(connection, data) {
      var frame = isObject(data) ? data : parse(data);
      clearTimeout(connection.timers.dead);
      connection.timers.dead = null;
      if (!isObject(frame)) { return distrust(connection, "not a JSON object"); }
      // A type of a later version is no error.
      if (handlers.hasOwnProperty(frame.type)) { handlers[frame.type](connection, frame); }
    }
    function distrust(connection, detail) {
      connection.broken = true;
      complain("Malformed frame", detail);
    }
    function take(entry) {
      if (!isObject(entry) || !entry.id) { return complain("Malformed entry", "an entry without id"); }
      if (stopped || memory.has(entry.id)) { return; }
      if (recalled.indexOf(entry.run) < 0 && (entry.kind || "notification") === "notification") {
        tell("entry", entry);
        if (listeners.land.length) {
          setTimeout(function () {
            if (!stopped && recalled.indexOf(entry.run) < 0) { tell("land", entry); }
          }, Math.random() * (options.landing || 0));
        }
      }
      memory.add(entry.id);
    }

    /* -- the machine around us -- */

    function isOffline() {
      return !!root.navigator && root.navigator.onLine === false;
    }
    function seen() {
      if (!root.document.hidden) { wake(); }
    }
    function wake() {
      if (current) { return ping(current, times.probe); }
      if (!retryTimer) { return; }
      clearTimeout(retryTimer);
      retryTimer = null;
      attempt = 0;
      again();
    }
    function online() {
      if (!current) { enter("reconnecting"); }
      if (current && current.socket.slow) { attempt = 0; return cut(current); }   // nothing would tell that it is dead
      if (next && !current) { attempt = 0; return cut(next); }   // it dialled into the void
      wake();
    }
    function offline() {
      if (current) { return ping(current, times.probe); }
      enter("offline");                             // attempts go on: some TVs call themselves offline for ever
    }
    function listen(verb) {
      if (!root[verb]) { return; }
      root[verb]("online", online);
      root[verb]("offline", offline);
      root[verb]("pageshow", wake);
      root[verb]("pagehide", settleNow);            // the next page must not see again what this one has shown
      if (root.document) { root.document[verb]("visibilitychange", seen); }
    }

    listen("addEventListener");
    enter("connecting");
    open();
    return hub;
  }

  function bytesOf(base64url) {
    var text = root.atob(base64url.replace(/-/g, "+").replace(/_/g, "/")), bytes = new root.Uint8Array(text.length), i;
    for (i = 0; i < text.length; i += 1) { bytes[i] = text.charCodeAt(i); }
    return bytes;
  }

  function idsOf(entries) {
    return entries.filter(function (entry) { return isObject(entry) && entry.id; })
      .map(function (entry) { return entry.id; });
  }

  function localStorageOf(place) {
    // Reading the property already throws where storage is forbidden.
    try { return place.localStorage; } catch (error) { return null; }
  }

  root.NotifyHub = {connect: connect};
  if (typeof module === "object" && module.exports) { module.exports = root.NotifyHub; }
})(typeof self !== "undefined" ? self : this);
