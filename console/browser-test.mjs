// The page in a real browser: places an order, sees its saga move without reload, cancels it, by keyboard too.
//
//   node --experimental-websocket console/browser-test.mjs http://127.0.0.1:8088 [folder for screenshots]
//
// Needs chromium and Node 20 or later, no package. Exit status 1 and a word why when something is not as it should be.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [url = "http://127.0.0.1:8088", pictures] = process.argv.slice(2);
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

async function run() {
  const page = await openPage();
  /** Asks the page again and again until it is so. */
  const becomes = async (what, expression) => {
    const end = Date.now() + PATIENCE_MS;
    while (!(await page.evaluate(expression))) {
      if (Date.now() > end) throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    check(what, true);
  };
  const row = "document.querySelector('#rows tr')";

  await page.size(1440, 1000);
  await page.send("Page.navigate", { url: `${url}/` });
  await becomes("the page is live", "document.getElementById('connection')?.dataset.state === 'live'");

  const product = `browser-${Date.now()}`;
  await page.evaluate(`(() => { const form = document.getElementById('register'); form.elements.name.value = 'Browser coat';
    form.elements.id.value = '${product}'; form.elements.stock.value = 3; form.requestSubmit(); })()`);
  await becomes("a registered product is offered", `document.getElementById('place').elements.productId.value === '${product}'`);

  await page.evaluate(`(() => { const form = document.getElementById('place'); form.elements.qty.value = 2;
    form.dispatchEvent(new Event('input')); form.requestSubmit(); })()`);
  await becomes("the order shows without reload", `${row}?.innerText.includes('Browser coat')`);
  await becomes("its saga moves to delivery without reload", `${row}.classList.contains('done')`);
  check("all four steps are done", await page.evaluate(`${row}.querySelectorAll('.track .done').length === 4`));
  await becomes("the stock follows", "document.getElementById('stock').innerText.includes('1 of 3')");
  await page.picture("orders");

  await page.evaluate("document.querySelector('#rows button').focus()");
  await page.key("Enter", 13);
  await becomes("Enter opens the history", "document.getElementById('drawer').open");
  check("the history has its four changes", await page.evaluate("document.querySelectorAll('.timeline li').length === 4"));
  await page.evaluate("document.querySelector('#drawer .danger').click()");
  await becomes("a cancelled order unwinds without reload", "document.querySelector('#drawer .badge').innerText === 'Cancelled'");
  await page.picture("history");
  await page.key("Escape", 27);
  await becomes("Escape closes the history", "!document.getElementById('drawer').open");
  check("the focus is back at the order", await page.evaluate("document.activeElement.closest('#rows') !== null"));
  await becomes("the stock is whole again", "document.getElementById('stock').innerText.includes('3 of 3')");

  await page.evaluate(`(() => { const form = document.getElementById('place'); form.elements.qty.value = 0; form.requestSubmit(); })()`);
  await becomes("a mistake is told beside the form", "document.querySelector('#place .error').innerText.includes('qty')");

  await page.size(360, 780);
  check("360 pixels need no sideways scrolling", await page.evaluate("document.documentElement.scrollWidth <= 360"));
  await page.picture("phone");
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
rmSync(profile, { recursive: true, force: true });
if (failed) {
  process.stderr.write(`FAILED  ${failed.message}\n`);
  process.exit(1);
}
