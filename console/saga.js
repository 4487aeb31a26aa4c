// The saga of an order, from its history: what each of the four steps has come to, and when.

import { duration } from "./format.js";
import { h } from "./dom.js";

const STEPS = [
  { name: "Order", state: "ORDERED", fails: [] },
  { name: "Stock", state: "STOCK_RESERVED", fails: ["OUT_OF_STOCK", "UNKNOWN_PRODUCT"] },
  { name: "Payment", state: "PAID", fails: ["PAYMENT_DECLINED", "PAYMENT_TIMEOUT"] },
  { name: "Delivery", state: "DELIVERY_STARTED", fails: [] },
];

/** Each step: `is` done, undone, failed, deferred, now or never; `at`; `took` since the step before. */
export function steps(order) {
  const at = (state) => order.history.find((step) => step.status === state)?.at;
  const last = order.history.at(-1) ?? { status: order.status };
  const unwound = last.status === "CANCELLED";
  const unwinding = unwound || last.status === "CANCELLING" || last.status === "DELIVERY_CANCELLED";
  let before = order.placedAt;
  let waiting = !unwinding;
  return STEPS.map(({ name, state, fails }, i) => {
    const when = at(state);
    if (when !== undefined) {
      const took = i === 0 ? undefined : when - before;
      before = when;
      const calledBack = state === "DELIVERY_STARTED" && unwinding;
      return { name, is: unwound || calledBack ? "undone" : "done", at: when, took };
    }
    if (fails.includes(order.reason)) return { name, is: "failed", at: last.at, took: last.at - before };
    if (!waiting) return { name, is: "never" };
    waiting = false;
    return { name, is: state === "PAID" && last.status === "PAYMENT_DEFERRED" ? "deferred" : "now", since: before };
  });
}

const WORDS = { done: "done", undone: "undone", failed: "failed", deferred: "put off", now: "under way", never: "not reached" };

/** The four steps as a line of marks, with the time each took. */
export function track(order) {
  return h("ol", { class: "track", "aria-label": "Steps" }, steps(order).map((step) => {
    const took = step.took === undefined ? "" : duration(step.took);
    const label = `${step.name}: ${WORDS[step.is]}${took && ` after ${took}`}`;
    return h("li", { class: step.is, title: label },
      h("span", { class: "mark", "aria-hidden": "true" }),
      h("span", { class: "visually-hidden" }, label),
      h("span", { class: "step", "aria-hidden": "true" }, step.name),
      h("span", { class: "took", "aria-hidden": "true" }, took));
  }));
}
