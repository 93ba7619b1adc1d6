/** One object, followed: its replica, its connection, its calls, and those who listen. */

import { checkVersion } from "./address.js";
import { Calls } from "./calls.js";
import { SteadError } from "./error.js";
import { Link } from "./link.js";
import { Reader } from "./reader.js";
import { Replica } from "./replica.js";

/** @typedef {import("../stead.js").ObjectEvent} ObjectEvent */
/** @typedef {import("../stead.js").StateEvent} StateEvent */

export class Subscription {
  /** @type {Promise<void>} */
  opened;
  #replica;
  #link;
  #calls;
  #options;
  /** @type {Set<Reader>} */
  #readers = new Set();
  #isOpen = false;
  #ended = false;
  /** Why it ended. @type {SteadError | undefined} */
  #error;
  /** @type {() => void} */
  #open = () => {};
  /** @type {(error: SteadError) => void} */
  #fail = () => {};

  /**
   * @param {import("./client.js").Ways} ways
   * @param {string} path the object's
   * @param {import("../stead.js").SubscribeOptions} options
   */
  constructor(ways, path, options) {
    if (options.since !== undefined) checkVersion(options.since, "since");
    else if (options.state !== undefined) throw new TypeError("a state needs its version: give `since` too");
    this.#options = options;
    this.#replica = new Replica(options.since, options.state);
    this.#link = new Link(ways, path, {
      since: () => this.#replica.version,
      frame: (frame) => this.#take(frame),
      state: (event) => this.#tell(options.onState, event),
      lost: () => this.#calls.lost(),
      end: (error) => this.#end(error),
    });
    this.#calls = new Calls(this.#link, ways.timing);
    this.opened = new Promise((resolve, reject) => ([this.#open, this.#fail] = [resolve, reject]));
    // Who does not ask for it is told by `onState`.
    this.opened.catch(() => {});
    // After the caller has what this returns, for the first event may want it.
    queueMicrotask(() => this.#link.connect());
  }

  get version() {
    return this.#replica.version;
  }

  get state() {
    return this.#replica.state;
  }

  /**
   * @param {string} method
   * @param {import("../stead.js").JsonObject} [params]
   * @param {import("../stead.js").SocketCallOptions} [options]
   */
  call(method, params = {}, options = {}) {
    return this.#calls.call(method, params, options);
  }

  close() {
    this.#end(undefined);
  }

  [Symbol.asyncIterator]() {
    const reader = new Reader(
      () => this.#replica.asInit(),
      () => this.close(),
    );
    if (this.#ended) {
      reader.end(this.#error);
      return reader;
    }
    this.#readers.add(reader);
    if (this.#isOpen && this.#replica.state !== null) reader.push(this.#replica.asInit());
    return reader;
  }

  /** @param {{ [key: string]: any }} frame */
  #take(frame) {
    switch (frame["type"]) {
      case "init":
      case "resumed":
        if (frame["type"] === "init") this.#pass(frame);
        this.#isOpen = true;
        this.#open();
        if (this.#link.live) this.#calls.opened();
        break;
      case "update":
      case "deleted":
        this.#pass(frame);
        break;
      case "reply":
      case "error":
        this.#calls.take(frame);
        break;
      default:
      // A pong, or what later servers say.
    }
  }

  /** @param {{ [key: string]: any }} frame */
  #pass(frame) {
    const event = this.#replica.take(frame);
    if (event === "seen") return;
    if (event === "gap") {
      this.#link.drop(`version ${frame["version"]} came after ${this.#replica.version}`);
      return;
    }
    for (const reader of this.#readers) reader.push(event);
    switch (event.type) {
      case "init":
        return this.#tell(this.#options.onInit, event);
      case "update":
        return this.#tell(this.#options.onUpdate, event);
      case "deleted":
        return this.#tell(this.#options.onDeleted, event);
    }
  }

  /** @param {SteadError | undefined} error */
  #end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#link.close();
    const reason = error ?? new SteadError({ code: "aborted", detail: "the subscription was closed", retry: "safe" });
    this.#calls.end(reason);
    this.#fail(reason);
    for (const reader of this.#readers) reader.end(error);
    this.#readers.clear();
    this.#tell(this.#options.onState, error === undefined ? { state: "closed" } : { state: "closed", error });
  }

  /**
   * What a listener throws is the application's, and must not keep the next event from its listeners.
   * @template E
   * @param {((event: E, subscription: any) => void) | undefined} listener
   * @param {E} event
   */
  #tell(listener, event) {
    try {
      listener?.(event, this);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
