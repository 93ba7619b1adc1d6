/** Who looks at this window, and who else is there: a name and a hue each. */

import { h } from "./dom.js";
import { cut } from "./words.js";

const KIND = ["Amber", "Brisk", "Calm", "Early", "Gentle", "Honest", "Keen", "Mild", "Quiet", "Swift", "Warm", "Wise"];
const WHO = ["Badger", "Crane", "Finch", "Hare", "Heron", "Lynx", "Marten", "Otter", "Robin", "Stoat", "Swan", "Wren"];
const NAME_MAX = 40;
const KEPT = "stead-console-me";

/** This window: each has its own, and keeps it when it is loaded again. */
export const me = recall();

function recall() {
  const kept = parse(sessionStorage.getItem(KEPT));
  if (kept !== undefined) return kept;
  const any = (list) => list[Math.floor(Math.random() * list.length)];
  const fresh = { name: `${any(KIND)} ${any(WHO)}`, hue: Math.floor(Math.random() * 24) * 15 };
  sessionStorage.setItem(KEPT, JSON.stringify(fresh));
  return fresh;
}

/** @param {string} name */
export function rename(name) {
  me.name = cut(name.trim() || "Somebody", NAME_MAX);
  sessionStorage.setItem(KEPT, JSON.stringify(me));
}

function parse(text) {
  try {
    const value = JSON.parse(text ?? "");
    return typeof value?.name === "string" && typeof value?.hue === "number" ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What others show of themselves is whatever they like: a name is taken where there is one, and a hue.
 * @param {any} data
 * @returns {{ name: string, hue: number }}
 */
export function person(data) {
  const name = typeof data?.name === "string" && data.name.trim() !== "" ? cut(data.name, NAME_MAX) : "Somebody";
  const hue = typeof data?.hue === "number" && Number.isFinite(data.hue) ? Math.abs(data.hue) % 360 : 210;
  return { name, hue };
}

/** @param {string} id @param {any} data @param {string} [note] */
export function chip(id, data, note) {
  const { name, hue } = person(data);
  return h("li.person", { key: id, vars: { "--hue": String(hue) } }, h("span.who", null, name), note && h("span.note", null, note));
}

/** A field to change one's own name. @param {() => void} renamed */
export function nameField(renamed) {
  const input = h("input", { value: me.name, maxlength: NAME_MAX, "aria-label": "Your name", autocomplete: "off", spellcheck: "false" });
  input.onchange = () => {
    rename(input.value);
    input.value = me.name;
    renamed();
  };
  return h("label.me", { vars: { "--hue": String(me.hue) } }, "You are ", input);
}
