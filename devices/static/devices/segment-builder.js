// The builder of segments: rows and groups for the JSON of a predicate, which stays the field's value.
// Plain DOM, no dependency; without JavaScript the JSON is edited as it is.

const EVERY = 350; // milliseconds of rest before the audience is counted
const GROUPS = ["all", "any", "none"];

const make = (tag, given = {}, ...inside) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...inside.filter((one) => one !== null && one !== undefined));
  return node;
};

let serial = 0;
const fresh = (name) => `nh-${name}-${(serial += 1)}`;

// -- predicate JSON → rows and groups

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function read(json, fields) {
  if (json === null || json === undefined) return { group: "all", parts: [] };
  const node = readNode(json, fields);
  return node.group ? node : { group: "all", parts: [node] };
}

function readNode(json, fields) {
  if (!isObject(json)) return { raw: json };
  const keys = Object.keys(json);
  if (keys.length === 1 && (keys[0] === "all" || keys[0] === "any") && Array.isArray(json[keys[0]])) {
    return { group: keys[0], parts: json[keys[0]].map((part) => readNode(part, fields)) };
  }
  if (keys.length === 1 && keys[0] === "not") {
    const inner = readNode(json.not, fields);
    if (inner.group === "any") return { group: "none", parts: inner.parts };
    if (inner.field && !inner.not && fields[inner.field].kind !== "behaviour") return { ...inner, not: true };
    return inner.group && !inner.raw ? { group: "none", parts: [inner] } : { raw: json };
  }
  return readRow(json, keys, fields) || { raw: json };
}

function readRow(json, keys, fields) {
  if ("attribute" in json && keys.length === 2) {
    const op = keys.find((key) => key !== "attribute");
    const value = json[op];
    if (op === "exists") return { field: "attribute", name: json.attribute, op, not: value === false, type: "text", text: "" };
    const type = typeOf(op === "in" ? value : [value]);
    if (!type || (op === "in" && value.some((one) => String(one).includes(",")))) return null;
    return { field: "attribute", name: json.attribute, op, type, text: op === "in" ? value.join(", ") : String(value) };
  }
  if ("event" in json) return readBehaviour("event", json, json.event);
  if (keys.length !== 1 || !fields[keys[0]]) return null;
  const [field] = keys;
  const value = json[field];
  const { kind } = fields[field];
  if (kind === "behaviour") return isObject(value) ? readBehaviour(field, value, "") : null;
  if (kind === "days") {
    const op = isObject(value) ? Object.keys(value)[0] : "";
    return fields[field].ops.some((one) => one.key === op) ? { field, op, text: String(value[op]) } : null;
  }
  let op = Array.isArray(value) ? "in" : "is";
  let operand = value;
  if (isObject(value)) [[op, operand]] = Object.entries(value);
  const list = Array.isArray(operand) ? operand : [operand];
  if (list.some((one) => typeof one !== "string" || one.includes(","))) return null;
  if (kind === "choice") return { field, op: "is", chosen: list };
  return { field, op, text: list.join(", ") };
}

function readBehaviour(field, told, name) {
  const known = ["event", "at_least", "at_most", "within_days"];
  if (Object.keys(told).some((key) => !known.includes(key)) || ("at_least" in told && "at_most" in told)) return null;
  const op = told.at_most === 0 ? "never" : "at_most" in told ? "at_most" : "at_least";
  return { field, name, op, times: String(told[op] ?? 1), text: String(told.within_days ?? "") };
}

function typeOf(values) {
  if (!Array.isArray(values) || !values.length) return "";
  const types = new Set(values.map((one) => (one === null ? "null" : typeof one)));
  if (types.size !== 1) return "";
  return { string: "text", number: "number", boolean: "boolean", null: "null" }[[...types][0]] || "";
}

// -- rows and groups → predicate JSON; every node learns the pointer (RFC 6901) it stands at

function write(node, at, lacking, fields) {
  node.at = at;
  if (node.group) {
    const [start, key] = node.group === "none" ? [`${at}/not/any`, "any"] : [`${at}/${node.group}`, node.group];
    const parts = node.parts.map((part, index) => write(part, `${start}/${index}`, lacking, fields));
    if (!parts.length) lacking.push(node);
    return node.group === "none" ? { not: { [key]: parts } } : { [key]: parts };
  }
  if ("raw" in node) return node.raw;
  const json = writeRow(node, lacking, fields);
  return node.not && node.op !== "exists" ? { not: json } : json;
}

function writeRow(row, lacking, fields) {
  const { kind } = fields[row.field];
  const lacks = (value) => {
    if (value === "" || value === undefined || (Array.isArray(value) && !value.length)) lacking.push(row);
    return value;
  };
  const number = (text) => (String(text).trim() === "" ? lacks("") : Number(text));
  const list = () => String(row.text ?? "").split(",").map((one) => one.trim()).filter(Boolean);
  if (row.field === "attribute") {
    lacks(row.name);
    if (row.op === "exists") return { attribute: row.name, exists: !row.not };
    const typed = (text) => {
      if (row.type === "number") return number(text);
      if (row.type === "boolean") return text === "true";
      return row.type === "null" ? null : text;
    };
    const value = row.op === "in" ? lacks(list()).map(typed) : typed(row.type === "text" ? lacks(row.text) : row.text);
    return { attribute: row.name, [row.op]: value };
  }
  if (kind === "behaviour") {
    const told = row.field === "event" ? { event: lacks(row.name) } : {};
    if (row.op === "never") told.at_most = 0;
    else told[row.op] = number(row.times);
    told.within_days = number(row.text);
    return row.field === "event" ? told : { [row.field]: told };
  }
  if (kind === "days") return { [row.field]: { [row.op]: number(row.text) } };
  if (kind === "choice") {
    const chosen = lacks(row.chosen || []);
    return { [row.field]: chosen.length === 1 ? chosen[0] : chosen };
  }
  if (row.op === "in") return { [row.field]: lacks(list()) };
  const text = lacks(String(row.text ?? "").trim());
  return { [row.field]: row.op === "is" ? text : { [row.op]: text } };
}

// -- the page

class Builder {
  constructor(root) {
    const said = JSON.parse(root.querySelector("script").textContent);
    Object.assign(this, { root, said, t: said.text, fields: {}, known: {} });
    for (const group of said.fields) for (const field of group.fields) this.fields[field.key] = field;
    this.area = document.getElementById(root.dataset.for);
    this.rows = root.querySelector("[data-rows]");
    this.result = new Result(root.querySelector("[data-result]"), said.text);
    this.list = fresh("list");
    this.rows.before(make("datalist", { id: `${this.list}-attributes` }), make("datalist", { id: `${this.list}-tags` }));
    this.rows.before(make("datalist", { id: `${this.list}-events` }), make("datalist", { id: `${this.list}-values` }));
    this.area.addEventListener("change", () => this.load());
    this.lacking = [];
    this.area.form?.addEventListener("submit", (event) => this.refuse(event));
    const application = document.getElementById("id_application");
    if (application) application.addEventListener("change", () => this.suggest());
    root.querySelector("[data-builder-body]").hidden = false;
    root.querySelector("details").open = false;
    this.load();
    this.suggest();
  }

  get application() {
    return document.getElementById("id_application")?.value || this.root.dataset.application;
  }

  load() {
    let json;
    try {
      json = JSON.parse(this.area.value.trim() || "null");
    } catch (error) {
      this.result.problem(`${this.t.notJson} ${error.message}`);
      return;
    }
    this.tree = read(json, this.fields);
    if (!this.tree.parts.length) this.tree.parts.push({ field: "attribute", name: "", op: "is", type: "text", text: "" });
    this.draw();
    this.changed();
  }

  async suggest() {
    if (!this.application) return;
    const ask = (address) =>
      address
        ? fetch(`${address}?application=${encodeURIComponent(this.application)}`, { headers: { Accept: "application/json" } })
            .then((answer) => (answer.ok ? answer.json() : {}))
            .catch(() => ({}))
        : {};
    const [own, events] = await Promise.all([ask(this.root.dataset.suggest), ask(this.root.dataset.events)]);
    this.known = { attributes: [], tags: [], segments: [], ...own, events: events.events || [] };
    const fill = (name, values) =>
      document.getElementById(`${this.list}-${name}`).replaceChildren(...values.map((value) => make("option", { value: String(value) })));
    fill("attributes", this.known.attributes.map((one) => one.name));
    fill("tags", this.known.tags);
    fill("events", this.known.events);
    this.draw();
    this.changed();
  }

  draw(focus) {
    this.rows.replaceChildren(this.group(this.tree, null));
    if (focus) this.rows.querySelector(`[data-node="${focus}"] select, [data-node="${focus}"] input`)?.focus();
  }

  group(node, parent) {
    node.key ||= fresh("node");
    const legend = fresh("legend");
    const kind = this.select(
      GROUPS.map((key) => ({ key, label: this.t[key] })),
      node.group,
      this.t.groupKind,
      (value) => { node.group = value; this.changed(); },
    );
    const add = (what) => () => { node.parts.push(what()); this.draw(node.parts.at(-1).key ||= fresh("node")); this.changed(); };
    return make(
      "div",
      { class: "nh-group", role: "group", "aria-labelledby": legend, "data-node": node.key },
      make("div", { class: "nh-head" },
        make("span", { id: legend, class: "nh-legend" }, parent ? this.t.groupOf : this.t.peopleWho), kind,
        parent ? this.remove(node, parent, this.t.removeGroup) : null),
      make("div", { class: "nh-error", role: "alert", hidden: true }),
      make("div", { class: "nh-parts" }, ...node.parts.map((part) => (part.group ? this.group(part, node) : this.row(part, node)))),
      make("div", { class: "nh-adds" },
        make("button", { type: "button", class: "nh-button", onclick: add(() => ({ field: "attribute", name: "", op: "is", type: "text", text: "" })) }, this.t.addRow),
        make("button", { type: "button", class: "nh-button", onclick: add(() => ({ group: "any", parts: [{ field: "attribute", name: "", op: "is", type: "text", text: "" }] })) }, this.t.addGroup)),
    );
  }

  remove(node, parent, label) {
    return make("button", {
      type: "button", class: "nh-button nh-remove", "aria-label": label, title: label,
      onclick: () => {
        const index = parent.parts.indexOf(node);
        parent.parts.splice(index, 1);
        const near = parent.parts[Math.max(0, index - 1)];
        this.draw(near ? near.key : parent.key);
        this.changed();
      },
    }, "×");
  }

  row(row, parent) {
    row.key ||= fresh("node");
    const error = fresh("error");
    const parts = "raw" in row ? [this.raw(row)] : [this.what(row), ...this.comparison(row)];
    const line = make("div", { class: "nh-line", "data-error": error }, ...parts, this.remove(row, parent, this.t.removeRow));
    this.describe(line);
    return make("div", { class: "nh-row", "data-node": row.key }, line, make("div", { class: "nh-error", role: "alert", id: error, hidden: true }));
  }

  // Draws what stands behind a control anew, and leaves the control: whoever types in it goes on typing.
  redraw(row, control) {
    const line = control.closest(".nh-line");
    const place = [...line.children].indexOf(control);
    [...line.children].slice(place + 1, -1).forEach((one) => one.remove());
    const behind = [this.what(row), ...this.comparison(row)].slice(place + 1);
    line.lastElementChild.before(...behind);
    this.describe(line);
  }

  describe(line) {
    for (const control of line.querySelectorAll("input, select, textarea")) control.setAttribute("aria-describedby", line.dataset.error);
  }

  raw(row) {
    return make("textarea", {
      class: "nh-control nh-raw", rows: 2, "aria-label": this.t.asJson, spellcheck: "false", value: JSON.stringify(row.raw),
      onchange: (event) => {
        try { row.raw = JSON.parse(event.target.value); } catch { row.raw = event.target.value; }
        this.changed();
      },
    });
  }

  what(row) {
    const select = make("select", {
      class: "nh-control", "aria-label": this.t.what,
      onchange: (event) => {
        const key = event.target.value;
        const { kind, ops } = this.fields[key];
        for (const name of Object.keys(row)) if (name !== "key") delete row[name];
        Object.assign(row, { field: key, name: "", op: ops[0].key, not: Boolean(ops[0].not), type: "text", text: kind === "behaviour" || kind === "days" ? "30" : "", times: "1", chosen: [] });
        this.redraw(row, select);
        this.changed();
      },
    });
    for (const group of this.said.fields) {
      select.append(make("optgroup", { label: group.label },
        ...group.fields.map((field) => make("option", { value: field.key, selected: field.key === row.field }, field.label))));
    }
    return select;
  }

  comparison(row) {
    const field = this.fields[row.field];
    const parts = [];
    if (field.named) parts.push(this.input(row, "name", field.named, { list: `${this.list}-${row.field === "event" ? "events" : "attributes"}`, redraw: row.field === "attribute" }));
    const chosen = field.ops.findIndex((one) => one.key === row.op && Boolean(one.not) === Boolean(row.not));
    const select = this.select(field.ops.map((one, index) => ({ key: String(index), label: one.label })), String(Math.max(0, chosen)), this.t.how, (index) => {
      const one = field.ops[Number(index)];
      Object.assign(row, { op: one.key, not: Boolean(one.not) });
      if (row.field === "attribute" && (one.key === "above" || one.key === "below")) row.type = "number";
      this.redraw(row, select);
      this.changed();
    });
    parts.push(select);
    if (row.field === "attribute") return row.op === "exists" ? parts : [...parts, ...this.value(row)];
    if (field.kind === "behaviour") {
      if (row.op !== "never") parts.push(this.input(row, "times", this.t.times, { type: "number", min: 1 }), make("span", {}, this.t.times));
      parts.push(make("span", {}, this.t.inTheLast), this.input(row, "text", this.t.days, { type: "number", min: 1, max: 365 }), make("span", {}, this.t.days));
    } else if (field.kind === "days") parts.push(this.input(row, "text", this.t.days, { type: "number", min: 1, max: 365 }), make("span", {}, this.t.days));
    else if (field.kind === "choice") parts.push(this.choices(row, field));
    else if (field.kind === "segment") parts.push(this.segment(row));
    else parts.push(this.input(row, "text", row.op === "in" ? this.t.list : this.t.value, { list: row.field === "tag" && row.op !== "in" ? `${this.list}-tags` : null, placeholder: row.op === "in" ? this.t.list : field.example || "" }));
    return parts;
  }

  value(row) {
    const types = ["text", "number", "boolean", "null"].map((key) => ({ key, label: this.t[`type_${key}`] }));
    const known = this.known.attributes?.find((one) => one.name === row.name);
    const parts = [];
    if (row.op === "is" || row.op === "in" || row.op === "contains") {
      const type = this.select(types, row.type, this.t.type, (value) => {
        Object.assign(row, { type: value, text: value === "boolean" ? "true" : "" });
        this.redraw(row, type);
        this.changed();
      });
      parts.push(type);
    }
    if (row.type === "null") return parts;
    if (row.type === "boolean" && row.op !== "in") {
      row.text = row.text === "false" ? "false" : "true";
      parts.push(this.select([{ key: "true", label: this.t.yes }, { key: "false", label: this.t.no }], row.text, this.t.value, (value) => { row.text = value; this.changed(); }));
      return parts;
    }
    const id = fresh("values");
    parts.push(make("datalist", { id }, ...this.suggested(known)));
    parts.push(this.input(row, "text", row.op === "in" ? this.t.list : this.t.value, { list: row.op === "in" ? null : id, type: row.type === "number" && row.op !== "in" ? "number" : "text", step: "any", placeholder: row.op === "in" ? this.t.list : "" }));
    return parts;
  }

  suggested(attribute) {
    return (attribute?.values || []).map((value) => make("option", { value: String(value) }));
  }

  choices(row, field) {
    return make("span", { class: "nh-choices", role: "group", "aria-label": field.label },
      ...field.values.map((one) => make("label", {},
        make("input", {
          type: "checkbox", value: one.key, checked: (row.chosen || []).includes(one.key),
          onchange: (event) => {
            const chosen = new Set(row.chosen || []);
            if (event.target.checked) chosen.add(one.key); else chosen.delete(one.key);
            row.chosen = field.values.map((value) => value.key).filter((key) => chosen.has(key));
            this.changed();
          },
        }), one.label)));
  }

  segment(row) {
    const own = this.root.dataset.own;
    const known = (this.known.segments || []).filter((one) => one.uid !== own).map((one) => ({ key: one.uid, label: one.name }));
    if (row.text && !known.some((one) => one.key === row.text)) known.push({ key: row.text, label: row.text });
    return this.select([{ key: "", label: known.length ? this.t.choose : this.t.noSegments }, ...known], row.text || "", this.t.segment, (value) => { row.text = value; this.changed(); });
  }

  select(options, value, label, then) {
    return make("select", { class: "nh-control", "aria-label": label, onchange: (event) => then(event.target.value) },
      ...options.map((one) => make("option", { value: one.key, selected: one.key === value }, one.label)));
  }

  input(row, name, label, { redraw = false, type = "text", ...more } = {}) {
    const input = make("input", {
      class: `nh-control${type === "number" ? " nh-number" : ""}`, type, "aria-label": label, placeholder: label, autocomplete: "off", value: row[name] ?? "", ...more,
      oninput: (event) => { row[name] = event.target.value; this.changed(); },
      onchange: () => {
        const known = redraw && this.known.attributes?.find((one) => one.name === row.name);
        if (!known || row.text) return;
        const wanted = { number: { type: "number" }, boolean: { type: "boolean", text: "true" }, list: { op: "contains", not: false } }[known.kind] || { type: "text" };
        if (Object.keys(wanted).every((key) => row[key] === wanted[key])) {
          // whoever clicked into the value's input is in it already: it stays
          input.closest(".nh-line").querySelector("datalist")?.replaceChildren(...this.suggested(known));
          return;
        }
        Object.assign(row, wanted);
        this.redraw(row, input);
        this.changed();
      },
    });
    return input;
  }

  // -- what it comes to

  changed() {
    const lacking = (this.lacking = []);
    const json = write(this.tree, "", lacking, this.fields);
    this.area.value = JSON.stringify(json, null, 1);
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
    this.errors([]);
    if (lacking.length) {
      this.result.waiting(this.t.fillIn);
      return;
    }
    this.result.count(this.root.dataset.count, this.application, json, (errors) => this.errors(errors));
  }

  // What is not filled in would come back from the hub with a place in the JSON: it is said here, beside it.
  refuse(event) {
    if (!this.lacking.length) return;
    event.preventDefault();
    this.errors(this.lacking.map((node) => ({ pointer: node.at, reason: this.t.fillThis })));
    const row = this.rows.querySelector(`[data-node="${this.lacking[0].key}"]`);
    const controls = [...row.querySelectorAll("input, select, button")];
    (controls.find((one) => one.value === "" && !one.matches("button")) || controls[0]).focus();
  }

  errors(found) {
    for (const box of this.rows.querySelectorAll(".nh-error")) { box.hidden = true; box.textContent = ""; }
    for (const control of this.rows.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
    for (const error of found) {
      const node = this.nearest(this.tree, error.pointer);
      const shown = this.rows.querySelector(`[data-node="${node.key}"]`);
      const box = shown.querySelector(node.group ? ":scope > .nh-error" : ".nh-error");
      Object.assign(box, { hidden: false, textContent: error.reason });
      if (!node.group) shown.querySelectorAll("input, select").forEach((control) => control.setAttribute("aria-invalid", "true"));
    }
  }

  nearest(node, pointer) {
    const inner = (node.parts || []).find((part) => pointer === part.at || pointer.startsWith(`${part.at}/`));
    return inner ? this.nearest(inner, pointer) : node;
  }
}

// The line that says how many people it is.
class Result {
  constructor(root, text) {
    Object.assign(this, { root, t: text, numbers: new Intl.NumberFormat(document.documentElement.lang || undefined) });
  }

  problem(text) { this.stop(); this.show("nh-bad", text); }

  waiting(text) { this.stop(); this.show("nh-wait", text); }

  stop() { clearTimeout(this.timer); this.asking?.abort(); }

  show(kind, ...lines) {
    this.root.className = `nh-result ${kind}`;
    this.root.replaceChildren(...lines.map((line) => (typeof line === "string" ? make("p", {}, line) : line)));
    this.root.dataset.state = kind;
  }

  count(address, application, predicate, then) {
    this.stop();
    if (!application) { this.show("nh-wait", this.t.chooseApplication); return; }
    this.root.dataset.state = "nh-asking";
    this.timer = setTimeout(async () => {
      this.asking = new AbortController();
      try {
        const answer = await fetch(address, {
          method: "POST", signal: this.asking.signal, body: JSON.stringify({ application, predicate }),
          headers: { "Content-Type": "application/json", "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]")?.value || "" },
        });
        this.told(await answer.json(), then);
      } catch (error) {
        if (error.name !== "AbortError") this.show("nh-bad", this.t.noAnswer);
      }
    }, EVERY);
  }

  told(found, then) {
    then(found.errors || []);
    if (found.errors) { this.show("nh-bad", this.t.wrong); return; }
    if (found.problem) { this.show("nh-bad", found.problem); return; }
    const n = (value) => this.numbers.format(value);
    const strong = make("p", { class: "nh-people" }, found.sentence);
    const devices = Object.entries(found.devices);
    const table = devices.length
      ? make("table", { class: "nh-devices" }, make("caption", {}, this.t.reachable), make("thead", {}, make("tr", {}, make("th", { scope: "col" }, this.t.platform), make("th", { scope: "col" }, this.t.devices))),
          make("tbody", {}, ...devices.map(([name, number]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, (found.exact ? "" : "≈ ") + n(number))))))
      : make("p", {}, this.t.noDevices);
    this.show("nh-good", strong, ...(found.notes || []), table);
  }
}

for (const root of document.querySelectorAll("[data-builder]")) new Builder(root);
for (const root of document.querySelectorAll("[data-segment-count]")) {
  const said = JSON.parse(root.querySelector("script").textContent);
  const place = make("div", { "aria-live": "polite" });
  root.append(place);
  new Result(place, said.text).count(root.dataset.count, root.dataset.application, said.predicate, () => {});
}
