// The side column: for each role of the business what it looks after, as a small table, and what it asks for, as forms.

import { business } from "./business.js";
import { data, onRead, refresh } from "./data.js";
import { arrange, h, toast } from "./dom.js";
import { count } from "./format.js";

const forms = [];

/** The whole column. */
export function draw() {
  document.getElementById("side").append(...business.panels.map(panel));
}

function panel({ role, title, form, table, more }) {
  const id = `panel-${title.toLowerCase().replaceAll(" ", "-")}`;
  return h("section", { class: "panel", "aria-labelledby": id },
    h("p", { class: "eyebrow" }, role),
    h("h2", { id }, title),
    form ? formOf(form) : null,
    table ? tableOf(table, title) : null,
    more ? disclosureOf(more) : null);
}

/** A form of its own below a table, closed while the table has something. */
function disclosureOf({ title, form, openWithout }) {
  const box = h("details", {}, h("summary", {}, title), formOf(form));
  let first = true;
  onRead(() => {
    if (first) box.open = data[openWithout].length === 0;
    first = false;
  });
  return box;
}

// --- forms

function formOf({ id, fields, submit, total, send, chooses }) {
  const sum = h("output", {}, "–");
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const button = h("button", { class: "primary", type: "submit" }, submit);
  const form = h("form", { id, novalidate: true },
    fields.map((field) => (Array.isArray(field) ? h("div", { class: "pair" }, field.map(fieldOf)) : fieldOf(field))),
    total ? h("p", { class: "sum" }, "Total ", sum) : null,
    error,
    button);
  const filled = () => Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  const showSum = () => {
    const amount = total?.(filled(), data);
    sum.textContent = amount ?? "–";
  };
  form.addEventListener("input", showSum);
  onRead(() => {
    for (const { name, choices } of fields.flat()) if (choices) showChoices(form.elements[name], choices(data));
    showSum();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-busy") === "true") return;
    error.hidden = true;
    button.setAttribute("aria-busy", "true");
    try {
      const { answer, say } = await send(filled(), data);
      for (const { name, once } of fields.flat()) if (once) form.elements[name].value = "";
      await refresh();
      if (chooses) choose(chooses, answer.id);
      toast(say);
    } catch (problem) {
      error.textContent = problem.message;
      error.hidden = false;
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  forms.push(form);
  return form;
}

function fieldOf({ name, label, optional, number, value, choices }) {
  const control = choices
    ? h("select", { name, required: true })
    : h("input", { name, value, maxlength: optional ? 128 : 500, autocomplete: "off", spellcheck: "false", ...(number && { type: "number", min: number.min, step: 1, inputmode: "numeric" }) });
  return h("label", {}, label, optional ? h("span", { class: "muted" }, " optional") : null, control);
}

function showChoices(select, choices) {
  const shown = [...select.options].map((option) => `${option.value} ${option.text}`).join("\n");
  if (shown !== choices.map(([value, text]) => `${value} ${text}`).join("\n")) {
    const before = select.value;
    select.replaceChildren(...choices.map(([value, text]) => h("option", { value }, text)));
    if (choices.some(([value]) => value === before)) select.value = before;
  }
  select.form.querySelector("button[type=submit]").disabled = choices.length === 0;
}

/** What was just made is what the next form is likely about. */
function choose(name, value) {
  for (const form of forms) {
    const control = form.elements[name];
    if (!(control instanceof HTMLSelectElement) || ![...control.options].some((option) => option.value === value)) continue;
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

// --- tables

function tableOf({ id, of, head, row, empty, as }, title) {
  const body = h("tbody", { id });
  const nothing = h("p", { class: "empty", hidden: true });
  const who = as ? h("input", { name: as.name, value: as.value, maxlength: 128, autocomplete: "off", spellcheck: "false" }) : null;
  const rows = new Map();
  onRead(() => {
    const known = new Set(data[of].map((item) => item.id));
    for (const key of rows.keys()) if (!known.has(key)) rows.delete(key);
    for (const item of data[of]) show(rows, item, row(item, data), who);
    arrange(body, data[of].map((item) => rows.get(item.id).element));
    nothing.hidden = data[of].length > 0 && data.more[of] === 0;
    nothing.textContent = data[of].length === 0 ? empty : `and ${count(data.more[of])} more`;
  });
  return h("div", {},
    as ? h("label", { class: "as" }, as.label, who) : null,
    h("table", { class: "small-table" },
      h("caption", { class: "visually-hidden" }, title),
      h("thead", {}, h("tr", {},
        head.map((name, i) => h("th", { scope: "col", class: i > 0 && "num" }, name)),
        h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Actions")))),
      body),
    nothing);
}

/** Draws a row anew when its item changed; what does not change keeps its focus. */
function show(rows, item, { name, note, cells, actions }, who) {
  const version = JSON.stringify(item);
  const known = rows.get(item.id);
  if (known?.version === version) return;
  const element = known?.element ?? h("tr", { "data-key": item.id });
  const focused = element.contains(document.activeElement);
  element.replaceChildren(
    h("th", { scope: "row" }, h("span", { class: "name" }, name), h("span", { class: "muted id" }, note)),
    ...cells.map((cell) => h("td", { class: "num" }, cell)),
    h("td", { class: "num acts" }, actions.map((action) => actionOf(action, name, who))));
  if (focused) element.querySelector("button")?.focus();
  rows.set(item.id, { version, element });
}

function actionOf({ text, label, danger, run }, name, who) {
  const button = h("button", {
    class: `small${danger ? " danger" : ""}`,
    "aria-label": `${label ?? text} ${name}`,
    onclick: async () => {
      button.disabled = true;
      try {
        const say = await run(who?.value);
        if (say) toast(say);
      } catch (problem) {
        toast(problem.message, "bad");
      }
      button.disabled = false;
      // After a refusal too: it is likely that the table was out of date.
      await refresh().catch((problem) => toast(problem.message, "bad"));
    },
  }, text);
  return button;
}
