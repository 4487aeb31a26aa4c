// ebook-rental as the console shows it; `fashion-store.js` says what a description has.

import { command, part, start, told } from "./api.js";
import { money, shortId, time } from "./format.js";
import { h } from "./dom.js";
import { PAYMENT_BREAKER, PAYMENT_REASONS } from "./payment.js";

const change = (id, body) => command("PATCH", `/ebook-rental/rents/${part(id)}`, body);

/** A decision of the librarian about a rent. */
const decide = async ({ id, bookName }, status, librarianId, done) =>
  told(await change(id, { status, ...(librarianId && { librarianId }) }), `${bookName}: ${done}`);

export default {
  app: "ebook-rental",
  list: {
    name: "rents",
    one: "rent",
    many: "Rents",
    state: "status",
    begun: "requestedAt",
    finds: "Rent, book, member",
    search: (rent) => [rent.bookId, rent.bookName, rent.userId],
    empty: "No rent yet. Register a book and request the first one.",
    columns: [
      { name: "Book", narrow: "first", show: (rent) => rent.bookName || rent.bookId },
      { name: "Member", show: (rent) => rent.userId || "anonymous" },
      { name: "Fee", num: true, narrow: "second", show: (rent) => money(rent.rentalFee) },
    ],
  },
  collections: { books: "asc", waitingapprovals: "asc" },
  states: {
    REQUESTED: ["Requested", "open"],
    RENTED: ["Book kept", "open"],
    PAYMENT_DEFERRED: ["Payment put off", "deferred"],
    PAID: ["Paid, to approve", "waiting"],
    APPROVED: ["Being read", "held"],
    RETURNED: ["Returned", "done"],
    CANCELING: ["Cancelling", "unwinding"],
    CANCELED: ["Cancelled", "cancelled"],
  },
  groups: [
    ["open", "In progress"],
    ["deferred", "Payment put off"],
    ["waiting", "To approve"],
    ["held", "Being read"],
    ["done", "Returned"],
    ["unwinding", "Unwinding"],
    ["cancelled", "Cancelled"],
  ],
  reasons: {
    ...PAYMENT_REASONS,
    TAKEN_BY_ANOTHER: "another has it",
    UNKNOWN_BOOK: "unknown book",
    REJECTED: "rejected by the librarian",
    APPROVAL_TIMEOUT: "not approved in time",
  },
  steps: [
    { name: "Request", state: "REQUESTED" },
    { name: "Book", state: "RENTED", fails: ["TAKEN_BY_ANOTHER", "UNKNOWN_BOOK"] },
    { name: "Payment", state: "PAID", fails: ["PAYMENT_DECLINED", "PAYMENT_TIMEOUT"] },
    { name: "Approval", state: "APPROVED", fails: ["REJECTED", "APPROVAL_TIMEOUT"], by: "librarian" },
    { name: "Return", state: "RETURNED", by: "member" },
  ],
  facts: (rent) => [
    ["Book", rent.bookName || rent.bookId],
    ["Fee", money(rent.rentalFee)],
    ["Member", rent.userId || "anonymous"],
  ],
  actions: ({ id, status }) => (status !== "APPROVED" ? [] : [
    { text: "Return the book", run: async () => told(await change(id, { status: "RETURNED" }), "The book is returned.") },
  ]),
  panels: [
    {
      role: "Member",
      title: "Rent a book",
      form: {
        id: "rent",
        submit: "Rent and pay",
        fields: [
          {
            name: "bookId",
            label: "Book",
            choices: ({ books }) => books.map(({ id, bookName, rentalFee, status }) =>
              [id, `${bookName} (${money(rentalFee)})${status === "POSSIBLE" ? "" : ", taken"}`]),
          },
          { name: "userId", label: "Member", optional: true },
        ],
        total: ({ bookId }, { books }) => {
          const book = books.find(({ id }) => id === bookId);
          return book ? money(book.rentalFee) : null;
        },
        send: async (fields, { books }) => {
          const { bookName, rentalFee } = books.find(({ id }) => id === fields.bookId) ?? {};
          const answer = await start("/ebook-rental/rents", { ...fields, bookName, rentalFee });
          return { answer, say: told(answer, `Rent ${shortId(answer.id)} is requested.`) };
        },
      },
    },
    {
      role: "Librarian",
      title: "To approve",
      table: {
        id: "approvals",
        of: "waitingapprovals",
        as: { name: "librarianId", label: "Librarian", value: "librarian-1" },
        head: ["Book"],
        empty: "Nothing waits for a decision.",
        row: (approval) => ({
          name: approval.bookName,
          note: `${approval.userId || "anonymous"} · ${time(approval.requestedAt)}`,
          cells: [],
          actions: [
            { text: "Approve", run: (librarian) => decide(approval, "APPROVED", librarian, "approved.") },
            { text: "Reject", danger: true, run: (librarian) => decide(approval, "REJECTED", librarian, "rejected; the payment is given back.") },
          ],
        }),
      },
    },
    {
      role: "Librarian",
      title: "Books",
      table: {
        id: "books",
        of: "books",
        head: ["Book", "State"],
        empty: "No book yet.",
        row: (book) => ({
          name: book.bookName,
          note: `${book.id} · ${money(book.rentalFee)}`,
          cells: [book.status === "POSSIBLE" ? h("span", { class: "badge done" }, "Free") : h("span", { class: "badge held" }, "Taken")],
          actions: [],
        }),
      },
      more: {
        title: "Register a book",
        openWithout: "books",
        form: {
          id: "register",
          submit: "Register",
          chooses: "bookId",
          fields: [
            { name: "bookName", label: "Title", once: true },
            [{ name: "rentalFee", label: "Fee, ₩", number: { min: 0 }, value: 3000 }, { name: "id", label: "Id", optional: true, once: true }],
          ],
          send: async (fields) => {
            const answer = await start("/ebook-rental/books", fields);
            return { answer, say: told(answer, `${fields.bookName} is registered.`) };
          },
        },
      },
    },
  ],
  breaker: PAYMENT_BREAKER,
};
