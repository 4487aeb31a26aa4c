// The circuit breaker in front of what the business calls: its state, looked at every few seconds.

import * as api from "./api.js";
import { business } from "./business.js";
import { count } from "./format.js";

/** Between two looks, milliseconds. */
const PAUSE = 2000;

const pill = document.getElementById("breaker");
const note = document.getElementById("breaker-note");
const WORDS = { closed: "closed", open: "open", "half-open": "half open" };
const { breaker } = business;

async function look() {
  try {
    const { breakers } = await api.read("/breakers");
    show(breakers.find(({ name }) => name === breaker.name));
  } catch {
    // The connection's state is shown already.
  }
}

function show({ state, timeoutMs, ok, failed, rejected, opened }) {
  pill.hidden = false;
  pill.dataset.state = state;
  pill.textContent = `${breaker.of}: ${WORDS[state]}`;
  pill.title = `Circuit breaker of this instance, ${count(timeoutMs)} ms: ${count(ok)} calls went well, ${count(failed)} failed, `
    + `${count(rejected)} were not made; opened ${count(opened)} times`;
  note.hidden = state === "closed";
  note.textContent = state === "open" ? breaker.open : "A few calls are let through, to see whether it is well again.";
}

/** Begins to look; not while no one sees the page. */
export function watch() {
  look();
  setInterval(() => { if (!document.hidden) look(); }, PAUSE);
}
