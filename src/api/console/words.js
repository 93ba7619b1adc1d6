/** Values as people read them. */

const NUMBER = new Intl.NumberFormat();
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
/** A value longer than this is cut where it is shown. Characters. */
const SHOWN_MAX = 20_000;
/** The same in a line. */
const LINE_MAX = 120;

export function number(value) {
  return NUMBER.format(value);
}

/** `3 nodes`, `1 node`. */
export function count(value, one, many = `${one}s`) {
  return `${NUMBER.format(value)} ${value === 1 ? one : many}`;
}

/** The time of a moment; of another day, with the day. */
export function time(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return String(moment);
  return (date.toDateString() === new Date().toDateString() ? TIME : DAY).format(date);
}

/** How long ago a moment is. */
export function ago(moment, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - new Date(moment).getTime()) / 1000));
  if (Number.isNaN(seconds)) return "";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** A text in which what stands between backticks is to be typed. @param {string} text @param {(typed: string) => any} typed */
export function spoken(text, typed) {
  return text.split("`").map((part, index) => (index % 2 === 1 ? typed(part) : part));
}

/** JSON over several lines. */
export function json(value) {
  const text = JSON.stringify(value, null, 2) ?? "";
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}\n… ${number(text.length - SHOWN_MAX)} characters more`;
}

/** JSON in one line. */
export function line(value) {
  return cut(JSON.stringify(value) ?? "", LINE_MAX);
}

/** A text of at most so many characters. */
export function cut(text, max) {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}

/** What an update changed, in a line. */
export function changed({ cleared, changes = {}, deleted = [], delta, too_large: tooLarge }) {
  if (tooLarge) return "too large to be kept";
  const parts = cleared ? ["all cleared"] : [];
  for (const [key, value] of Object.entries(changes)) parts.push(`${key} = ${line(value)}`);
  for (const key of deleted) parts.push(`${key} gone`);
  for (const step of delta ?? []) {
    if (step.insert !== undefined) parts.push(`+ ${line(step.insert)}`);
    if (step.delete !== undefined) parts.push(`− ${count(step.delete, "character")}`);
  }
  return cut(parts.join(", ") || "nothing", 4 * LINE_MAX);
}
