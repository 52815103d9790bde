/*
 * notifyhub-inbox.js: the inbox of the person whose page this is: a bell, how much is unread, the list, preferences.
 * ECMAScript 5.
 *
 *   <link rel="stylesheet" href="…/notifyhub-inbox.css">
 *   <script src="…/notifyhub.js"></script> <script src="…/notifyhub-inbox.js"></script>
 *   <notifyhub-inbox></notifyhub-inbox>
 *   <script>document.querySelector("notifyhub-inbox").hub = NotifyHub.connect({…});</script>
 *
 * Engines without custom elements: NotifyHubInbox.attach(anyElement, hub, options), which everybody may use.
 * Attributes of the element, or options: theme ("light" or "dark"; else what the system prefers), heading (the level of
 * the panel's heading, 2 by default), push (offer Web Push among the preferences; the hub's option `worker` is needed),
 * texts (an object that replaces some of TEXTS; as an attribute JSON). The direction is the page's `dir`.
 * `attach` returns {open, close, refresh, destroy}; the element has the first three as methods.
 * Keys: Tab goes through everything; up, down, Home and End go from entry to entry, left and right through an entry's
 * buttons; Delete archives; Escape closes.
 */
(function (root) {
  "use strict";

  var TEXTS = {
    heading: "Notifications", unread: "{n} unread", noneUnread: "none unread", isUnread: "Unread", close: "Close",
    readAll: "Mark all as read", allRead: "All marked as read", read: "Mark as read", archive: "Archive",
    archived: "Archived", undo: "Undo", older: "Show older", empty: "Nothing here yet", loading: "Loading",
    arrived: "New: {title}", preferences: "Preferences", back: "Back to notifications", everything: "Notifications",
    categories: "What I want to hear of", saved: "Saved", push: "Also when this page is closed",
    failed: "That did not work. Try again.", untitled: "Notification"
  };
  // Engines before 2016 name no keys; the last two are the back keys of Tizen's and webOS's remote controls.
  var KEYS = {
    13: "Enter", 27: "Escape", 32: " ", 35: "End", 36: "Home", 37: "ArrowLeft", 38: "ArrowUp", 39: "ArrowRight",
    40: "ArrowDown", 46: "Delete", 10009: "Escape", 461: "Escape"
  };
  var MOST_UNREAD = 99;
  var PAGE = 20;
  var SPREAD = 2000;                                // milliseconds
  var count = 0;

  function isWebAddress(address) {
    return /^https?:\/\//i.test(address || "") || /^\/(?!\/)/.test(address || "");
  }
  function make(name, className, text) {
    var made = document.createElement(name);
    if (className) { made.className = className; }
    if (text) { made.appendChild(document.createTextNode(text)); }
    return made;
  }
  function button(className, text, act) {
    var made = make("button", className, text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }
  function empty(element) {
    while (element.firstChild) { element.removeChild(element.firstChild); }
  }
  function icon(path) {
    var space = "http://www.w3.org/2000/svg";
    var drawing = document.createElementNS(space, "svg"), line = document.createElementNS(space, "path");
    drawing.setAttribute("viewBox", "0 0 24 24");
    drawing.setAttribute("aria-hidden", "true");
    drawing.setAttribute("focusable", "false");
    line.setAttribute("d", path);
    drawing.appendChild(line);
    return drawing;
  }
  function iconButton(className, label, path, act) {
    var made = button("nh-icon " + className, "", act);
    made.setAttribute("aria-label", label);
    made.title = label;
    made.appendChild(icon(path));
    return made;
  }
  function instant(text) {
    var line = make("time"), at = new Date(text), today;
    if (isNaN(at.getTime())) { return line; }
    today = at.toDateString() === new Date().toDateString();
    line.setAttribute("datetime", at.toISOString());
    line.title = at.toLocaleString();
    line.appendChild(document.createTextNode(today ? at.toLocaleTimeString() : at.toLocaleDateString()));
    return line;
  }

  var BELL = "M12 2a6 6 0 0 0-6 6v5l-2 3v1h16v-1l-2-3V8a6 6 0 0 0-6-6zM9.5 19a2.5 2.5 0 0 0 5 0z";
  var CHECK = "M9 16.2 4.8 12l-1.4 1.4L9 19 21 7l-1.4-1.4z";
  var BOX = "M3 3h18v5H3zM4.5 9.5h15V21h-15zM9 12v2h6v-2z";
  var GEAR = "M4 6h9v2H4zM17 6h3v2h-3zM4 16h3v2H4zM11 16h9v2h-9zM14 4h2v6h-2zM8 14h2v6H8z";
  var CROSS = "M6.4 5 12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6 10.6 12 5 6.4z";
  var BACK = "M20 11H7.8l5.6-5.6L12 4l-8 8 8 8 1.4-1.4L7.8 13H20z";

  function attach(host, hub, options) {
    var given = options || {}, texts = {}, id = "nh-" + (count += 1) + "-";
    var items = [];                                 // newest first: {entry, element, main}
    var unread = 0, more = false;                   // more than MOST_UNREAD
    var older = null;                               // where older entries begin
    var archived = null;                            // the one that can be brought back
    var isOpen = false, isLoaded = false, stops = [];
    var changes = 0;                                // of what the hub's answers tell
    var bell, badge, spoken, status, panel, heading, list, nothing, olderButton, undo, listView, choices;

    Object.keys(TEXTS).forEach(function (name) { texts[name] = (given.texts || {})[name] || TEXTS[name]; });

    /* -- what is there -- */

    function build() {
      var head = make("div", "nh-head"), title = "h" + (Number(given.heading) || 2);
      host.className = (host.className + " nh-inbox").replace(/^ /, "");
      if (given.theme) { host.setAttribute("data-nh-theme", given.theme); }
      bell = button("nh-bell", "", function () { if (isOpen) { close(); } else { open(); } });
      bell.setAttribute("aria-haspopup", "dialog");
      bell.setAttribute("aria-controls", id + "panel");
      bell.appendChild(icon(BELL));
      badge = make("span", "nh-badge");
      badge.setAttribute("aria-hidden", "true");
      bell.appendChild(badge);
      spoken = make("span", "nh-hidden");
      bell.appendChild(spoken);
      status = make("div", "nh-hidden");
      status.setAttribute("role", "status");
      panel = make("div", "nh-panel");
      panel.id = id + "panel";
      panel.tabIndex = -1;
      panel.setAttribute("role", "dialog");
      panel.setAttribute("aria-labelledby", id + "heading");
      heading = make(title, "nh-heading", texts.heading);
      heading.id = id + "heading";
      head.appendChild(heading);
      head.appendChild(iconButton("nh-all", texts.readAll, CHECK, readAll));
      head.appendChild(iconButton("nh-settings", texts.preferences, GEAR, showPreferences));
      head.appendChild(iconButton("nh-close", texts.close, CROSS, close));
      panel.appendChild(head);
      listView = make("div", "nh-view");
      list = make("ul", "nh-list");
      list.setAttribute("role", "list");            // WebKit forgets it where there are no bullets
      list.setAttribute("aria-labelledby", id + "heading");
      nothing = make("p", "nh-empty", texts.loading);
      olderButton = button("nh-older", texts.older, function () { load(older); });
      undo = make("p", "nh-undo");
      undo.appendChild(make("span", "", texts.archived + " "));
      undo.appendChild(button("nh-quiet", texts.undo, bringBack));
      [undo, list, nothing, olderButton].forEach(function (part) { listView.appendChild(part); });
      choices = make("div", "nh-view");
      choices.hidden = true;
      panel.appendChild(listView);
      panel.appendChild(choices);
      [bell, status, panel].forEach(function (part) { host.appendChild(part); });
      panel.hidden = true;
      draw();
    }
    function say(text) {
      // The same text twice is not read twice unless it goes away in between.
      status.textContent = "";
      setTimeout(function () { status.textContent = text; }, 50);
    }
    function draw() {
      var shown = more ? MOST_UNREAD + "+" : String(unread);
      badge.textContent = unread ? shown : "";
      badge.hidden = !unread;
      spoken.textContent = texts.heading + ", " + (unread ? texts.unread.replace("{n}", shown) : texts.noneUnread);
      bell.setAttribute("aria-expanded", String(isOpen));
      list.hidden = !items.length;
      nothing.hidden = items.length > 0;
      olderButton.hidden = !older;
      undo.hidden = !archived;
    }
    function find(wanted) {
      return items.filter(function (item) { return item.entry.id === wanted; })[0] || null;
    }
    function labelOf(entry) {
      return entry.title || entry.body || texts.untitled;
    }

    function card(entry) {
      var item = {entry: entry, element: make("li", "nh-item"), main: null, note: null, readButton: null};
      var words = make("div", "nh-words"), name = make("h" + ((Number(given.heading) || 2) + 1), "nh-title");
      var foot = make("p", "nh-foot"), picture;
      item.main = make("a", "nh-main", labelOf(entry));
      if (isWebAddress(entry.link)) { item.main.href = entry.link; } else { item.main.setAttribute("role", "button"); }
      item.main.tabIndex = 0;
      item.main.addEventListener("click", function () { follow(item); });
      item.main.addEventListener("keydown", function (event) {
        if (/^( |Enter)$/.test(KEYS[event.keyCode]) && !item.main.href) {
          event.preventDefault();
          follow(item);
        }
      });
      name.appendChild(item.main);
      item.note = make("span", "nh-hidden", ", " + texts.isUnread);
      name.appendChild(item.note);
      words.appendChild(name);
      if (entry.title && entry.body) { words.appendChild(make("p", "nh-body", entry.body)); }
      foot.appendChild(instant(entry.sent_at));
      words.appendChild(foot);
      if (isWebAddress(entry.image)) {
        picture = make("img", "nh-picture");
        picture.alt = "";
        picture.src = entry.image;
        picture.addEventListener("error", function () { picture.hidden = true; });
        item.element.appendChild(picture);
      }
      item.element.appendChild(words);
      item.readButton = iconButton("nh-read", texts.read + ": " + labelOf(entry), CHECK, function () {
        mark([item], "read");
        item.main.focus();
      });
      item.element.appendChild(item.readButton);
      item.element.appendChild(iconButton("nh-archive", texts.archive + ": " + labelOf(entry), BOX, function () {
        archive(item);
      }));
      colour(item);
      return item;
    }
    function colour(item) {
      var isUnread = item.entry.state === "unread";
      item.element.className = isUnread ? "nh-item nh-unread" : "nh-item";
      item.note.hidden = item.readButton.hidden = !isUnread;
    }

    /* -- coming and going -- */

    function put(entry, atTop) {
      var item = card(entry);
      if (atTop) {
        items.unshift(item);
        list.insertBefore(item.element, list.firstChild);
      } else {
        items.push(item);
        list.appendChild(item.element);
      }
      return item;
    }
    function take(item) {
      var place = items.indexOf(item), holds = item.element.contains(document.activeElement), neighbour;
      items.splice(place, 1);
      list.removeChild(item.element);
      if (holds) {                                  // the keyboard stays where it was
        neighbour = items[place] || items[place - 1];
        (neighbour ? neighbour.main : panel).focus();
      }
    }
    function seen(entries) {
      var fresh = entries.filter(function (entry) { return entry.isNew; });
      if (!isOpen || !fresh.length) { return; }
      hub.receipt(fresh.map(function (entry) { entry.isNew = false; return entry.id; }), "displayed");
    }
    function load(before) {
      var asked = changes;
      hub.ask("GET", "inbox/latest?limit=" + PAGE + (before ? "&before=" + encodeURIComponent(before) : ""), null,
        function (problem, answer) {
          var place = items.length, kept;
          if (problem) { nothing.textContent = texts.failed; return say(texts.failed); }
          // What came or was marked while the answer was under way is not in it.
          if (!before && changes !== asked) { return isLoaded ? refreshSoon() : refresh(); }
          nothing.textContent = texts.empty;
          isLoaded = true;
          if (!before) {
            unread = answer.unread;
            more = answer.more_unread;
            kept = {};
            answer.entries.forEach(function (entry) { kept[entry.id] = true; });
            // What was recalled or put away elsewhere meanwhile goes; what lies further back stays.
            items.slice(0, answer.before ? PAGE : items.length).forEach(function (item) {
              if (!kept[item.entry.id]) { take(item); }
            });
          }
          answer.entries.forEach(function (entry, at) {
            var item = find(entry.id), made;
            if (item) { item.entry.state = entry.state; return colour(item); }
            made = put(entry, false);
            if (!before && items[at] !== made) {    // it came while we were away: to its place
              items.splice(at, 0, items.pop());
              list.insertBefore(made.element, list.children[at]);
            }
          });
          if (before || items.length <= PAGE) { older = answer.before; }
          draw();
          if (before && items[place]) { items[place].main.focus(); }
        });
    }
    function refresh() { load(null); }
    /* Many that learn the same thing in one instant do not ask in one. */
    function refreshSoon() { setTimeout(refresh, Math.random() * SPREAD); }

    function setState(item, state) {
      var was = item.entry.state;
      if (was === state) { return; }
      changes += 1;
      item.entry.state = state;
      if (was === "unread") { unread = Math.max(0, unread - 1); }
      if (state === "unread") { unread += 1; }
      if (state === "archived") { take(item); } else { colour(item); }
    }
    function mark(some, state, done) {
      some.forEach(function (item) { setState(item, state); });
      draw();
      hub.ask("POST", "inbox/marks", {state: state, ids: some.map(function (item) { return item.entry.id; })},
        function (problem) {
          changes += 1;
          if (problem) { say(texts.failed); return refresh(); }
          if (done) { done(); }
          if (more) { refresh(); }                  // 99 of more: only the hub knows how many are left
        });
    }
    function archive(item) {
      archived = {item: item, state: item.entry.state, place: items.indexOf(item)};
      mark([item], "archived", function () { say(texts.archived); });
    }
    function bringBack() {
      var back = archived, item;
      archived = null;
      changes += 1;
      back.item.entry.state = back.state;
      item = card(back.item.entry);
      items.splice(back.place, 0, item);
      list.insertBefore(item.element, list.children[back.place] || null);
      if (back.state === "unread") { unread += 1; }
      draw();
      item.main.focus();
      hub.ask("POST", "inbox/marks", {state: back.state, ids: [item.entry.id]}, function (problem) {
        changes += 1;
        if (problem) { say(texts.failed); refresh(); }
      });
    }
    function readAll() {
      hub.ask("POST", "inbox/marks", {state: "read", all: true}, function (problem) {
        if (problem) { return say(texts.failed); }
        changes += 1;
        items.forEach(function (item) { setState(item, "read"); });
        unread = 0;
        more = false;
        draw();
        say(texts.allRead);
        refresh();
      });
    }
    function follow(item) {
      hub.receipt([item.entry.id], "opened");
      setState(item, "read");
      draw();
    }

    function onEntry(entry) {
      if (find(entry.id)) { return; }
      changes += 1;
      entry.state = "unread";
      entry.isNew = true;
      put(entry, true);
      if (unread === MOST_UNREAD) { more = true; } else { unread += 1; }
      draw();
      say(texts.arrived.replace("{title}", labelOf(entry)));
      seen([entry]);
    }
    function onRecall(run) {
      items.filter(function (item) { return item.entry.run === run; }).forEach(function (item) {
        setState(item, "read");
        take(item);
      });
      draw();
    }
    function onMarked(ids, state) {
      var further = false;
      ids.forEach(function (one) {
        var item = find(one);
        if (item) { setState(item, state); } else if (!archived || archived.item.entry.id !== one) { further = true; }
      });
      draw();
      if (further) { refreshSoon(); }               // how many are left there only the hub knows
    }
    function onState(state) {
      if (state !== "connected") { return; }
      if (isLoaded) { refreshSoon(); } else { refresh(); }
    }

    /* -- opening and closing -- */

    function open() {
      isOpen = true;
      panel.hidden = false;
      showList();
      place();
      draw();
      panel.focus();
      seen(items.map(function (item) { return item.entry; }));
    }
    /* To the side where there is room. */
    function place() {
      var box;
      panel.className = "nh-panel";
      box = panel.getBoundingClientRect();
      if (box.left < 0) { panel.className += " nh-rightward"; }
      if (box.right > document.documentElement.clientWidth) { panel.className += " nh-leftward"; }
    }
    function close() {
      var inside = panel.contains(document.activeElement);
      isOpen = false;
      panel.hidden = true;
      archived = null;
      draw();
      if (inside) { bell.focus(); }
    }
    function outside(event) {
      // What was clicked may be gone by now: an entry that was archived.
      if (isOpen && !host.contains(event.target) && document.documentElement.contains(event.target)) { close(); }
    }
    function keys(event) {
      var focus = document.activeElement, isRtl = root.getComputedStyle(host).direction === "rtl";
      var key = KEYS[event.keyCode], place = -1, item, within, to;
      if (key === "Escape") {
        event.preventDefault();
        if (choices.hidden) { close(); } else { showList(); panel.focus(); }
        return;
      }
      if (listView.hidden || event.altKey || event.ctrlKey || event.metaKey) { return; }
      items.forEach(function (one, at) { if (one.element.contains(focus)) { place = at; } });
      item = items[place];
      switch (key) {
      case "ArrowDown": to = items[place + 1]; break;
      case "ArrowUp": to = items[place - 1]; break;
      case "Home": to = items[0]; break;
      case "End": to = items[items.length - 1]; break;
      case "Delete": if (item) { archive(item); } break;
      case "ArrowRight": case "ArrowLeft":
        if (!item) { return; }
        within = Array.prototype.filter.call(item.element.querySelectorAll("a, button"), function (stop) {
          return !stop.hidden;
        });
        to = within[within.indexOf(focus) + ((key === "ArrowRight") === isRtl ? -1 : 1)];
        if (to) { event.preventDefault(); to.focus(); }
        return;
      default: return;
      }
      event.preventDefault();
      if (to) { to.main.focus(); }
    }

    /* -- preferences -- */

    function showList() {
      choices.hidden = true;
      listView.hidden = false;
      heading.textContent = texts.heading;
    }
    function showPreferences() {
      var back = button("nh-quiet nh-back", "", function () { showList(); panel.focus(); });
      back.appendChild(icon(BACK));
      back.appendChild(document.createTextNode(texts.back));
      empty(choices);
      choices.appendChild(back);
      choices.appendChild(make("p", "nh-empty", texts.loading));
      choices.hidden = false;
      listView.hidden = true;
      heading.textContent = texts.preferences;
      back.focus();
      hub.ask("GET", "preferences", null, function (problem, answer) {
        choices.removeChild(choices.lastChild);
        if (problem) { choices.appendChild(make("p", "nh-empty", texts.failed)); return say(texts.failed); }
        drawPreferences(answer);
      });
    }
    function choice(label, isChosen, change) {
      var row = make("label", "nh-choice"), box = make("input");
      box.type = "checkbox";
      box.checked = isChosen;
      box.addEventListener("change", function () { change(box); });
      row.appendChild(box);
      row.appendChild(make("span", "", label));
      return row;
    }
    function drawPreferences(answer) {
      var group = make("fieldset", "nh-choices");
      function save(box, body) {
        hub.ask("PATCH", "preferences", body, function (problem) {
          if (problem) { box.checked = !box.checked; }
          group.disabled = !all.firstChild.checked;
          say(problem ? texts.failed : texts.saved);
        });
      }
      var all = choice(texts.everything, answer.consent, function (box) { save(box, {consent: box.checked}); });
      choices.appendChild(all);
      group.disabled = !answer.consent;
      group.appendChild(make("legend", "", texts.categories));
      answer.categories.forEach(function (category) {
        var isChosen = category.allowed === null ? !category.opt_in : category.allowed;
        group.appendChild(choice(category.name, isChosen, function (box) {
          var body = {categories: {}};
          body.categories[category.key] = box.checked;
          save(box, body);
        }));
      });
      if (answer.categories.length) { choices.appendChild(group); }
      if (given.push && root.PushManager && root.Notification) {
        choices.appendChild(choice(texts.push, root.Notification.permission === "granted", function (box) {
          if (!box.checked) { return; }
          hub.enablePush(function (problem) {
            if (problem) { box.checked = false; }
            say(problem ? texts.failed : texts.saved);
          });
        }));
      }
    }

    function destroy() {
      stops.forEach(function (stop) { stop(); });
      document.removeEventListener("click", outside);
      document.removeEventListener("focusin", outside);
      empty(host);
    }

    build();
    stops = [
      hub.on("entry", onEntry), hub.on("recall", onRecall), hub.on("marked", onMarked), hub.on("missed", refreshSoon),
      hub.on("state", onState)
    ];
    panel.addEventListener("keydown", keys);
    document.addEventListener("click", outside);
    document.addEventListener("focusin", outside);
    if (hub.state === "connected") { refresh(); }
    return {open: open, close: close, refresh: refresh, destroy: destroy};
  }

  function optionsOf(element) {
    var given = {};
    ["theme", "heading", "push"].forEach(function (name) {
      if (element.hasAttribute(name)) { given[name] = element.getAttribute(name) || true; }
    });
    try { given.texts = JSON.parse(element.getAttribute("texts") || "{}"); } catch (error) {
      throw new Error("notifyhub-inbox: the attribute texts is no JSON object");
    }
    return given;
  }
  function define() {
    var proto = Object.create(root.HTMLElement.prototype);
    function Inbox() { return root.Reflect.construct(root.HTMLElement, [], Inbox); }
    function start(element) {
      if (element._hub && element.isConnected && !element._inbox) {
        element._inbox = attach(element, element._hub, optionsOf(element));
      }
    }
    function stop(element) {
      if (element._inbox) { element._inbox.destroy(); element._inbox = null; }
    }
    Object.defineProperty(proto, "hub", {
      get: function () { return this._hub || null; },
      set: function (hub) { stop(this); this._hub = hub; start(this); }
    });
    ["open", "close", "refresh"].forEach(function (name) {
      proto[name] = function () { if (this._inbox) { this._inbox[name](); } };
    });
    proto.connectedCallback = function () {
      var early = Object.prototype.hasOwnProperty.call(this, "hub") && this.hub;
      if (early) { delete this.hub; this.hub = early; }     // it was set before this file was loaded
      start(this);
    };
    proto.disconnectedCallback = function () { stop(this); };
    Inbox.prototype = proto;
    proto.constructor = Inbox;
    root.customElements.define("notifyhub-inbox", Inbox);
  }

  root.NotifyHubInbox = {attach: attach, TEXTS: TEXTS};
  if (root.customElements && root.Reflect) { define(); }
  if (typeof module === "object" && module.exports) { module.exports = root.NotifyHubInbox; }
})(typeof self !== "undefined" ? self : this);
