/* The demo subscriber's page: draws what notifyhub.js receives, newest first, and says what was done with it. */
(function () {
  "use strict";

  var KEPT = 50;                                    // notices that survive a reload
  var TOAST_MS = 6000;
  var NAMES = {
    connecting: "Connecting", connected: "Connected", reconnecting: "Reconnecting", offline: "Offline",
    closed: "Closed", replaced: "Open elsewhere", refused: "Refused"
  };
  var page = document.body.dataset;
  var key = "notifyhub-demo:" + page.application + ":" + page.subscriber;
  var list = document.getElementById("notices");
  var toast = document.getElementById("toast");
  var stateLine = document.getElementById("state");
  var notices = recall();                           // newest first
  var unseen = [];                                  // drawn while the page was hidden: displayed when it is looked at
  var toastTimer = null;
  var hub;

  function recall() {
    var kept = null;
    try { kept = JSON.parse(localStorage.getItem(key)); } catch (error) { /* forbidden or spoilt: start empty */ }
    return Array.isArray(kept) ? kept : [];
  }
  function keep() {
    notices = notices.slice(0, KEPT);
    try { localStorage.setItem(key, JSON.stringify(notices)); } catch (error) { /* only this page's life then */ }
    document.getElementById("empty").hidden = notices.length > 0;
    document.getElementById("clear").hidden = notices.length === 0;
  }

  function element(name, className, text) {
    var made = document.createElement(name);
    if (className) { made.className = className; }
    if (text) { made.textContent = text; }
    return made;
  }
  function isWebAddress(address) {
    return /^https?:\/\//i.test(address || "") || /^\/(?!\/)/.test(address || "");
  }
  function picture(entry) {
    var image;
    if (!isWebAddress(entry.image)) { return null; }
    image = element("img");
    image.alt = "";
    image.addEventListener("error", function () { image.hidden = true; });
    image.src = entry.image;
    return image;
  }
  function clock(sentAt) {
    var line = element("time");
    // ISO 8601, or epoch seconds
    var at = new Date(typeof sentAt === "number" ? sentAt * 1000 : sentAt);
    var today = at.toDateString() === new Date().toDateString();
    if (isNaN(at.getTime())) { return line; }
    line.dateTime = at.toISOString();
    line.title = at.toLocaleString();
    line.textContent = today ? at.toLocaleTimeString() : at.toLocaleString();
    return line;
  }

  function card(entry, isNew) {
    var item = element("li", isNew ? "notice new" : "notice");
    var words = element("div");
    var foot = element("p", "foot");
    var dismiss = element("button", "dismiss", "×");
    var image = picture(entry);
    var link;
    item.dataset.id = entry.id;
    item.dataset.run = entry.run || "";
    words.appendChild(element("h3", "", entry.title || entry.body || "Notice"));
    if (entry.title && entry.body) { words.appendChild(element("p", "body", entry.body)); }
    foot.appendChild(clock(entry.sent_at));
    if (isWebAddress(entry.link)) {
      link = element("a", "", "Open");
      link.href = entry.link;
      link.target = "_blank";
      link.rel = "noopener";
      link.setAttribute("aria-label", "Open: " + (entry.title || entry.body || entry.link));
      link.addEventListener("click", function () { hub.receipt(entry.id, "opened"); });
      foot.appendChild(link);
    }
    words.appendChild(foot);
    if (image) { item.appendChild(image); }
    dismiss.type = "button";
    dismiss.setAttribute("aria-label", "Dismiss: " + (entry.title || entry.body || "notice"));
    dismiss.addEventListener("click", function () {
      var neighbour = item.nextSibling || item.previousSibling;
      hub.receipt(entry.id, "dismissed");
      remove(function (other) { return other.id === entry.id; });
      if (neighbour) { neighbour.querySelector(".dismiss").focus(); }   // the keyboard stays in the list
    });
    item.appendChild(words);
    item.appendChild(dismiss);
    return item;
  }
  function remove(isGone) {
    Array.prototype.slice.call(list.children).forEach(function (item) {
      if (isGone({id: item.dataset.id, run: item.dataset.run})) { list.removeChild(item); }
    });
    notices = notices.filter(function (entry) { return !isGone(entry); });
    keep();
  }

  function raise(entry) {
    var cell = element("div", "cell");
    var words = element("div");
    var image = picture(entry);
    if (image) { cell.appendChild(image); }
    words.appendChild(element("p", "title", entry.title || entry.body));
    if (entry.title && entry.body) { words.appendChild(element("p", "", entry.body)); }
    cell.appendChild(words);
    cell.dataset.run = entry.run || "";
    toast.textContent = "";
    toast.appendChild(cell);
    clearTimeout(toastTimer);
    toastTimer = setTimeout(function () { toast.textContent = ""; }, TOAST_MS);
  }

  function onEntry(entry) {
    var isKnown = notices.some(function (other) { return other.id === entry.id; });
    if (isKnown) { return; }
    notices.unshift(entry);
    list.insertBefore(card(entry, true), list.firstChild);
    while (list.children.length > KEPT) { list.removeChild(list.lastChild); }
    keep();
    raise(entry);
    unseen.push(entry.id);
    report();
  }
  function onRecall(run) {
    remove(function (entry) { return entry.run === run; });
    if (toast.firstChild && toast.firstChild.dataset.run === run) { toast.textContent = ""; }
  }
  function report() {
    if (document.hidden || !unseen.length || !hub) { return; }
    hub.receipt(unseen, "displayed");
    unseen = [];
  }
  function getToken(done) {
    var request = new XMLHttpRequest();
    request.open("POST", page.tokenUrl);
    request.timeout = 10000;
    if (page.csrfToken) { request.setRequestHeader("X-CSRFToken", page.csrfToken); }
    request.onload = function () {
      var token = null;
      try { token = JSON.parse(request.responseText).token; } catch (error) { /* done(null) below says so */ }
      done(request.status < 300 ? token : null);
    };
    request.onerror = request.ontimeout = function () { done(null); };
    request.send();
  }

  notices.forEach(function (entry) { list.appendChild(card(entry, false)); });
  keep();
  document.getElementById("clear").addEventListener("click", function () {
    hub.receipt(notices.map(function (entry) { return entry.id; }), "dismissed");
    remove(function () { return true; });
  });
  document.addEventListener("visibilitychange", report);
  hub = NotifyHub.connect({
    url: page.socketPath,
    getToken: getToken,
    onEntry: onEntry,
    onRecall: onRecall,
    onState: function (state) {
      stateLine.dataset.state = state;
      stateLine.textContent = NAMES[state];
    },
    onError: function (problem) {
      if (window.console) { console.warn("notifyhub:", problem.title, problem.detail || ""); }
    }
  });
})();
