"use strict";
// Keys for the buttons of the page. Without this script the buttons still work.
const field = document.getElementById("text");
const button = (verdict) => document.querySelector(`button[name=verdict][value=${verdict}]`);
const verdicts = { a: "accept", r: "reject", s: "skip", u: "undo" };

function edit(text) {
  if (text !== undefined) field.value = text;
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

document.addEventListener("keydown", (event) => {
  // A key that is held down would decide about the next pairs too.
  if (event.repeat || event.isComposing || event.altKey || event.metaKey) return;
  const writing = event.target.matches("input, textarea");
  if (event.key === "Enter" && event.ctrlKey && event.target === field) {
    event.preventDefault();
    button("edit").click();
  } else if (event.key === "Escape" && writing) {
    event.target.blur();
  } else if (!writing && !event.ctrlKey) {
    const texts = document.querySelectorAll("[data-text]");
    // A text that was begun is not thrown away by the key that accepts the old one.
    if (event.key === "a" && field && field.value !== field.defaultValue) edit();
    else if (event.key in verdicts) button(verdicts[event.key])?.click();
    else if (event.key === "e" && field) edit();
    else if (/^[1-9]$/.test(event.key) && texts[event.key - 1]) edit(texts[event.key - 1].textContent);
    else return;
    event.preventDefault();
  }
});

// A second click or key must not send a form twice; the server also recognises it.
let sent = false;
document.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  sent = true;
});
window.addEventListener("pageshow", () => { sent = false; });
