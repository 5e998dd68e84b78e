"use strict";
// Filters the pairs. Without this script all of them are shown.
const cards = [...document.querySelectorAll(".card")];
const [outcome, kind, text] = ["outcome", "kind", "words"].map((id) => document.getElementById(id));
const told = document.getElementById("shown");

function filter() {
  const wanted = text.value.trim().toLowerCase();
  let count = 0;
  for (const card of cards) {
    const fits = (!outcome.value || card.dataset.outcome === outcome.value)
      && (!kind.value || card.dataset.kind === kind.value)
      && (!wanted || card.textContent.toLowerCase().includes(wanted));
    card.hidden = !fits;
    count += fits;
  }
  told.textContent = `${count} of ${cards.length} pairs shown`;
}

if (told) {
  document.getElementById("filter").hidden = false;
  for (const field of [outcome, kind, text]) field.addEventListener("input", filter);
  document.getElementById("all").addEventListener("click", () => {
    outcome.value = kind.value = text.value = "";
    filter();
  });
  for (const link of document.querySelectorAll("a[data-outcome]")) {
    link.addEventListener("click", () => {
      kind.value = text.value = "";
      outcome.value = link.dataset.outcome;
      filter();
    });
  }
  filter();
}
