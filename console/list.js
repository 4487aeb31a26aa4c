// The live list: the newest items and their sagas. What changed is collected and drawn once per frame, however much comes.

import * as api from "./api.js";
import * as drawer from "./drawer.js";
import { at, begunAt, business, groupOf, reasonName, stateName, stateOf } from "./business.js";
import { data, onRead, refresh, refreshSoon } from "./data.js";
import { arrange, h, toast } from "./dom.js";
import { count, shortId, time } from "./format.js";
import { track } from "./saga.js";

/** Items kept and shown; older ones leave as new ones come. */
const ITEMS_MAX = 200;

const { list } = business;
const items = new Map();
const rows = new Map();
const changed = new Set();
let filter = null;
let search = "";
let total = null;

// --- what comes in

/** Takes a change in that the stream tells of. */
export function onStatus({ version, at: when, stage, ...fields }) {
  const known = items.get(fields.id);
  const before = known?.history.at(-1)?.version ?? 0;
  if (version <= before) return;
  if (version > before + 1) {
    // Something of this item was before the list was read: read it whole.
    reread(fields.id);
    return;
  }
  const step = { version, [list.state]: fields[list.state], ...(fields.reason && { reason: fields.reason }), ...(stage && { stage }), at: when };
  if (!known && total !== null) total += 1;
  keep({ [list.begun]: when, ...known, ...fields, history: [...(known?.history ?? []), step] });
  refreshSoon();
}

const rereading = new Set();
async function reread(id) {
  if (rereading.has(id)) return;
  rereading.add(id);
  try {
    keep(await read(id));
  } catch {
    // Gone, or moving between instances: its next event asks again.
  } finally {
    rereading.delete(id);
  }
}

const read = (id) => api.read(at(`/${list.name}/${api.part(id)}`));

function keep(item) {
  // An answer to a request may be older than what the stream has told meanwhile.
  if ((items.get(item.id)?.history.length ?? 0) > item.history.length) return;
  delete item._links;
  items.set(item.id, item);
  changed.add(item.id);
  if (items.size > ITEMS_MAX) {
    const oldest = newestFirst().at(-1);
    items.delete(oldest.id);
    rows.delete(oldest.id);
  }
  drawSoon();
}

/** Reads the list again. */
export async function reload() {
  try {
    // What the rows name first.
    await refresh();
    const page = await api.read(at(`/${list.name}?size=${ITEMS_MAX}&sort=id,desc`));
    total = page.page.totalElements;
    page._embedded[list.name].forEach(keep);
    drawSoon();
  } catch (problem) {
    toast(problem.message, "bad");
    setTimeout(reload, 3000);
  }
}

/** Opens an item's history, in full as the service has it. */
function open(item) {
  drawer.open(item);
  reread(item.id);
}

// --- what is drawn

function newestFirst() {
  return [...items.values()].sort((a, b) => begunAt(b) - begunAt(a) || (a.id < b.id ? 1 : -1));
}

function isShown(item) {
  if (filter && groupOf(stateOf(item)) !== filter) return false;
  return !search || [item.id, ...list.search(item, data)].join(" ").toLowerCase().includes(search);
}

function rowOf(item) {
  let row = rows.get(item.id);
  if (row && !changed.has(item.id)) return row;
  row ??= h("tr");
  rows.set(item.id, row);
  const focused = row.contains(document.activeElement);
  const state = stateOf(item);
  const opener = h("button", { class: "link id", title: item.id, "data-item": item.id, onclick: () => open(items.get(item.id)) }, shortId(item.id));
  row.replaceChildren(
    h("th", { scope: "row" }, opener),
    ...list.columns.map(({ num, narrow, show }) => h("td", { class: [num && "num", narrow ?? "wide"].filter(Boolean).join(" ") }, show(item, data))),
    h("td", { class: "state" },
      h("span", { class: `badge ${groupOf(state)}` }, stateName(state)),
      item.reason ? h("span", { class: "muted why" }, reasonName(item.reason)) : null),
    h("td", { class: "saga" }, track(item)),
    h("td", { class: "num muted wide" }, time(begunAt(item))));
  row.onclick = (event) => { if (!event.target.closest("button, a") && !getSelection().toString()) open(items.get(item.id)); };
  if (focused) opener.focus();
  return row;
}

let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  const all = newestFirst();
  const shown = all.filter(isShown);
  arrange(document.getElementById("rows"), shown.map(rowOf));
  for (const id of changed) {
    const item = items.get(id);
    if (item) drawer.update(item);
  }
  changed.clear();
  drawCounters(all);
  const known = total ?? all.length;
  document.getElementById("total").textContent =
    known > all.length ? `the newest ${count(all.length)} of ${count(known)}` : count(all.length);
  const empty = document.getElementById("empty");
  empty.hidden = shown.length > 0;
  empty.textContent = all.length > 0 ? `No ${list.one} here matches.` : list.empty;
}

const counters = new Map(business.groups.map(([group, name]) => {
  const number = h("strong", {}, "0");
  const button = h("button", {
    class: group,
    "aria-pressed": "false",
    onclick: () => {
      filter = filter === group ? null : group;
      drawSoon();
    },
  }, number, h("span", {}, name));
  document.getElementById("counters").append(h("li", {}, button));
  return [group, { button, number }];
}));

function drawCounters(all) {
  const sums = Map.groupBy(all, (item) => groupOf(stateOf(item)));
  for (const [group, { button, number }] of counters) {
    number.textContent = count(sums.get(group)?.length ?? 0);
    button.setAttribute("aria-pressed", String(filter === group));
  }
}

// The rows name what the collections have.
onRead(() => {
  for (const id of items.keys()) changed.add(id);
  drawSoon();
});

// --- what the user does

document.getElementById("list-title").textContent = list.many;
document.getElementById("head").replaceChildren(
  h("th", { scope: "col" }, list.one[0].toUpperCase() + list.one.slice(1)),
  ...list.columns.map(({ name, num }) => h("th", { scope: "col", class: num && "num" }, name)),
  h("th", { scope: "col" }, "State"),
  h("th", { scope: "col" }, "Saga ", h("span", { class: "steps-key", "aria-hidden": "true" }, business.steps.map((step) => step.name.toLowerCase()).join(" → "))),
  h("th", { scope: "col", class: "num" }, "Since"));

const searchField = document.getElementById("search");
searchField.placeholder = list.finds;
searchField.addEventListener("input", () => {
  search = searchField.value.trim().toLowerCase();
  drawSoon();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    searchField.focus();
  } else if (event.key === "Escape" && event.target === searchField) {
    searchField.blur();
  }
});

// Up and down go from row to row.
document.getElementById("rows").addEventListener("keydown", (event) => {
  const row = event.target.closest("tr");
  const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
  if (!next) return;
  event.preventDefault();
  next.querySelector("button").focus();
});

// A link to an item opens it.
let wanted = "";
try {
  wanted = decodeURIComponent(location.hash.slice(1));
} catch {
  // Not one of our links.
}
if (wanted) {
  read(wanted).then((item) => {
    keep(item);
    drawer.open(item);
  }, (problem) => toast(problem.message, "bad"));
}
