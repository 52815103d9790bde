// Keeps the numbers of a run's page new: by the hub's WebSocket, and by asking every two seconds where that is refused.
(function () {
  "use strict";

  var POLL = 2000, SILENT = 45000, LONGEST = 30000;
  var box = document.getElementById("run-live");
  if (!box || !window.fetch) return;
  var how = document.getElementById("run-how");
  var said = document.getElementById("run-said");
  var going = box.dataset.going === "yes";
  var state = box.dataset.state;
  var reload = document.getElementById("run-reload");
  if (reload) reload.remove();  // for browsers without scripts
  var socket = null, polling = null, heardAt = 0, wait = 1000;

  function tell(name) { if (how) how.textContent = how.dataset[name] || ""; }

  function show(html) {
    var focused = document.activeElement;
    var id = focused && box.contains(focused) ? focused.id : "";
    box.innerHTML = html;
    if (id && document.getElementById(id)) document.getElementById(id).focus();
    var now = box.firstElementChild && box.firstElementChild.dataset;
    if (!now) return;
    going = now.going === "yes";
    if (now.state !== state) {
      state = now.state;
      if (said) said.textContent = now.stateWords;
    }
    if (!going) end();
  }

  function end() {
    tell("over");
    stopPolling();
    if (socket) { socket.onclose = null; socket.close(1000); socket = null; }
  }

  function poll() {
    if (document.hidden) return;
    fetch(box.dataset.numbers, { credentials: "same-origin", redirect: "error" })
      .then(function (answer) { if (!answer.ok) throw new Error(answer.status); return answer.text(); })
      .then(function (html) { if (polling) { tell("polled"); show(html); } })
      .catch(function () { tell("lost"); });
  }

  function startPolling() { if (!polling && going) { polling = setInterval(poll, POLL); poll(); } }
  function stopPolling() { clearInterval(polling); polling = null; }

  function connect() {
    if (!going || !window.WebSocket) { startPolling(); return; }
    var address = location.protocol.replace("http", "ws") + "//" + location.host + box.dataset.socket;
    try { socket = new WebSocket(address); } catch (error) { startPolling(); return; }
    socket.onmessage = function (message) {
      heardAt = Date.now();
      wait = 1000;
      stopPolling();
      tell("live");
      var frame = JSON.parse(message.data);
      if (frame.type === "numbers") show(frame.html);
    };
    socket.onclose = function () {
      socket = null;
      if (!going) return;
      startPolling();
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, LONGEST);
    };
  }

  setInterval(function () {
    if (socket && socket.readyState === 1 && heardAt && Date.now() - heardAt > SILENT) socket.close();
  }, 5000);
  if (going) connect();
})();
