"use strict";
// Keys for the buttons of the page. Without this script the buttons still work.
const field = document.getElementById("text");
const button = (verdict) => document.querySelector(`button[name=verdict][value=${verdict}]`);
const verdicts = { a: "accept", r: "reject", s: "skip", u: "undo" };

function edit(text) {
  if (text !== undefined) field.value = text;
  keep();
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

// On a keyboard of another script the key that has an A has no "a": then its place tells. The place
// alone would be wrong where Latin letters lie elsewhere.
function named(event) {
  if (event.shiftKey) return "";
  if (/^[a-z1-9]$/i.test(event.key)) return event.key.toLowerCase();
  return event.key.length === 1 ? event.code.replace(/^(Key|Digit)/, "").toLowerCase() : "";
}

document.addEventListener("keydown", (event) => {
  // A key that is held down would decide about the next pairs too.
  if (event.repeat || event.isComposing || event.altKey) return;
  const writing = event.target.matches("input, textarea");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target === field) {
    event.preventDefault();
    button("edit").click();
  } else if (event.key === "Escape" && writing) {
    event.target.blur();
  } else if (!writing && !event.ctrlKey && !event.metaKey) {
    const texts = document.querySelectorAll("[data-text]"), key = named(event);
    // A text that was begun is not thrown away by the key that accepts the old one.
    if (key === "a" && field && field.value !== field.defaultValue) edit();
    else if (key in verdicts) button(verdicts[key])?.click();
    else if (key === "e" && field) edit();
    else if (/^[1-9]$/.test(key) && texts[key - 1]) edit(texts[key - 1].textContent);
    else return;
    event.preventDefault();
  }
});

// A text that was begun outlives a session that ended, a reload and a server that was away: this
// tab keeps the newest one, for the same person and pair.
const draft = field?.form.dataset.draft;
const keep = () => sessionStorage.setItem("draft", JSON.stringify([draft, field.value]));
const [owner, begun] = JSON.parse(sessionStorage.getItem("draft") ?? "[]");
if (draft && owner === draft && field.value === field.defaultValue) field.value = begun;
field?.addEventListener("input", keep);

const said = document.querySelector("[data-said]");
if (said) said.textContent = said.dataset.said;

// A second click or key must not send a form twice; the server also recognises it.
let sent = false;
document.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  sent = true;
});
window.addEventListener("pageshow", () => { sent = false; });
