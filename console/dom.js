// Building elements from values: text is always text, never markup.

/** An element with attributes (`on…` are listeners, false and null are left out) and children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Makes the children of `parent` exactly `wanted`, moving as few as possible. */
export function arrange(parent, wanted) {
  wanted.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
  });
  while (parent.children.length > wanted.length) parent.lastElementChild.remove();
}

/** Notes shown at once. */
const TOASTS_MAX = 3;

/** Says something for a while, to eyes and to screen readers. */
export function toast(text, kind = "info") {
  const note = h("p", { class: `toast ${kind}` }, text);
  const toasts = document.getElementById("toasts");
  // While a dialog is open everything outside it is dimmed and silent.
  const home = document.querySelector("dialog[open]") ?? document.body;
  if (toasts.parentElement !== home) home.append(toasts);
  toasts.append(note);
  if (toasts.children.length > TOASTS_MAX) toasts.firstElementChild.remove();
  setTimeout(() => note.remove(), 6000);
}
