// The saga of an item, from its history: what each of its business's steps has come to, and when.

import { begunAt, business, groupOf, stateOf } from "./business.js";
import { duration } from "./format.js";
import { h } from "./dom.js";

/** Each step: `is` done, undone, failed, deferred, now, waits or never; `at`; `took` since the step before. */
function steps(item) {
  const at = (state) => item.history.find((step) => stateOf(step) === state)?.at;
  const last = item.history.at(-1) ?? { [business.list.state]: stateOf(item) };
  const group = groupOf(stateOf(last));
  const unwound = group === "cancelled";
  const unwinding = unwound || group === "unwinding";
  let before = begunAt(item);
  let waiting = !unwinding;
  return business.steps.map(({ name, state, fails = [], by }, i) => {
    const when = at(state);
    if (when !== undefined) {
      const took = i === 0 ? undefined : when - before;
      before = when;
      // The last step is what is called back first.
      const calledBack = unwinding && i === business.steps.length - 1;
      return { name, is: unwound || calledBack ? "undone" : "done", took };
    }
    if (fails.includes(item.reason) || fails.includes(stateOf(last))) return { name, is: "failed", took: last.at - before };
    if (!waiting) return { name, is: "never" };
    waiting = false;
    if (group === "deferred") return { name, is: "deferred" };
    return by ? { name, is: "waits", by } : { name, is: "now" };
  });
}

const WORDS = { done: "done", undone: "undone", failed: "failed", deferred: "put off", now: "under way", waits: "waits for the", never: "not reached" };

/** The steps as a line of marks, with the time each took. */
export function track(item) {
  return h("ol", { class: "track", "aria-label": "Steps" }, steps(item).map((step) => {
    const took = step.took === undefined ? "" : duration(step.took);
    const label = `${step.name}: ${WORDS[step.is]}${step.by ? ` ${step.by}` : ""}${took && ` after ${took}`}`;
    return h("li", { class: step.is, title: label },
      h("span", { class: "mark", "aria-hidden": "true" }),
      h("span", { class: "visually-hidden" }, label),
      h("span", { class: "step", "aria-hidden": "true" }, step.name),
      h("span", { class: "took", "aria-hidden": "true" }, took));
  }));
}
