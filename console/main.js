// The page: the newest orders, live. What changed is collected and drawn once per frame, however much comes.

import * as api from "./api.js";
import * as drawer from "./drawer.js";
import * as side from "./side.js";
import { arrange, h, toast } from "./dom.js";
import { count, groupOf, money, reasonName, shortId, stateName, time } from "./format.js";
import { track } from "./saga.js";

/** Orders kept and shown; older ones leave as new ones come. */
const ORDERS_MAX = 200;
/** Between two looks at the stock while orders change, milliseconds. */
const STOCK_PAUSE = 1000;

const orders = new Map();
const rows = new Map();
const changed = new Set();
let filter = null;
let search = "";
let total = null;

const GROUPS = [
  ["open", "In progress"],
  ["deferred", "Payment put off"],
  ["done", "On their way"],
  ["unwinding", "Unwinding"],
  ["cancelled", "Cancelled"],
];

// --- what comes in

function onStatus(event) {
  const known = orders.get(event.id);
  const version = known?.history.at(-1)?.version ?? 0;
  if (event.version <= version) return;
  if (event.version > version + 1) {
    // Something of this order was before the list was read: read it whole.
    reread(event.id);
    return;
  }
  const order = known ?? { ...event, placedAt: event.at, history: [] };
  const step = { version: event.version, status: event.status, stage: event.stage, at: event.at, ...(event.reason && { reason: event.reason }) };
  order.status = event.status;
  if (event.reason) order.reason = event.reason;
  order.history = [...order.history, step];
  if (!known && total !== null) total += 1;
  keep(order);
  stockSoon();
}

const rereading = new Set();
async function reread(id) {
  if (rereading.has(id)) return;
  rereading.add(id);
  try {
    keep(await api.order(id));
  } catch {
    // Gone, or moving between instances: its next event asks again.
  } finally {
    rereading.delete(id);
  }
}

function keep(order) {
  // An answer to a request may be older than what the stream has told meanwhile.
  if ((orders.get(order.id)?.history.length ?? 0) > order.history.length) return;
  delete order._links;
  orders.set(order.id, order);
  changed.add(order.id);
  if (orders.size > ORDERS_MAX) {
    const oldest = newestFirst().at(-1);
    orders.delete(oldest.id);
    rows.delete(oldest.id);
  }
  drawSoon();
}

async function reload() {
  try {
    // The products first: the orders' rows show their names.
    await side.refresh();
    const page = await api.orders(ORDERS_MAX);
    total = page.page.totalElements;
    page._embedded.orders.forEach(keep);
    drawSoon();
  } catch (problem) {
    toast(problem.message, "bad");
    setTimeout(reload, 3000);
  }
}

let stockTimer = null;
function stockSoon() {
  stockTimer ??= setTimeout(async () => {
    try {
      await side.refresh();
    } catch {
      // The connection's state is shown already; the next change asks again.
    }
    stockTimer = null;
  }, STOCK_PAUSE);
}

// --- what is drawn

function newestFirst() {
  return [...orders.values()].sort((a, b) => b.placedAt - a.placedAt || (a.id < b.id ? 1 : -1));
}

function isShown(order) {
  if (filter && groupOf(order.status) !== filter) return false;
  const text = `${order.id} ${order.productId} ${side.productName(order.productId)} ${order.customerId ?? ""}`.toLowerCase();
  return !search || text.includes(search);
}

function rowOf(order) {
  let row = rows.get(order.id);
  if (row && !changed.has(order.id)) return row;
  row ??= h("tr");
  rows.set(order.id, row);
  const focused = row.contains(document.activeElement);
  row.className = groupOf(order.status);
  const opener = h("button", { class: "link id", title: order.id, "data-order": order.id, onclick: () => drawer.open(order) }, shortId(order.id));
  row.replaceChildren(
    h("th", { scope: "row" }, opener),
    h("td", { "data-label": "Product" }, side.productName(order.productId), order.size ? h("span", { class: "muted" }, ` · ${order.size}`) : null),
    h("td", { class: "num", "data-label": "Qty" }, count(order.qty)),
    h("td", { class: "num", "data-label": "Price" }, money(order.price)),
    h("td", { class: "state" },
      h("span", { class: `badge ${groupOf(order.status)}` }, stateName(order.status)),
      order.reason ? h("span", { class: "muted why" }, reasonName(order.reason)) : null),
    h("td", { class: "saga" }, track(order)),
    h("td", { class: "num muted placed" }, time(order.placedAt)));
  row.onclick = (event) => { if (!event.target.closest("button, a") && !getSelection().toString()) drawer.open(order); };
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
    const order = orders.get(id);
    if (order) drawer.update(order);
  }
  changed.clear();
  drawCounters(all);
  const known = total ?? all.length;
  document.getElementById("total").textContent =
    known > all.length ? `the newest ${count(all.length)} of ${count(known)}` : count(all.length);
  const empty = document.getElementById("empty");
  empty.hidden = shown.length > 0;
  empty.textContent = all.length > 0 ? "No order here matches." : "No order yet. Register a product and place the first one.";
}

const counters = new Map(GROUPS.map(([group, name]) => {
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
  const sums = new Map();
  for (const order of all) sums.set(groupOf(order.status), (sums.get(groupOf(order.status)) ?? 0) + 1);
  for (const [group, { button, number }] of counters) {
    number.textContent = count(sums.get(group) ?? 0);
    button.setAttribute("aria-pressed", String(filter === group));
  }
}

// --- what the user does

const searchField = document.getElementById("search");
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

const connection = document.getElementById("connection");
const CONNECTION = { live: "Live", waiting: "Reconnecting" };

side.start(keep);
api.follow({
  status: onStatus,
  gap: reload,
  state(state) {
    connection.dataset.state = state;
    connection.textContent = CONNECTION[state];
  },
});

// A link to an order opens it.
let wanted = "";
try {
  wanted = decodeURIComponent(location.hash.slice(1));
} catch {
  // Not one of our links.
}
if (wanted) {
  api.order(wanted).then((order) => {
    keep(order);
    drawer.open(order);
  }, (problem) => toast(problem.message, "bad"));
}
