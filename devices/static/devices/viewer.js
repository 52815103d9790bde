// On every page of the admin. Tells the hub the zone of this browser's clock: its pages then show times in it, from the
// next one on. And says what select2's fields are called, which they do not say themselves.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  const told = `nh_zone=${encodeURIComponent(zone)}`;
  if (zone && !document.cookie.split("; ").includes(told)) {
    document.cookie = `${told}; path=/; max-age=31536000; samesite=lax`;
  }

  function name(select) {
    const label = document.querySelector(`label[for="${CSS.escape(select.id)}"]`);
    const [box, text] = select.nextElementSibling.querySelectorAll('[role="combobox"], [role="textbox"]');
    if (label && box && text) {
      label.id ||= `${select.id}-label`;
      box.setAttribute("aria-labelledby", `${label.id} ${text.id}`);
      text.setAttribute("aria-labelledby", label.id);
    }
  }

  new MutationObserver(changes => {
    for (const {addedNodes} of changes) {
      for (const node of addedNodes) {
        if (node.classList?.contains("select2-container") && node.previousElementSibling?.matches("select")) {
          name(node.previousElementSibling);
        }
      }
    }
  }).observe(document.documentElement, {childList: true, subtree: true});
})();
