// Moves the bar of an import until it is over, then loads the page that says so.
const box = document.querySelector("[data-progress]");
async function look() {
  try {
    const answer = await fetch(box.dataset.progress, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const now = await answer.json();
    box.querySelector("progress").value = now.percent;
    const sentence = box.querySelector("[data-sentence]");
    if (sentence.textContent !== now.sentence) sentence.textContent = now.sentence;
    if (now.over) { location.reload(); return; }
  } catch { /* the next look may find the hub again */ }
  setTimeout(look, 1000);
}
if (box?.dataset.progress) look();
