/* Fields of several rows: rows are added and taken away, also in a form that was itself added to the page.
 * The field tells of it by the event `nh:rows`.
 */
"use strict";
(() => {
  const one = (selector, within) => within.querySelector(selector);

  function settle(rows) {
    const count = one(".nh-list", rows).children.length;
    one(".nh-empty", rows).hidden = count > 0;
    one("[data-add]", rows).hidden = count >= Number(rows.dataset.most);
  }
  function tell(rows) {
    rows.dispatchEvent(new Event("nh:rows", {bubbles: true}));
  }
  function add(rows) {
    const made = one("template", rows).content.firstElementChild.cloneNode(true);
    // a form that was added has another number than its template
    const name = one("input[type=hidden][name$='-rows']", rows).name.replace(/-rows$/, "");
    for (const input of made.querySelectorAll("[name]")) {
      input.name = input.name.replace(rows.dataset.rows, name).replace("__row__", rows.dataset.next);
    }
    rows.dataset.next = Number(rows.dataset.next) + 1;
    one(".nh-list", rows).append(made);
    settle(rows);
    one("input:not([type=hidden]), textarea", made)?.focus();
    tell(rows);
  }
  function remove(rows, row) {
    row.remove();
    settle(rows);
    one("[data-add]", rows).focus();
    tell(rows);
  }

  document.addEventListener("click", (event) => {
    const rows = event.target.closest("[data-rows]");
    if (!rows) return;
    const gone = event.target.closest("[data-remove]");
    if (gone) remove(rows, gone.closest("[data-row]"));
    else if (event.target.closest("[data-add]")) add(rows);
  });
  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-rows]").forEach(settle));
})();
