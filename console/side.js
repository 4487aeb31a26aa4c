// The side column: placing an order, the stock, registering a product.

import * as api from "./api.js";
import { arrange, h, toast } from "./dom.js";
import { count, money } from "./format.js";

const placeForm = document.getElementById("place");
const registerForm = document.getElementById("register");
const stockRows = document.getElementById("stock");
const sum = document.getElementById("sum");
const rows = new Map();
let products = [];

/** A handler for a form: one request at a time, errors beside the fields. */
function onSubmit(form, send) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    if (button.getAttribute("aria-busy") === "true") return;
    const error = form.querySelector(".error");
    const fields = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
    error.hidden = true;
    button.setAttribute("aria-busy", "true");
    try {
      await send(fields);
    } catch (problem) {
      error.textContent = problem.message;
      error.hidden = false;
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
}

/** The name of a product, or its id while no such product is known. */
export const productName = (id) => products.find((product) => product.id === id)?.name ?? id;

const chosen = () => products.find((product) => product.id === placeForm.elements.productId.value);

function total() {
  const product = chosen();
  const qty = Number(placeForm.elements.qty.value);
  return product && qty > 0 ? product.price * qty : null;
}

function showTotal() {
  const amount = total();
  sum.textContent = amount === null ? "–" : money(amount);
}
placeForm.addEventListener("input", showTotal);

/** `onPlaced` gets the order as it was answered. */
export function start(onPlaced) {
  onSubmit(placeForm, async (fields) => {
    const order = await api.place({ ...fields, price: total() ?? 0 });
    onPlaced(order);
    toast(`Order ${order.id} is placed.`);
  });
  onSubmit(registerForm, async (fields) => {
    const product = await api.register(fields);
    registerForm.elements.name.value = "";
    registerForm.elements.id.value = "";
    await refresh();
    placeForm.elements.productId.value = product.id;
    showTotal();
    toast(`${product.name} is registered.`);
  });
}

/** Reads the products again. */
export async function refresh() {
  const page = await api.products();
  products = page._embedded.products;
  showStock(page.page.totalElements);
  showChoices();
}

function showStock(totalElements) {
  const no = document.getElementById("no-stock");
  no.hidden = products.length > 0;
  if (products.length === 0) {
    document.getElementById("register-box").open = true;
  } else if (totalElements > products.length) {
    no.textContent = `and ${count(totalElements - products.length)} more`;
    no.hidden = false;
  }
  for (const product of products) {
    const row = rows.get(product.id) ?? newRow(product);
    rows.set(product.id, row);
    row.free.textContent = count(product.stock);
    row.of.textContent = ` of ${count(product.onHand)}`;
    const share = product.onHand > 0 ? product.stock / product.onHand : 0;
    row.bar.style.width = `${Math.round(share * 100)}%`;
    row.bar.className = product.stock === 0 ? "none" : share < 0.2 ? "low" : "";
  }
  arrange(stockRows, products.map((product) => rows.get(product.id).row));
}

function newRow(product) {
  const free = h("strong");
  const of = h("span", { class: "muted" });
  const bar = h("span");
  const restock = h("button", {
    class: "small",
    "aria-label": `Add 10 pieces of ${product.name}`,
    onclick: async () => {
      restock.disabled = true;
      try {
        await api.restock(product.id, 10);
        await refresh();
      } catch (problem) {
        toast(problem.message, "bad");
      } finally {
        restock.disabled = false;
      }
    },
  }, "+10");
  const row = h("tr", {},
    h("th", { scope: "row" }, h("span", { class: "name" }, product.name), h("span", { class: "muted id" }, `${product.id} · ${money(product.price)}`)),
    h("td", { class: "num" }, free, of, h("span", { class: "bar", "aria-hidden": "true" }, bar)),
    h("td", { class: "num" }, restock));
  return { row, free, of, bar };
}

function showChoices() {
  const select = placeForm.elements.productId;
  const before = select.value;
  const options = [...select.options].map((option) => option.value);
  if (options.join("\n") !== products.map((product) => product.id).join("\n")) {
    select.replaceChildren(...products.map((product) => h("option", { value: product.id }, `${product.name} (${money(product.price)})`)));
    if (options.includes(before)) select.value = before;
  }
  placeForm.querySelector("button[type=submit]").disabled = products.length === 0;
  showTotal();
}
