/**
 * One object as its updates tell it: its version and its state. Pure: it takes frames and says what
 * they are to a subscriber.
 *
 * Each version passes once and in order. A frame that was seen is dropped; a gap, which no server
 * leaves, is reported, and nothing of it applied.
 */

import { applyDelta } from "./delta.js";

/** @typedef {import("../stead.js").ObjectEvent} ObjectEvent */
/** @typedef {import("../stead.js").JsonObject} JsonObject */

export class Replica {
  /** @type {number | undefined} */
  version;
  /** @type {Map<string, any> | null} a map, for a key may be `__proto__` */
  #entries = null;
  /** @type {Readonly<JsonObject> | null} the state as it was last shown, until it changes */
  #shown = null;

  /** @param {number} [since] @param {JsonObject} [state] the state at `since` */
  constructor(since, state) {
    this.version = since;
    if (since !== undefined && state !== undefined) this.#entries = new Map(Object.entries(state));
  }

  /** The state, frozen; `null` while it is not known. @returns {Readonly<JsonObject> | null} */
  get state() {
    if (this.#shown === null && this.#entries !== null) this.#shown = Object.freeze(Object.fromEntries(this.#entries));
    return this.#shown;
  }

  /** The state as an event of its own. @returns {import("../stead.js").InitEvent} */
  asInit() {
    return { type: "init", version: this.version ?? 0, state: this.state };
  }

  /**
   * @param {{ [key: string]: any }} frame an `init`, `update` or `deleted` of the server
   * @returns {ObjectEvent | "seen" | "gap"}
   */
  take(frame) {
    if (frame["type"] === "init") {
      // Also a lower version: a tombstone is kept for 30 days, then the count begins anew.
      this.version = frame["version"];
      this.#entries = frame["state"] === null ? null : new Map(Object.entries(frame["state"]));
      this.#shown = null;
      return this.asInit();
    }
    const { type: _type, ref: _ref, object: _object, ...change } = frame;
    if (this.version === undefined || change["version"] > this.version + 1) return "gap";
    if (change["version"] <= this.version) return "seen";
    this.version = change["version"];
    this.#shown = null;
    if (frame["type"] === "deleted") {
      this.#entries = new Map();
      return { type: "deleted", version: change["version"] };
    }
    this.#apply(change);
    return /** @type {ObjectEvent} */ ({ type: "update", ...change });
  }

  /** @param {{ [key: string]: any }} change */
  #apply({ cleared, changes, deleted, delta }) {
    // What is cleared is known again, whatever it was.
    if (cleared) this.#entries = new Map();
    if (this.#entries === null) return;
    for (const [key, value] of Object.entries(changes)) this.#entries.set(key, value);
    for (const key of deleted) this.#entries.delete(key);
    if (delta === undefined) return;
    const content = applyDelta(this.#entries.get("content") ?? "", delta);
    // Pictures and the like, which an editor put among the text: the state would be wrong, so it is not known.
    if (content === undefined) this.#entries = null;
    else this.#entries.set("content", content);
  }
}
