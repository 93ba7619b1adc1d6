/**
 * Who is present at one object, as the server's frames tell it. Pure.
 *
 * It begins anew with every connection; what changed against what was told before is one event, so a
 * listener that only follows events is never wrong about who is there.
 */

/** @typedef {import("../stead.js").Json} Json */
/** @typedef {import("../stead.js").PresenceEvent} PresenceEvent */
/** @typedef {{ id: string, data: Json }} Member */

export class Presence {
  /** @type {Map<string, Json>} */
  #members = new Map();
  /** As it was last shown, until it changes. @type {Shown | undefined} */
  #shown;

  /** Who is present now: a view that stays as it is. @returns {ReadonlyMap<string, Json>} */
  get shown() {
    return (this.#shown ??= new Shown(this.#members));
  }

  /**
   * @param {Member[]} members all who are present
   * @returns {PresenceEvent | undefined} nothing where nothing changed
   */
  begin(members) {
    const before = this.#members;
    this.#members = new Map(members.map(({ id, data }) => [id, data]));
    const stayed = members.filter(({ id }) => before.has(id));
    return this.#told({
      joined: members.filter(({ id }) => !before.has(id)),
      left: [...before.keys()].filter((id) => !this.#members.has(id)),
      changed: stayed.filter(({ id, data }) => JSON.stringify(before.get(id)) !== JSON.stringify(data)),
    });
  }

  /**
   * @param {{ [key: string]: any }} frame a `presence` of the server
   * @returns {PresenceEvent | undefined}
   */
  take({ joined = [], left = [], changed = [] }) {
    const gone = left.filter((/** @type {string} */ id) => this.#members.delete(id));
    for (const { id, data } of [...joined, ...changed]) this.#members.set(id, data);
    return this.#told({ joined, left: gone, changed });
  }

  /** @param {PresenceEvent} event */
  #told(event) {
    if (event.joined.length + event.left.length + event.changed.length === 0) return undefined;
    this.#shown = undefined;
    return event;
  }
}

/**
 * A map that nobody changes. `Object.freeze` would leave a `Map` its `set`.
 * @implements {ReadonlyMap<string, Json>}
 */
class Shown {
  #members;

  /** @param {Map<string, Json>} members */
  constructor(members) {
    this.#members = new Map(members);
    Object.freeze(this);
  }

  get size() {
    return this.#members.size;
  }

  /** @param {string} id */
  get(id) {
    return this.#members.get(id);
  }

  /** @param {string} id */
  has(id) {
    return this.#members.has(id);
  }

  keys() {
    return this.#members.keys();
  }

  values() {
    return this.#members.values();
  }

  entries() {
    return this.#members.entries();
  }

  /** @param {(data: Json, id: string, map: ReadonlyMap<string, Json>) => void} each @param {any} [self] */
  forEach(each, self) {
    for (const [id, data] of this.#members) each.call(self, data, id, this);
  }

  [Symbol.iterator]() {
    return this.#members[Symbol.iterator]();
  }
}
