// One order in full: its saga step by step, with what can be done about it.

import * as api from "./api.js";
import { h, toast } from "./dom.js";
import { duration, exactTime, groupOf, money, reasonName, stateName, time } from "./format.js";
import { track } from "./saga.js";
import { productName } from "./side.js";

const STAGES = {
  ORDER: "by the order command",
  STOCK: "by the stock",
  PAYMENT: "by the payment",
  DELIVERY: "by delivery management",
  CANCELLATION: "by a cancellation",
  DEADLINE: "by the deadline",
};

const dialog = document.getElementById("drawer");
let shown = null;

/** Opens the drawer on an order. */
export function open(order) {
  shown = order.id;
  render(order);
  if (!dialog.open) dialog.showModal();
  history.replaceState(null, "", `#${encodeURIComponent(order.id)}`);
}

/** Shows what changed, if it is this order that is open. */
export function update(order) {
  if (dialog.open && shown === order.id) render(order);
}

dialog.addEventListener("close", () => {
  document.body.append(document.getElementById("toasts"));
  history.replaceState(null, "", location.pathname + location.search);
  // Back to the order's row, which may have been drawn anew meanwhile.
  document.querySelector(`[data-order="${CSS.escape(shown)}"]`)?.focus();
  shown = null;
});
// A click beside the drawer closes it.
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

function render(order) {
  // A redraw keeps the focus where it was, and an opened disclosure open.
  const focused = dialog.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
  const rawOpen = dialog.querySelector("details")?.open ?? false;
  dialog.querySelector("article").replaceWith(h("article", {},
    h("header", { class: "drawer-head" },
      h("div", {},
        h("p", { class: "eyebrow" }, "Order"),
        h("h2", { id: "drawer-title", class: "id" }, order.id)),
      h("button", { class: "icon", "aria-label": "Close", "data-keep": "close", onclick: () => dialog.close() }, "✕")),
    h("p", { class: "lead" },
      h("span", { class: `badge ${groupOf(order.status)}` }, stateName(order.status)),
      order.reason ? h("span", { class: "muted" }, ` ${reasonName(order.reason)}`) : null,
      order.detail ? h("span", { class: "muted" }, ` · ${order.detail}`) : null),
    track(order),
    facts(order),
    h("h3", {}, "History"),
    timeline(order),
    actions(order),
    h("details", { open: rawOpen }, h("summary", { "data-keep": "raw" }, "As JSON"),
      h("pre", { tabindex: "0" }, JSON.stringify(order, null, 2)))));
  dialog.querySelector(`[data-keep="${focused ?? "close"}"]`)?.focus();
}

function facts(order) {
  const fact = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
  const end = order.settledAt ?? order.history.at(-1)?.at;
  const settled = order.settledAt || ["DELIVERY_STARTED", "CANCELLED"].includes(order.status);
  return h("dl", { class: "facts" },
    fact("Product", `${productName(order.productId)}${order.size && ` · ${order.size}`}`),
    fact("Quantity", String(order.qty)),
    fact("Price", money(order.price)),
    fact("Customer", order.customerId || "anonymous"),
    fact("Placed", time(order.placedAt)),
    end ? fact(settled ? "Settled after" : "So far", duration(end - order.placedAt)) : []);
}

function timeline(order) {
  let before = order.placedAt;
  return h("ol", { class: "timeline" }, order.history.map((step, i) => {
    const took = step.at - before;
    before = step.at;
    return h("li", { class: groupOf(step.status) },
      h("p", { class: "what" }, stateName(step.status), step.reason ? h("span", { class: "muted" }, ` · ${reasonName(step.reason)}`) : null),
      h("p", { class: "muted" }, STAGES[step.stage] ?? step.stage, step.detail ? ` · ${step.detail}` : ""),
      h("p", { class: "when" }, h("time", { datetime: new Date(step.at).toISOString() }, exactTime(step.at)), i > 0 ? ` +${duration(took)}` : ""));
  }));
}

function actions(order) {
  if (["CANCELLED", "CANCELLING", "DELIVERY_CANCELLED"].includes(order.status)) return null;
  const run = (command, done) => async (event) => {
    const buttons = event.currentTarget.parentElement.querySelectorAll("button");
    buttons.forEach((button) => { button.disabled = true; });
    try {
      await command(order.id);
      toast(done);
    } catch (problem) {
      toast(problem.message, "bad");
      buttons.forEach((button) => { button.disabled = false; });
    }
  };
  return h("p", { class: "actions" },
    h("button", { class: "danger", "data-keep": "cancel", onclick: run(api.cancel, "The order is being cancelled.") }, "Cancel for the customer"),
    h("button", { "data-keep": "md", onclick: run(api.cancelAsMd, "The order is being cancelled.") }, "Cancel as merchandiser"));
}
