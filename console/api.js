// The service: requests, and streams of changes.

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

export const part = encodeURIComponent;

export const read = (path) => call("GET", path);

/** Gives a command and answers what it came to so far; what is refused is thrown, like what is wrong. */
export async function command(method, path, body, headers) {
  const answer = await call(method, path, body, headers);
  if (answer.verdict === "REFUSED" || answer.accepted === false) throw new Problem(200, { detail: answer.message });
  return answer;
}

/** The same, answered as soon as it is judged: what comes of it is seen on the page. */
export const start = (path, body) => command("POST", path, body, { prefer: "wait=0" });

/** What to say of a command: `done`, unless its processor has yet to judge it. */
export const told = (answer, done) =>
  (answer.status === "PENDING" ? "It is taken, and will be decided as soon as its processor is there." : done);

/**
 * Follows the changes that `path` streams. `on.status` gets each; `on.state` hears `live` and `waiting`; `on.gap` that
 * something may have been missed, so that lists are to be read again.
 */
export function follow(path, on) {
  let last = "";
  let wasLive = false;
  let source = null;
  const open = () => {
    source?.close();
    source = new EventSource(`${path}${last && `?last-event-id=${part(last)}`}`);
    const seen = (event) => { if (event.lastEventId) last = event.lastEventId; };
    source.addEventListener("hello", (event) => {
      seen(event);
      on.state?.("live");
      // The first lists are read after the stream is open; later ones only when there was a gap.
      if (!wasLive) on.gap();
      wasLive = true;
    });
    source.addEventListener("status", (event) => { seen(event); on.status(JSON.parse(event.data)); });
    source.addEventListener("expired", (event) => { seen(event); on.gap(); });
    source.addEventListener("error", () => {
      on.state?.("waiting");
      // A refused stream is not opened again by the browser.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    });
  };
  open();
  // A page that the browser keeps for going back must not keep its stream: there are six connections to a host, for all pages.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
}
