// fashion-store as the console shows it. A description of a business has
//
// - `list`: its live list. The collection's `name`, the fields its items have for `state` and for when they have `begun`, what
//   people call them, what is searched, and the columns (`narrow` says where a column goes in a narrow window; without it, it
//   is left out there);
// - `collections` read beside it, each with its order by id; every function below is given what is in them as `data`;
// - `states` with their words and groups, the `groups` as counters, `reasons` in words;
// - `steps` of the saga: the state that says a step is done, the reasons (or states) for which it fails, and the person it
//   waits for, if it is one;
// - `facts` and `actions` of one item, and the `panels` of the roles;
// - the circuit `breaker` in front of what it calls.

import { command, part, start, told } from "./api.js";
import { count, money, shortId } from "./format.js";
import { h } from "./dom.js";
import { PAYMENT_BREAKER, PAYMENT_REASONS } from "./payment.js";

const product = (id, data) => data.products.find((known) => known.id === id);
const productName = (id, data) => product(id, data)?.name ?? id;

/** What an order comes to, when the form has a product and a quantity. */
function price({ productId, qty }, data) {
  const known = product(productId, data);
  return known && qty > 0 ? known.price * qty : null;
}

/** Free pieces of those on hand, as number and bar. */
function pieces({ stock, onHand }) {
  const share = onHand > 0 ? stock / onHand : 0;
  const bar = h("span", { class: share > 0 && share < 0.2 && "low" });
  bar.style.width = `${Math.round(share * 100)}%`;
  return [h("strong", {}, count(stock)), h("span", { class: "muted" }, ` of ${count(onHand)}`), h("span", { class: "bar", "aria-hidden": "true" }, bar)];
}

const CANCELLING = "The order is being cancelled.";

export default {
  app: "fashion-store",
  list: {
    name: "orders",
    one: "order",
    many: "Orders",
    state: "status",
    begun: "placedAt",
    finds: "Order, product, customer",
    search: (order, data) => [order.productId, productName(order.productId, data), order.customerId],
    empty: "No order yet. Register a product and place the first one.",
    columns: [
      { name: "Product", narrow: "first", show: (order, data) => [productName(order.productId, data), h("span", { class: "muted" }, order.size && ` · ${order.size}`)] },
      { name: "Qty", num: true, show: (order) => count(order.qty) },
      { name: "Price", num: true, narrow: "second", show: (order) => money(order.price) },
    ],
  },
  collections: { products: "asc" },
  states: {
    ORDERED: ["Ordered", "open"],
    STOCK_RESERVED: ["Reserved", "open"],
    PAYMENT_DEFERRED: ["Payment put off", "deferred"],
    PAID: ["Paid", "open"],
    DELIVERY_STARTED: ["On its way", "done"],
    CANCELLING: ["Cancelling", "unwinding"],
    DELIVERY_CANCELLED: ["Called back", "unwinding"],
    CANCELLED: ["Cancelled", "cancelled"],
  },
  groups: [
    ["open", "In progress"],
    ["deferred", "Payment put off"],
    ["done", "On their way"],
    ["unwinding", "Unwinding"],
    ["cancelled", "Cancelled"],
  ],
  reasons: {
    ...PAYMENT_REASONS,
    OUT_OF_STOCK: "out of stock",
    UNKNOWN_PRODUCT: "unknown product",
    CUSTOMER: "by the customer",
    MD: "by the merchandiser",
  },
  steps: [
    { name: "Order", state: "ORDERED" },
    { name: "Stock", state: "STOCK_RESERVED", fails: ["OUT_OF_STOCK", "UNKNOWN_PRODUCT"] },
    { name: "Payment", state: "PAID", fails: ["PAYMENT_DECLINED", "PAYMENT_TIMEOUT"] },
    { name: "Delivery", state: "DELIVERY_STARTED" },
  ],
  stages: {
    ORDER: "by the order command",
    STOCK: "by the stock",
    PAYMENT: "by the payment",
    DELIVERY: "by delivery management",
    CANCELLATION: "by a cancellation",
    DEADLINE: "by the deadline",
  },
  facts: (order, data) => [
    ["Product", `${productName(order.productId, data)}${order.size && ` · ${order.size}`}`],
    ["Quantity", count(order.qty)],
    ["Price", money(order.price)],
    ["Customer", order.customerId || "anonymous"],
  ],
  actions: ({ id, status }) => (["CANCELLED", "CANCELLING", "DELIVERY_CANCELLED"].includes(status) ? [] : [
    { text: "Cancel for the customer", danger: true, run: async () => told(await command("DELETE", `/fashion-store/orders/${part(id)}`), CANCELLING) },
    { text: "Cancel as merchandiser", danger: true, run: async () => told(await command("POST", "/fashion-store/cancellations", { orderId: id }), CANCELLING) },
  ]),
  panels: [
    {
      role: "Customer",
      title: "Place an order",
      form: {
        id: "place",
        submit: "Place order",
        fields: [
          { name: "productId", label: "Product", choices: ({ products }) => products.map(({ id, name, price: each }) => [id, `${name} (${money(each)})`]) },
          [{ name: "size", label: "Size", value: "M" }, { name: "qty", label: "Quantity", number: { min: 1 }, value: 1 }],
          { name: "customerId", label: "Customer", optional: true },
        ],
        total: (fields, data) => {
          const amount = price(fields, data);
          return amount === null ? null : money(amount);
        },
        send: async (fields, data) => {
          const answer = await start("/fashion-store/orders", { ...fields, price: price(fields, data) ?? 0 });
          return { answer, say: told(answer, `Order ${shortId(answer.id)} is placed.`) };
        },
      },
    },
    {
      role: "Merchandiser",
      title: "Stock",
      table: {
        id: "stock",
        of: "products",
        head: ["Product", "Free"],
        empty: "No product yet.",
        row: (item) => ({
          name: item.name,
          note: `${item.id} · ${money(item.price)}`,
          cells: [pieces(item)],
          actions: [{ text: "+10", label: "Add 10 pieces of", run: async () => { await command("POST", `/fashion-store/products/${part(item.id)}/restocks`, { qty: 10 }); } }],
        }),
      },
      more: {
        title: "Register a product",
        openWithout: "products",
        form: {
          id: "register",
          submit: "Register",
          chooses: "productId",
          fields: [
            { name: "name", label: "Name", once: true },
            [{ name: "price", label: "Price, ₩", number: { min: 0 }, value: 50000 }, { name: "stock", label: "Pieces", number: { min: 0 }, value: 20 }],
            { name: "id", label: "Id", optional: true, once: true },
          ],
          send: async (fields) => {
            const answer = await start("/fashion-store/products", fields);
            return { answer, say: told(answer, `${fields.name} is registered.`) };
          },
        },
      },
    },
  ],
  breaker: PAYMENT_BREAKER,
};
