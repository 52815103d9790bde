/* The composer: rows, tabs, the variable picker and the live preview. Everything a person wrote is put in as text. */
"use strict";
(() => {
  const root = document.querySelector("[data-composer]");
  if (!root) return;
  const form = root.closest("form");
  const all = (selector, within = root) => [...within.querySelectorAll(selector)];
  const one = (selector, within = root) => within.querySelector(selector);
  const words = JSON.parse(one("[data-words]").textContent);

  root.addEventListener("nh:rows", () => later());

  // -- what is left empty is read from the texts above

  const TEXTS = ["title", "subtitle", "body", "image", "link", "sound", "badge"];
  function fallbacks() {
    for (const text of TEXTS) {
      const base = form.elements[text];
      if (!base) continue;
      for (const over of all(`[data-over="${text}"]`)) over.placeholder = base.value;
      for (const cell of all(`.nh-locale .nh-cell-${text} .nh-input`)) cell.placeholder = base.value;
    }
    for (const panel of all("[role=tabpanel].nh-panel")) {
      const dot = one(`#${CSS.escape(panel.getAttribute("aria-labelledby"))} [data-dot]`);
      const filled = all("input:not([type=hidden]), textarea, select", panel).some((input) =>
        input.type === "checkbox" ? input.checked : input.value !== "");
      if (dot) dot.hidden = !filled;
    }
  }

  // -- tabs with arrow keys

  function tabs(list) {
    const buttons = all("[role=tab]", list);
    const show = (wanted, focus) => {
      for (const button of buttons) {
        const chosen = button === wanted;
        button.setAttribute("aria-selected", String(chosen));
        button.tabIndex = chosen ? 0 : -1;
        document.getElementById(button.getAttribute("aria-controls")).hidden = !chosen;
      }
      if (focus) wanted.focus();
    };
    const choose = (wanted, focus) => {
      show(wanted, focus);
      // what is written for a platform is looked at on that platform
      if (wanted.dataset.platform) document.getElementById(`nh-see-${wanted.dataset.platform}`)?.click();
    };
    list.addEventListener("click", (event) => {
      const button = event.target.closest("[role=tab]");
      if (button) choose(button, false);
    });
    list.addEventListener("keydown", (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1, Home: -buttons.length, End: buttons.length}[event.key];
      if (!step) return;
      event.preventDefault();
      const at = buttons.indexOf(document.activeElement);
      const next = Math.abs(step) > 1 ? (step < 0 ? 0 : buttons.length - 1) : (at + step + buttons.length) % buttons.length;
      choose(buttons[next], true);
    });
    const wrong = buttons.find((button) => one(".nh-count", button));
    show(wrong || buttons[0], false);
  }
  for (const list of all("[role=tablist]")) tabs(list);
  for (const button of all("[data-unfold]")) {
    button.addEventListener("click", () => {
      const open = button.closest(".nh-screen").classList.toggle("nh-unfolded");
      button.setAttribute("aria-expanded", String(open));
    });
  }

  // -- how it repeats

  for (const repeat of all("[data-repeat]")) {
    const kind = one("select", repeat);
    const settle = () => {
      for (const part of all("[data-when]", repeat)) part.hidden = !part.dataset.when.split(" ").includes(kind.value);
    };
    kind.addEventListener("change", settle);
    settle();
  }

  // -- variables

  let written = form.elements.body || form.elements.title;
  root.addEventListener("focusin", (event) => {
    const input = event.target;
    if (input.matches(".nh-form textarea, .nh-form input[type=text], .nh-form input:not([type])")) {
      if (!input.closest("[data-repeat]")) written = input;
    }
  });
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-insert]");
    if (!button || !written || written.disabled) return;
    const from = written.selectionStart ?? written.value.length;
    written.setRangeText(`{{ ${button.dataset.insert} | default: "" }}`, from, written.selectionEnd ?? from, "end");
    const inside = written.selectionStart - 4;
    written.focus();
    written.setSelectionRange(inside, inside);
    written.dispatchEvent(new Event("input", {bubbles: true}));
  });

  // -- the preview

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  const DEBOUNCE = 350;
  const person = one("[data-as-person]");
  const locale = one("[data-as-locale]");
  let timer = 0;
  let asked = null;
  let drawn = "";

  function later() {
    clearTimeout(timer);
    fallbacks();
    timer = setTimeout(ask, DEBOUNCE);
  }

  async function ask() {
    if (asked) asked.abort();
    asked = new AbortController();
    const content = new FormData(form);
    content.delete("picture");
    content.set("campaign", root.dataset.campaign);
    content.set("as_person", person.value || drawn);
    content.set("as_locale", locale.value);
    content.set("viewer_zone", zone);
    try {
      const answer = await fetch(root.dataset.preview, {
        method: "POST", body: content, signal: asked.signal, credentials: "same-origin",
        headers: {"X-Requested-With": "fetch"},
      });
      const kind = answer.headers.get("Content-Type") || "";
      if (!kind.includes("json")) return say(words.expired);
      const found = await answer.json();
      if (!answer.ok) return say(found.detail);
      show(found);
    } catch (error) {
      if (error.name !== "AbortError") say(words.failed);
    }
  }

  function say(sentence) {
    one("[data-whom]").textContent = sentence;
  }

  function show(found) {
    if (!person.value && found.person) drawn = found.person;
    const said = (found.person ? words.asRead : words.nobody)
      .replace("%(person)s", found.person || "").replace("%(locale)s", found.locale || "");
    say(found.whom || (found.screens.length ? said : ""));
    one("[data-nothing]").hidden = found.screens.some((screen) => screen.title || screen.body);
    for (const screen of found.screens) draw(one(`[data-panel="${screen.platform}"]`), screen);
    problems(found.problems);
    if (found.locales) languages(found);
    const when = one("[data-when-said]");
    if (when) when.replaceChildren(...(found.when || []).map((sentence) => element("p", sentence)));
    root.dataset.drawn = String(Number(root.dataset.drawn || 0) + 1);
  }

  function element(name, text, kind) {
    const made = document.createElement(name);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function draw(panel, screen) {
    for (const app of all(".nh-app", panel)) app.dataset.badge = screen.badge || "";
    for (const name of ["title", "subtitle", "body"]) {
      const place = one(`[data-${name}]`, panel);
      if (place) place.textContent = screen[name];
    }
    const image = screen.image.startsWith("https://") ? here(screen.image) : "";
    for (const picture of all("[data-image], [data-large]", panel)) {
      picture.hidden = !image;
      if (image && picture.getAttribute("src") !== image) picture.src = image;
      picture.onerror = () => { picture.hidden = true; };
    }
    const buttons = one("[data-buttons]", panel);
    if (buttons) buttons.replaceChildren(...screen.buttons.slice(0, 2).map((label) => element("span", label)));
    one("[data-told]", panel).replaceChildren(...told(screen));
    one("[data-weights]", panel).replaceChildren(...screen.weights.map(weight));
  }

  /* What is not seen on the screen: where a tap leads, what is heard, and what the app reads. */
  function told(screen) {
    const said = [[words.opens, screen.link], [words.sound, screen.sound]].filter(([, text]) => text);
    const data = Object.entries(screen.data).map(([key, text]) => `${key}: ${text}`);
    if (data.length) said.push([words.app, ...data]);
    return said.flatMap(([term, ...texts]) => [element("dt", term), ...texts.map((text) => element("dd", text))]);
  }

  /* A picture kept by this hub is read from here, whatever it is called outside. */
  function here(address) {
    const ours = root.dataset.public;
    return ours && address.startsWith(`${ours}/media/`) ? address.slice(ours.length) : address;
  }

  function weight(one) {
    const size = one.size ? `${one.size.toLocaleString()} / ${one.limit.toLocaleString()} ${words.bytes}` : words.none;
    const note = words[one.outcome] ? ` · ${words[one.outcome]}` : "";
    const made = element("li", "", `nh-${one.outcome}`);
    made.append(element("strong", one.provider), element("span", ` ${size}${note}`));
    const bar = document.createElement("progress");
    bar.max = one.limit || 1;
    bar.value = Math.min(one.size, one.limit);
    bar.setAttribute("aria-label", `${one.provider}: ${size}`);
    made.append(bar);
    return made;
  }

  function described(input) {
    return (input.getAttribute("aria-describedby") || "").split(" ").filter(Boolean);
  }

  function problems(found) {
    for (const old of all(".nh-live", form)) old.remove();
    for (const input of all("[aria-describedby*='_live_']", form)) {
      input.setAttribute("aria-describedby", described(input).filter((id) => !id.includes("_live_")).join(" "));
    }
    const elsewhere = [];
    for (const problem of found) {
      const text = (problem.line > 1 ? `${words.line} ${problem.line}: ` : "") + problem.text;
      const input = form.querySelector(`[name="${CSS.escape(problem.field)}"]`) || document.getElementById(`id_${problem.field}`);
      if (!input) {
        elsewhere.push(element("p", `${problem.field}: ${text}`, `nh-${problem.level}`));
        continue;
      }
      const note = element("em", text, `nh-live nh-${problem.level}`);
      note.id = `${input.id}_live_${found.indexOf(problem)}`;
      input.setAttribute("aria-describedby", [...described(input), note.id].join(" "));
      // within the box of a select its arrow would move
      const box = input.matches("select") ? (input.closest(".related-widget-wrapper") || input.parentElement).parentElement : input.parentElement;
      const group = input.closest(".nh-cell") || input.closest(".nh-rows") || box;
      group.append(note);
      // what the last save was refused for is said once, and no longer than it is so
      const refused = document.getElementById(`${input.id}_error`);
      for (const one of refused ? all("li", refused) : []) if (one.textContent.trim().endsWith(problem.text)) one.remove();
    }
    one("[data-warnings]").replaceChildren(...elsewhere);
  }

  function languages(found) {
    const chosen = locale.value;
    locale.replaceChildren(locale.options[0], ...found.locales.map((tag) => {
      const made = element("option", tag);
      made.value = tag;
      return made;
    }));
    locale.value = found.locales.includes(chosen) ? chosen : "";
    const said = Object.entries(found.missing || {}).map(([tag, names]) => `${tag} (${names.join(", ")})`);
    const lines = [];
    if (said.length) lines.push(`${words.missing} ${said.join("; ")}.`);
    if ((found.untold || []).length) {
      lines.push(`${words.untold} ${found.untold.map((each) => each.locale).join(", ")}.`);
    }
    const missing = one("[data-missing]");
    if (!missing) return; // whoever may only look writes no languages
    missing.hidden = !lines.length;
    missing.textContent = lines.join(" ");
  }

  form.addEventListener("input", later);
  form.addEventListener("change", later);
  person.addEventListener("input", later);
  locale.addEventListener("change", later);
  // these belong to the preview, not to the campaign: Enter must not save it, and they do not make it unsaved
  for (const input of [person, locale]) {
    input.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); ask(); } });
  }
  one("[data-another]").addEventListener("click", () => { person.value = ""; drawn = ""; ask(); });
  fallbacks();
  ask();
})();
