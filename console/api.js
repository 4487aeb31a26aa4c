// The service: requests, and the stream of status changes.

/** What the service answered instead of what was asked for. */
export class Problem extends Error {
  constructor(status, body) {
    const fields = (body.errors ?? []).map((e) => `${e.field} ${e.detail}`).join("; ");
    super(fields || body.detail || `The service answered ${status}.`);
    this.status = status;
  }
}

async function call(method, path, body, headers = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { accept: "application/json", ...(body && { "content-type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, { detail: "The service cannot be reached." });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

const part = encodeURIComponent;

export const orders = (size) => call("GET", `/orders?size=${size}&sort=id,desc`);
export const order = (id) => call("GET", `/orders/${part(id)}`);
export const products = () => call("GET", "/products?size=200");
/** Repeating a command after an answer that got lost is safe: the key makes it the same command. */
export const place = (body) => call("POST", "/orders", body, { prefer: "wait=0", "idempotency-key": crypto.randomUUID?.() ?? String(Math.random()) });
export const cancel = (id) => call("DELETE", `/orders/${part(id)}`);
export const cancelAsMd = (orderId) => call("POST", "/cancellations", { orderId });
export const register = (body) => call("POST", "/products", body);
export const restock = (id, qty) => call("POST", `/products/${part(id)}/restocks`, { qty });

/**
 * Follows the status changes. `on.status` gets each; `on.state` hears `live` and `waiting`; `on.gap` that something may have
 * been missed, so that lists are to be read again.
 */
export function follow(on) {
  let last = "";
  let wasLive = false;
  const open = () => {
    const source = new EventSource(`/orders/events${last && `?last-event-id=${part(last)}`}`);
    const seen = (event) => { if (event.lastEventId) last = event.lastEventId; };
    source.addEventListener("hello", (event) => {
      seen(event);
      on.state("live");
      // The first lists are read after the stream is open; later ones only when there was a gap.
      if (!wasLive) on.gap();
      wasLive = true;
    });
    source.addEventListener("status", (event) => { seen(event); on.status(JSON.parse(event.data)); });
    source.addEventListener("expired", (event) => { seen(event); on.gap(); });
    source.addEventListener("error", () => {
      on.state("waiting");
      // A refused stream is not opened again by the browser.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    });
  };
  open();
}
