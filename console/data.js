// What the page knows besides its live list: the collections its side column shows and its forms choose from. They have no
// stream of their own; they are read again when something has changed.

import * as api from "./api.js";
import { at, business } from "./business.js";

/** Items read of a collection. */
const ITEMS_MAX = 200;
/** Between two looks while things change, milliseconds. */
const PAUSE = 500;

/** The items by collection, and in `more` how many there are that were not read. */
export const data = { more: {} };
for (const name of Object.keys(business.collections)) data[name] = [];

const listeners = [];

/** Calls `listener` whenever the collections were read. */
export const onRead = (listener) => listeners.push(listener);

/** Reads them all. */
export async function refresh() {
  const names = Object.entries(business.collections);
  const pages = await Promise.all(names.map(([name, sort]) => api.read(at(`/${name}?size=${ITEMS_MAX}&sort=id,${sort}`))));
  names.forEach(([name], i) => {
    data[name] = pages[i]._embedded[name];
    data.more[name] = pages[i].page.totalElements - data[name].length;
  });
  for (const listener of listeners) listener();
}

let timer = null;
/** Reads them soon; once, however often this is called until then. */
export function refreshSoon() {
  timer ??= setTimeout(async () => {
    timer = null;
    try {
      await refresh();
    } catch {
      // The connection's state is shown already; the next change asks again.
    }
  }, PAUSE);
}
