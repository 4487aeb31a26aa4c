// Numbers and times as people read them.

const won = new Intl.NumberFormat(undefined, { style: "currency", currency: "KRW" });
const whole = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

export const money = (amount) => won.format(amount);
export const count = (n) => whole.format(n);

/** Milliseconds as a duration. */
export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} m ${Math.round((ms % 60_000) / 1000)} s`;
  return `${Math.floor(ms / 3_600_000)} h ${Math.round((ms % 3_600_000) / 60_000)} m`;
}

/** A time of day; with its date when it is not today's. */
export function time(at) {
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  return today ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

/** To the millisecond. */
export const exactTime = (at) => `${clock.format(new Date(at))}.${String(at % 1000).padStart(3, "0")}`;

/** The end of a long id, which is where time-ordered ids differ. */
export const shortId = (id) => (id.length > 14 ? `…${id.slice(-8)}` : id);
