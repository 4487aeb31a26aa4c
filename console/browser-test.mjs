// The pages in a real browser: of each business a saga is walked through by clicks and keys, and seen to move without reload.
//
//   node --experimental-websocket console/browser-test.mjs http://127.0.0.1:8088 URL-OF-PAYMENT-SIM [folder for screenshots]
//
// Needs chromium and Node 20 or later, no package. Exit status 1 and a word why when something is not as it should be.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [url, provider, pictures] = process.argv.slice(2);
const PATIENCE_MS = 15_000;

const profile = mkdtempSync(join(tmpdir(), "orderflow-browser-"));
const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"];
const chromium = spawn(process.env.CHROMIUM ?? "chromium", flags, { stdio: ["ignore", "ignore", "pipe"] });

/** The address chromium prints once it listens. */
function devtools() {
  return new Promise((resolve, reject) => {
    let text = "";
    chromium.on("error", reject);
    chromium.on("exit", () => reject(new Error(`chromium ended: ${text}`)));
    chromium.stderr.on("data", (chunk) => {
      text += chunk;
      const found = text.match(/DevTools listening on ws:\/\/([^/]+)/);
      if (found) resolve(found[1]);
    });
  });
}

/** A page, driven over the DevTools protocol. */
async function openPage() {
  const host = await devtools();
  const target = await (await fetch(`http://${host}/json/new?about:blank`, { method: "PUT" })).json();
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve) => { socket.onopen = resolve; });
  const answers = new Map();
  const errors = [];
  let next = 0;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.id) answers.get(message.id)?.(message.result ?? message.error);
    if (message.method === "Runtime.exceptionThrown") errors.push(message.params.exceptionDetails.exception?.description);
    if (message.method === "Log.entryAdded" && message.params.entry.source === "security") errors.push(message.params.entry.text);
  };
  const send = (method, params = {}) => new Promise((resolve) => {
    next += 1;
    answers.set(next, resolve);
    socket.send(JSON.stringify({ id: next, method, params }));
  });
  for (const domain of ["Page", "Runtime", "Log"]) await send(`${domain}.enable`);
  return {
    send,
    errors,
    evaluate: async (expression) => (await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true })).result?.value,
    key: async (key, code) => {
      const event = { key, code: key, windowsVirtualKeyCode: code, ...(key.length === 1 || key === "Enter" ? { text: key === "Enter" ? "\r" : key } : {}) };
      await send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
      await send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
    },
    size: (width, height) => send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 }),
    picture: async (name) => {
      if (!pictures) return;
      const { data } = await send("Page.captureScreenshot", { format: "png" });
      writeFileSync(join(pictures, `${name}.png`), Buffer.from(data, "base64"));
    },
  };
}

function check(what, holds) {
  if (!holds) throw new Error(what);
  process.stdout.write(`ok  ${what}\n`);
}

/** What a test does on a page: as a person does it, by clicking and typing, and by looking until it is so. */
function hands(page) {
  const becomes = async (what, expression) => {
    const end = Date.now() + PATIENCE_MS;
    while (!(await page.evaluate(expression))) {
      if (Date.now() > end) throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    check(what, true);
  };
  const text = (selector) => `(document.querySelector('${selector}')?.innerText ?? '')`;
  return {
    becomes,
    /** Opens a page, and leaves a mark in it that a reload would lose. */
    visit: async (app) => {
      await page.send("Page.navigate", { url: `${url}/console/${app}` });
      await becomes(`${app}: the page is live`, `location.pathname === '/console/${app}' && document.getElementById('connection')?.dataset.state === 'live'`);
      await page.evaluate("window.notReloaded = true");
      check(`${app}: is marked in the navigation`, await page.evaluate(`${text("#pages [aria-current=page]")} === '${app}'`));
    },
    shows: (what, selector, words) => becomes(what, `${text(selector)}.includes('${words}')`),
    /** Fills a form's fields and sends it, by its button. */
    fill: async (form, fields) => {
      for (const [name, value] of Object.entries(fields)) {
        await page.evaluate(`(() => { const field = document.getElementById('${form}').elements['${name}'];
          field.value = ${JSON.stringify(value)}; field.dispatchEvent(new Event('input', { bubbles: true })); })()`);
      }
      await page.evaluate(`document.querySelector('#${form} button[type=submit]').click()`);
    },
    /** Presses the button with these words. */
    press: async (within, words) => {
      const button = `[...document.querySelectorAll('${within} button')].find((b) => b.innerText === '${words}' && !b.disabled)`;
      await becomes(`${words} can be pressed`, `!!${button}`);
      await page.evaluate(`${button}.click()`);
    },
    /** Opens the newest item's history by keyboard; closes it. */
    openNewest: async () => {
      await page.evaluate("document.querySelector('#rows button').focus()");
      await page.key("Enter", 13);
      await becomes("Enter opens the history", "document.getElementById('drawer').open");
    },
    close: async () => {
      await page.key("Escape", 27);
      await becomes("Escape closes the history", "!document.getElementById('drawer').open");
      await becomes("the focus is back in the list", "document.activeElement.closest('#rows') !== null");
    },
    /** A picture wide and narrow, and that nothing needs scrolling sideways. */
    look: async (name) => {
      check(`${name}: nothing was reloaded`, await page.evaluate("window.notReloaded === true"));
      await page.picture(name);
      for (const width of [900, 360]) {
        await page.size(width, 780);
        check(`${name}: ${width} pixels need no sideways scrolling`, await page.evaluate(`document.documentElement.scrollWidth <= ${width}`));
      }
      await page.picture(`${name}-narrow`);
      await page.size(1440, 1000);
    },
  };
}

const NEWEST = "#rows tr:first-child .badge";
/** All steps of the newest item's saga are done. */
const ALL_DONE = "document.querySelectorAll('#rows tr:first-child .track li:not(.done)').length === 0";
const unique = Date.now().toString(36);

async function fashionStore(page, { visit, fill, shows, becomes, press, openNewest, close, look }) {
  await visit("fashion-store");
  await fill("register", { name: "Browser coat", id: `coat-${unique}`, stock: "3" });
  await becomes("a registered product is offered", `document.getElementById('place').elements.productId.value === 'coat-${unique}'`);
  await fill("place", { qty: "2" });
  await shows("the order shows without reload", "#rows tr", "Browser coat");
  await shows("its saga moves to delivery without reload", NEWEST, "On its way");
  check("all four steps are done", await page.evaluate(ALL_DONE));
  await shows("the stock follows", `#stock [data-key=coat-${unique}]`, "1 of 3");

  await openNewest();
  check("the history has its four changes", await page.evaluate("document.querySelectorAll('.timeline li').length === 4"));
  await shows("and what was ordered", "#drawer .facts", "Browser coat");
  await press("#drawer", "Cancel for the customer");
  await shows("a cancelled order unwinds without reload", "#drawer .badge", "Cancelled");
  await page.picture("history");
  await close();
  await shows("the stock is whole again", `#stock [data-key=coat-${unique}]`, "3 of 3");
  await fill("place", { qty: "0" });
  await shows("a mistake is told beside the form", "#place .error", "qty");
  await look("fashion-store");
}

async function taxi(page, { visit, fill, shows, becomes, press, look }) {
  await visit("taxi");
  await fill("call", { startLocation: "Gangnam", endLocation: `Seoul station ${unique}`, passengerId: "ann" });
  await shows("the call waits for a driver", NEWEST, "Waits for a driver");
  await shows("it is on the drivers' list", "#opencalls", unique);
  await page.picture("taxi-open");
  await press("#opencalls", "Accept");
  await shows("the passenger's call is assigned without reload", NEWEST, "Assigned");
  check("all three steps are done", await page.evaluate(ALL_DONE));
  await becomes("it is gone from the drivers' list", `!document.getElementById('opencalls').innerText.includes('${unique}')`);
  await shows("the passenger sees the driver", "#rows tr", "driver-1");
  await look("taxi");
}

async function ebookRental(page, { visit, fill, shows, becomes, press, openNewest, close, look }) {
  await visit("ebook-rental");
  await fill("register", { bookName: "The Browser", id: `book-${unique}` });
  await becomes("a registered book is offered", `document.getElementById('rent').elements.bookId.value === 'book-${unique}'`);
  await fill("rent", { userId: "mia" });
  await shows("the paid rent is put before the librarian", NEWEST, "Paid, to approve");
  await shows("the book is taken", `#books [data-key=book-${unique}]`, "Taken");
  await press("#approvals", "Approve");
  await shows("an approved rent is read", NEWEST, "Being read");
  await becomes("nothing is left to approve", "document.querySelectorAll('#approvals tr').length === 0");
  await openNewest();
  await press("#drawer", "Return the book");
  await shows("the returned rent is over", "#drawer .badge", "Returned");
  await close();
  check("all five steps are done", await page.evaluate(ALL_DONE));
  await shows("the book is free", `#books [data-key=book-${unique}]`, "Free");

  await fill("rent", { userId: "ben" });
  await press("#approvals", "Reject");
  await shows("a rejected rent is cancelled", NEWEST, "Cancelled");
  await shows("and says why", "#rows tr", "rejected by the librarian");
  await look("ebook-rental");
}

async function gdmarket(page, { visit, fill, shows, becomes, press, openNewest, close, look }) {
  await visit("gdmarket");
  await fill("register", { name: "Browser tent", id: `tent-${unique}` });
  await becomes("a registered item is offered", `document.getElementById('request').elements.itemId.value === 'tent-${unique}'`);
  await fill("request", { renterId: "joe" });
  await shows("the paid item goes out without reload", NEWEST, "Rented out");
  await shows("the manager sees it out", `#items [data-key=tent-${unique}]`, "Rented out");
  await fill("request", { renterId: "sue" });
  await shows("who comes second is told", "#rows tr", "another has it");
  await page.picture("gdmarket-out");
  await press("#items", "Delete");
  await shows("an item that is out is not deleted", "#toasts .bad", "rental");
  await openNewest();
  await close();
  await page.key("ArrowDown", 40);
  await page.key("Enter", 13);
  await shows("the keys lead to the rental below", "#drawer .badge", "Rented out");
  await press("#drawer", "Return the item");
  await shows("the returned rental is over", "#drawer .badge", "Returned");
  await close();
  await shows("the manager sees it back", `#items [data-key=tent-${unique}]`, "Available");
  await press("#items", "Delete");
  await shows("an item that is back is deleted", `#items [data-key=tent-${unique}]`, "Deleted");
  await look("gdmarket");
}

/** The provider is down for a while: the breaker is seen to open, and to close again. */
async function breaker(page, { visit, fill, shows, becomes, look }) {
  const set = (settings) => fetch(`${provider}/settings`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(settings) });
  const order = async () => {
    const before = await page.evaluate("document.querySelectorAll('#rows tr').length");
    await fill("place", { qty: "1" });
    await becomes("an order is placed", `document.querySelectorAll('#rows tr').length > ${before}`);
  };
  await visit("fashion-store");
  await fill("register", { name: "Patient coat", id: `patient-${unique}`, stock: "100" });
  await becomes("a patient coat is offered", `document.getElementById('place').elements.productId.value === 'patient-${unique}'`);
  await shows("the breaker is closed", "#breaker", "Payment breaker: closed");
  await set({ outage: true });
  // It is found open by a call it turns away: a few orders at once. A payment tried again may find it half open before the
  // page looks, so there may have to be more.
  const isOpen = () => page.evaluate("document.getElementById('breaker').textContent.endsWith(': open')");
  for (let round = 0; round < 6 && !(await isOpen()); round += 1) {
    for (let i = 0; i < 4; i += 1) await order();
    if (round === 0) await shows("the payment is put off", NEWEST, "Payment put off");
    for (let i = 0; i < 25 && !(await isOpen()); i += 1) await new Promise((passed) => setTimeout(passed, 100));
  }
  await shows("the breaker is seen to open", "#breaker", "Payment breaker: open");
  await shows("and it is said what that means", "#breaker-note", "put off");
  await look("breaker");
  await set({ outage: false });
  await becomes("every order is delivered after all", "document.querySelectorAll('#rows tr.deferred').length === 0");
  for (let i = 0; i < 2; i += 1) await order();
  await shows("the breaker is seen to close", "#breaker", "Payment breaker: closed");
  check("the note is gone", await page.evaluate("document.getElementById('breaker-note').hidden"));
}

async function run() {
  const page = await openPage();
  const does = hands(page);
  await page.size(1440, 1000);
  for (const business of [fashionStore, taxi, ebookRental, gdmarket, breaker]) await business(page, does);
  check(`no error and nothing blocked: ${page.errors.join("; ")}`, page.errors.length === 0);
}

let failed = null;
try {
  await run();
} catch (error) {
  failed = error;
}
chromium.removeAllListeners("exit");
chromium.kill();
await new Promise((resolve) => { chromium.once("exit", resolve); });
// Its helpers may write a moment longer.
for (let tries = 0; ; tries += 1) {
  try {
    rmSync(profile, { recursive: true, force: true });
    break;
  } catch (error) {
    if (tries === 20) throw error;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
}
if (failed) {
  process.stderr.write(`FAILED  ${failed.message}\n`);
  process.exit(1);
}
