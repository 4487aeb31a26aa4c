// One item of the live list in full: its saga step by step, with what can be done about it.

import { begunAt, business, groupOf, reasonName, stateName, stateOf } from "./business.js";
import { data } from "./data.js";
import { h, toast } from "./dom.js";
import { duration, exactTime, time } from "./format.js";
import { track } from "./saga.js";

const dialog = document.getElementById("drawer");
let shown = null;

/** Opens the drawer on an item. */
export function open(item) {
  shown = item.id;
  render(item);
  if (!dialog.open) dialog.showModal();
  history.replaceState(null, "", `#${encodeURIComponent(item.id)}`);
}

/** Shows what changed, if it is this item that is open. */
export function update(item) {
  if (dialog.open && shown === item.id) render(item);
}

dialog.addEventListener("close", () => {
  // The event comes a little later; it may be open again.
  if (dialog.open) return;
  document.body.append(document.getElementById("toasts"));
  history.replaceState(null, "", location.pathname + location.search);
  // The browser gives the focus back to the item's row, unless that was drawn anew meanwhile.
  if (!document.activeElement.closest("#rows")) document.querySelector(`[data-item="${CSS.escape(shown)}"]`)?.focus();
  shown = null;
});
// A click beside the drawer closes it.
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

function render(item) {
  // A redraw keeps the focus where it was, and an opened disclosure open.
  const focused = dialog.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
  const rawOpen = dialog.querySelector("details")?.open ?? false;
  const state = stateOf(item);
  dialog.querySelector("article").replaceWith(h("article", {},
    h("header", { class: "drawer-head" },
      h("div", {},
        h("p", { class: "eyebrow" }, business.list.one),
        h("h2", { id: "drawer-title", class: "id" }, item.id)),
      h("button", { class: "icon", "aria-label": "Close", "data-keep": "close", onclick: () => dialog.close() }, "✕")),
    h("p", { class: "lead" },
      h("span", { class: `badge ${groupOf(state)}` }, stateName(state)),
      item.reason ? h("span", { class: "muted" }, ` ${reasonName(item.reason)}`) : null,
      item.detail ? h("span", { class: "muted" }, ` · ${item.detail}`) : null),
    track(item),
    facts(item),
    h("h3", {}, "History"),
    timeline(item),
    actions(item),
    h("details", { open: rawOpen }, h("summary", { "data-keep": "raw" }, "As JSON"),
      h("pre", { tabindex: "0" }, JSON.stringify(item, null, 2)))));
  (dialog.querySelector(`[data-keep="${focused}"]`) ?? dialog.querySelector('[data-keep="close"]')).focus();
}

function facts(item) {
  const end = item.settledAt ?? item.history.at(-1)?.at;
  const settled = item.settledAt || ["done", "cancelled"].includes(groupOf(stateOf(item)));
  const all = [
    ...business.facts(item, data),
    ["Since", time(begunAt(item))],
    ...(end ? [[settled ? "Settled after" : "So far", duration(end - begunAt(item))]] : []),
  ];
  return h("dl", { class: "facts" }, all.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function timeline(item) {
  let before = begunAt(item);
  return h("ol", { class: "timeline" }, item.history.map((step, i) => {
    const took = step.at - before;
    before = step.at;
    const by = [business.stages?.[step.stage] ?? step.stage, step.detail].filter(Boolean).join(" · ");
    return h("li", { class: groupOf(stateOf(step)) },
      h("p", { class: "what" }, stateName(stateOf(step)), step.reason ? h("span", { class: "muted" }, ` · ${reasonName(step.reason)}`) : null),
      by ? h("p", { class: "muted" }, by) : null,
      h("p", { class: "when" }, h("time", { datetime: new Date(step.at).toISOString() }, exactTime(step.at)), i > 0 ? ` +${duration(took)}` : ""));
  }));
}

function actions(item) {
  const all = business.actions(item);
  if (all.length === 0) return null;
  const run = (command) => async (event) => {
    const buttons = event.currentTarget.parentElement.querySelectorAll("button");
    buttons.forEach((button) => { button.disabled = true; });
    try {
      toast(await command());
    } catch (problem) {
      toast(problem.message, "bad");
      buttons.forEach((button) => { button.disabled = false; });
    }
  };
  return h("p", { class: "actions" }, all.map(({ text, danger, run: command }) =>
    h("button", { class: danger ? "danger" : "primary", "data-keep": text, onclick: run(command) }, text)));
}
