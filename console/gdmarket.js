// gdmarket as the console shows it; `fashion-store.js` says what a description has.

import { command, part, start, told } from "./api.js";
import { count, money, shortId, time } from "./format.js";
import { h } from "./dom.js";
import { PAYMENT_BREAKER, PAYMENT_REASONS } from "./payment.js";

const itemName = (id, data) => data.itemviews.find((known) => known.id === id)?.name ?? id;

const ITEM_STATES = {
  AVAILABLE: ["Available", "done"],
  LOCKED: ["Kept for a rental", "open"],
  RENTED: ["Rented out", "held"],
  DELETED: ["Deleted", "cancelled"],
};

/** Where an item is, and since when. */
function whereabouts({ status, lockedAt, rentedAt, availableAt, deletedAt }) {
  const [word, group] = ITEM_STATES[status] ?? [status, "open"];
  const since = { AVAILABLE: availableAt, LOCKED: lockedAt, RENTED: rentedAt, DELETED: deletedAt }[status];
  return [h("span", { class: `badge ${group}` }, word), since ? h("span", { class: "muted since" }, time(since)) : null].filter(Boolean);
}

const CANCELLING = "The rental is being cancelled.";

function actions({ id, status }) {
  const rental = `/gdmarket/rentals/${part(id)}`;
  const returned = { text: "Return the item", run: async () => told(await command("PATCH", rental, { status: "RETURNED" }), "The item is brought back.") };
  const cancel = { text: "Cancel for the renter", danger: true, run: async () => told(await command("DELETE", rental), CANCELLING) };
  const unpay = { text: "Cancel the payment", danger: true, run: async () => told(await command("DELETE", `/gdmarket/payments/${part(id)}`), CANCELLING) };
  switch (status) {
    case "REQUESTED": return [cancel];
    case "ITEM_LOCKED": case "PAYMENT_DEFERRED": case "PAID": return [cancel, unpay];
    case "RENTED": return [returned, cancel, unpay];
    default: return [];
  }
}

export default {
  app: "gdmarket",
  list: {
    name: "rentals",
    one: "rental",
    many: "Rentals",
    state: "status",
    begun: "requestedAt",
    finds: "Rental, item, renter",
    search: (rental, data) => [rental.itemId, itemName(rental.itemId, data), rental.renterId],
    empty: "No rental yet. Register an item and request the first one.",
    columns: [
      { name: "Item", narrow: "first", show: (rental, data) => itemName(rental.itemId, data) },
      { name: "Renter", show: (rental) => rental.renterId || "anonymous" },
      { name: "Fee", num: true, narrow: "second", show: (rental) => money(rental.fee) },
    ],
  },
  collections: { itemviews: "desc" },
  alsoFollows: "/items/events",
  states: {
    REQUESTED: ["Requested", "open"],
    ITEM_LOCKED: ["Item kept", "open"],
    PAYMENT_DEFERRED: ["Payment put off", "deferred"],
    PAID: ["Paid", "open"],
    RENTED: ["Rented out", "held"],
    RETURNED: ["Returned", "done"],
    CANCELLING: ["Cancelling", "unwinding"],
    CANCELLED: ["Cancelled", "cancelled"],
  },
  groups: [
    ["open", "In progress"],
    ["deferred", "Payment put off"],
    ["held", "Rented out"],
    ["done", "Returned"],
    ["unwinding", "Unwinding"],
    ["cancelled", "Cancelled"],
  ],
  reasons: {
    ...PAYMENT_REASONS,
    NOT_AVAILABLE: "another has it",
    UNKNOWN_ITEM: "unknown item",
    DELETED: "item deleted",
    RENTER: "by the renter",
  },
  steps: [
    { name: "Request", state: "REQUESTED" },
    { name: "Item", state: "ITEM_LOCKED", fails: ["NOT_AVAILABLE", "UNKNOWN_ITEM", "DELETED"] },
    { name: "Payment", state: "PAID", fails: ["PAYMENT_DECLINED", "PAYMENT_TIMEOUT"] },
    { name: "Out", state: "RENTED" },
    { name: "Return", state: "RETURNED", by: "renter" },
  ],
  facts: (rental, data) => [
    ["Item", itemName(rental.itemId, data)],
    ["Fee", money(rental.fee)],
    ["Renter", rental.renterId || "anonymous"],
  ],
  actions,
  panels: [
    {
      role: "Renter",
      title: "Request a rental",
      form: {
        id: "request",
        submit: "Request and pay",
        fields: [
          {
            name: "itemId",
            label: "Item",
            choices: ({ itemviews }) => itemviews.filter(({ status }) => status !== "DELETED").map(({ id, name, fee, status }) =>
              [id, `${name} (${money(fee)})${status === "AVAILABLE" ? "" : ", taken"}`]),
          },
          { name: "renterId", label: "Renter", optional: true },
        ],
        total: ({ itemId }, { itemviews }) => {
          const item = itemviews.find(({ id }) => id === itemId);
          return item ? money(item.fee) : null;
        },
        send: async (fields) => {
          const answer = await start("/gdmarket/rentals", fields);
          return { answer, say: told(answer, `Rental ${shortId(answer.id)} is requested.`) };
        },
      },
    },
    {
      role: "Item manager",
      title: "Items",
      table: {
        id: "items",
        of: "itemviews",
        head: ["Item", "State"],
        empty: "No item yet.",
        row: (item) => ({
          name: item.name,
          note: `${money(item.fee)} · rented ${count(item.rentals)}×`,
          cells: [whereabouts(item)],
          actions: item.status === "DELETED" ? [] : [{
            text: "Delete",
            danger: true,
            run: async () => told(await command("DELETE", `/gdmarket/items/${part(item.id)}`), `${item.name} is deleted.`),
          }],
        }),
      },
      more: {
        title: "Register an item",
        openWithout: "itemviews",
        form: {
          id: "register",
          submit: "Register",
          chooses: "itemId",
          fields: [
            { name: "name", label: "Name", once: true },
            [{ name: "fee", label: "Fee, ₩", number: { min: 0 }, value: 15000 }, { name: "id", label: "Id", optional: true, once: true }],
          ],
          send: async (fields) => {
            const answer = await start("/gdmarket/items", fields);
            return { answer, say: told(answer, `${fields.name} is registered.`) };
          },
        },
      },
    },
  ],
  breaker: PAYMENT_BREAKER,
};
