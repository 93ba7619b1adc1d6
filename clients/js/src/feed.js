/**
 * Everything that happens to the objects of one class: its connection, its cursor, and those who listen.
 *
 * The cursor is a place in the class's changes that any server knows. After a lost connection the feed
 * goes on behind the last event; where the servers' logs do not reach back that far, a `gap` says so.
 */

import { SteadError, errorOfFrame } from "./error.js";
import { Link } from "./link.js";
import { Reader } from "./reader.js";
import { tell } from "./tell.js";

/** @typedef {import("../stead.js").FeedEvent} FeedEvent */
/** @typedef {import("../stead.js").StateEvent} StateEvent */

/** Its subscription's name on its socket, where it is the only one. */
const REF = 1;

export class Feed {
  /** @type {Promise<void>} */
  opened;
  #class;
  #cursor;
  #link;
  #options;
  /** @type {Set<Reader<FeedEvent>>} */
  #readers = new Set();
  #ended = false;
  /** Why it ended. @type {SteadError | undefined} */
  #error;
  /** @type {() => void} */
  #open = () => {};
  /** @type {(error: SteadError) => void} */
  #fail = () => {};

  /**
   * @param {import("./client.js").Ways} ways
   * @param {string} cls
   * @param {import("../stead.js").FeedOptions} options
   */
  constructor(ways, cls, options) {
    const { cursor } = options;
    if (cursor !== undefined && (typeof cursor !== "string" || cursor === "")) {
      throw new TypeError("a cursor is one that a feed gave");
    }
    this.#class = cls;
    this.#cursor = cursor;
    this.#options = options;
    this.#link = new Link(ways, {
      path: () => "/v1/live",
      greeting: () => JSON.stringify({ type: "subscribe", ref: REF, feed: cls, cursor: this.#cursor }),
      begins: ({ type, complete }) => (type === "subscribed" ? complete === true && this.#cursor !== undefined : undefined),
      frame: (frame) => this.#take(frame),
      state: (event) => tell(this.#options.onState, event, this),
      lost: () => {},
      end: (error) => this.#end(error),
    });
    this.opened = new Promise((resolve, reject) => ([this.#open, this.#fail] = [resolve, reject]));
    // Who does not ask for it is told by `onState`.
    this.opened.catch(() => {});
    // After the caller has what this returns, for the first event may want it.
    queueMicrotask(() => this.#link.connect());
  }

  get class() {
    return this.#class;
  }

  get cursor() {
    return this.#cursor;
  }

  close() {
    this.#end(undefined);
  }

  [Symbol.asyncIterator]() {
    /** @returns {FeedEvent} */
    const gap = () => ({ type: "gap", cursor: /** @type {string} */ (this.#cursor) });
    const reader = new Reader(gap, () => this.close());
    if (this.#ended) reader.end(this.#error);
    else this.#readers.add(reader);
    return reader;
  }

  /** @param {{ [key: string]: any }} frame */
  #take({ ref: _ref, ...frame }) {
    switch (frame["type"]) {
      case "subscribed":
        this.#cursor = frame["cursor"];
        if (frame["complete"] !== true) this.#pass({ type: "gap", cursor: frame["cursor"] });
        this.#open();
        break;
      case "update":
      case "deleted":
        this.#cursor = frame["cursor"];
        this.#pass(/** @type {FeedEvent} */ (frame));
        break;
      case "error":
        this.#refused(errorOfFrame(frame));
        break;
      default:
      // A pong, or what later servers say.
    }
  }

  /** @param {FeedEvent} event */
  #pass(event) {
    for (const reader of this.#readers) reader.push(event);
    switch (event.type) {
      case "update":
        return tell(this.#options.onUpdate, event, this);
      case "deleted":
        return tell(this.#options.onDeleted, event, this);
      case "gap":
        return tell(this.#options.onGap, event, this);
    }
  }

  /** The server does not serve it: not now, or never. @param {SteadError} error */
  #refused(error) {
    if (error.retry === "never") this.#end(error);
    else this.#link.drop(`${error.code}: ${error.detail}`);
  }

  /** @param {SteadError | undefined} error */
  #end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#link.close();
    this.#fail(error ?? new SteadError({ code: "aborted", detail: "the feed was closed", retry: "safe" }));
    for (const reader of this.#readers) reader.end(error);
    this.#readers.clear();
    /** @type {StateEvent} */
    const event = error === undefined ? { state: "closed" } : { state: "closed", error };
    tell(this.#options.onState, event, this);
  }
}
