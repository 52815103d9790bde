/*
 * notifyhub.js: receives a device's notifications over a WebSocket, in browsers and on TVs. No dependency, ES5.
 *
 *   var hub = NotifyHub.connect({
 *     url: "/ws/v1/",                             // or wss://hub.example/ws/v1/
 *     getToken: function (done) { done(token); }, // asked first and when a token was refused; done(null): failed
 *     onEntry: function (entry) {},               // {id, run, title, body, link, image, data, sent_at}, once per id
 *     onRecall: function (run) {},                // hide every entry of this run
 *     onState: function (state, detail) {},       // see below
 *     onError: function (problem) {}              // {title, detail}: worth a log line; the client goes on by itself
 *   });
 *   hub.receipt([entry.id], "opened");            // displayed, opened, dismissed or read; kept while unconnected
 *   hub.close();  hub.state;
 *
 * States: connecting; connected (detail: device, node, recovered; recovered false: older entries are in the inbox);
 * reconnecting and offline (it returns by itself); at rest for good: closed (by the page), replaced (too many
 * connections), refused (the origin, or a token where no getToken was given).
 * More options: token (fixed, instead of getToken); device (its id, where several share one browser); storage
 * (localStorage by default, memory where that throws); authFrame (true: the token goes in the first frame, for
 * engines without subprotocols); times (see TIMES); WebSocket (the constructor).
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
    ack: 250
  };
  var REMEMBERED = 500;                             // ids, to drop repeats
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

  /* What outlives the page: for each device its cursor and last ids in one value, and who was here last. */
  function createMemory(storage, url, device) {
    var pointer = "notifyhub:device:" + url;
    var memory = {device: null, cursor: null, has: has, add: add, load: load, save: save};
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
              ids: Array.isArray(value.ids) ? value.ids : []};
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
      ids = [];
      seen = {};
      value.ids.forEach(add);
    }
    function save() {
      // Another tab of this device stores here too: its ids stay, in front of ours.
      var others = stored(memory.device).ids.filter(function (id) { return !has(id); });
      var all = others.concat(ids).slice(-REMEMBERED);
      write("notifyhub:" + memory.device, JSON.stringify({cursor: memory.cursor, ids: all}));
      write(pointer, memory.device);
    }

    load(device || read(pointer) || "");
    return memory;
  }

  function connect(options) {
    var Socket = options.WebSocket || root.WebSocket;
    var hub = {state: "", close: close, receipt: receipt};
    var times = {};
    var token = options.token || null;
    var url, memory;
    var current = null;                             // the connection that has said hello
    var next = null;                                // the one being opened, beside `current` when handing over
    var stopped = false, asking = false;
    var attempt = 0, unopened = 0;
    var notBefore = 0, pause = 0;                   // the server's floor: until when, and how long it was
    var retryTimer = null, ackTimer = null, ackDue = false;
    var renewedAt;                                  // the cursor from which a broken frame made us start again
    var recalled = [];
    var receipts = [];

    if (!options.url) { throw new Error("NotifyHub.connect: url is missing, for example \"/ws/v1/\""); }
    if (!token && !options.getToken) { throw new Error("NotifyHub.connect: give token or getToken"); }
    if (!Socket) { throw new Error("NotifyHub.connect: no WebSocket here; give one as options.WebSocket"); }
    url = absolute(options.url);
    Object.keys(TIMES).forEach(function (name) {
      times[name] = options.times && name in options.times ? options.times[name] : TIMES[name];
    });
    memory = createMemory(options.storage || localStorageOf(root), url, options.device);

    /* -- telling the page -- */

    function tell(callback, first, second) {
      if (!callback) { return; }
      // The page's mistake is the page's: it reaches its console, and the client goes on.
      try { callback(first, second); } catch (error) { setTimeout(function () { throw error; }, 0); }
    }
    function enter(state, detail) {
      if (hub.state === state && state !== "connected") { return; }
      hub.state = state;
      tell(options.onState, state, detail || {});
    }
    function complain(title, detail) {
      tell(options.onError, {title: title, detail: String(detail)});
    }

    /* -- coming and going -- */

    function again() {
      var limit = Math.min(times.cap, times.base * Math.pow(2, attempt));
      // A clock that was set back must not make the floor longer than the server asked for.
      var floor = Math.max(0, Math.min(pause, notBefore - Date.now()));
      if (stopped || retryTimer || next || asking) { return; }
      attempt += 1;
      retryTimer = setTimeout(function () { retryTimer = null; open(); }, floor + Math.random() * limit);
    }
    function open() {
      if (stopped || next || asking) { return; }
      if (token) { dial(); } else { askForToken(); }
    }
    function askForToken() {
      var answered = false;
      asking = true;
      function done(value) {
        if (answered || stopped) { return; }
        answered = true;
        asking = false;
        token = typeof value === "string" && value ? value : null;
        if (token) { return open(); }
        complain("No token", "getToken gave none; asking again later");
        again();
      }
      try { options.getToken(done); } catch (error) { complain("getToken failed", error); done(null); }
    }
    function dial() {
      // RFC 6455 allows only the characters of a header token in a subprotocol.
      var inFrame = options.authFrame || !/^[\w!#$%&'*+.^`|~-]+$/.test(token);
      var connection = {seq: 0, acked: 0, broken: false, cursor: null, timers: {}};
      var socket;
      try {
        socket = new Socket(url, inFrame ? ["notifyhub.v1"] : ["notifyhub.v1", "notifyhub.auth." + token]);
      } catch (error) {
        complain("The socket could not be made", error);
        return again();
      }
      unopened += 1;
      connection.socket = socket;
      next = connection;
      connection.timers.hello = setTimeout(function () { cut(connection); }, times.hello);
      socket.onopen = function () {
        unopened = 0;
        connection.cursor = memory.cursor;
        send(connection, inFrame ? {type: "auth", token: token, cursor: connection.cursor}
                                 : {type: "resume", cursor: connection.cursor});
      };
      socket.onerror = function () { /* a close with its code follows */ };
      socket.onmessage = function (event) { receive(connection, event.data); };
      socket.onclose = function (event) { lost(connection, event.code); };
    }
    function release(connection) {
      var socket = connection.socket;
      Object.keys(connection.timers).forEach(function (name) { clearTimeout(connection.timers[name]); });
      connection.timers = {};
      socket.onopen = socket.onmessage = socket.onclose = null;
      try { socket.close(1000); } catch (error) { socket.close(); }
    }
    function cut(connection) {
      lost(connection, 1006);
    }
    function lost(connection, code) {
      var handedOver = connection === current && next !== null;
      release(connection);
      if (connection === next) { next = null; } else { current = null; }
      if (code === REPLACED && !handedOver) { return stop("replaced"); }
      if (code === ORIGIN_REFUSED) { return stop("refused"); }
      if (code === TOKEN_REFUSED && !options.getToken) { return stop("refused"); }
      // A proxy or server that refuses the handshake shows no code: after three of them the token is suspect too.
      if (options.getToken && (code === TOKEN_REFUSED || unopened >= 3)) {
        token = null;
        unopened = 0;
      }
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
        clearTimeout(connection.timers.hello);
        connection.timers.steady = setTimeout(function () { attempt = 0; }, times.steady);
        beat(connection);
        if (!frame.recovered && typeof frame.cursor === "string") {
          memory.cursor = frame.cursor;
          memory.save();
        }
        enter("connected", {device: device, node: frame.node, recovered: !!frame.recovered});
        sendReceipts();
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
        tell(options.onRecall, frame.run);
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
        tell(options.onError, isObject(frame.problem) ? frame.problem : {title: "The server reports an error"});
      }
    };

    function receive(connection, text) {
      var frame = parse(text);
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
        tell(options.onEntry, entry);
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
      if (root.document) { root.document[verb]("visibilitychange", seen); }
    }

    listen("addEventListener");
    enter("connecting");
    open();
    return hub;
  }

  function localStorageOf(place) {
    // Reading the property already throws where storage is forbidden.
    try { return place.localStorage; } catch (error) { return null; }
  }

  root.NotifyHub = {connect: connect};
  if (typeof module === "object" && module.exports) { module.exports = root.NotifyHub; }
})(typeof self !== "undefined" ? self : this);
