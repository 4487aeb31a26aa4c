// The business this page is of: the one its path names, else the first that the process runs. What is different about each
// is described in the module of its name; see `fashion-store.js` for what a description has.

import * as api from "./api.js";

/** Between two attempts to learn what there is, milliseconds. */
const RETRY_PAUSE = 2000;

async function pagesThere() {
  for (;;) {
    try {
      return (await api.read("/"))._links.console;
    } catch {
      await new Promise((resolve) => { setTimeout(resolve, RETRY_PAUSE); });
    }
  }
}

/** The pages of this process's businesses: `name` and `href`. */
export const pages = await pagesThere();

const named = pages.find((page) => new URL(page.href).pathname === location.pathname);
const { name } = named ?? pages[0];

/** Its description. */
export const business = (await import(`./${name}.js`)).default;

/** A path of this business. */
export const at = (path) => `/${name}${path}`;

/** The state of an item of the live list. */
export const stateOf = (item) => item[business.list.state];
export const stateName = (state) => business.states[state]?.[0] ?? state;
/** The group of a state, which gives its colour and its counter. */
export const groupOf = (state) => business.states[state]?.[1] ?? "open";
export const reasonName = (reason) => business.reasons[reason] ?? reason;

/** When an item's saga began. */
export const begunAt = (item) => item[business.list.begun];
