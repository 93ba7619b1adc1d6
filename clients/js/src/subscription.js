/** One object, followed: its replica, its connection, its calls, who is present, and those who listen. */

import { checkVersion } from "./address.js";
import { Calls } from "./calls.js";
import { SteadError, errorOfFrame } from "./error.js";
import { PRESENCE_MAX_BYTES, SIGNAL_MAX_BYTES } from "./limits.js";
import { Link } from "./link.js";
import { Presence } from "./presence.js";
import { Reader } from "./reader.js";
import { Replica } from "./replica.js";
import { tell } from "./tell.js";

/** @typedef {import("../stead.js").ObjectEvent} ObjectEvent */
/** @typedef {import("../stead.js").StateEvent} StateEvent */

export class Subscription {
  /** @type {Promise<void>} */
  opened;
  #replica;
  #link;
  #calls;
  #presence = new Presence();
  /** What this client shows of itself, as a frame. @type {string | undefined} */
  #announcement;
  /** Whether the socket that is open now was told. */
  #isAnnounced = false;
  /** @type {string | undefined} */
  #self;
  #options;
  /** @type {Set<Reader<ObjectEvent>>} */
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
    if (options.presence !== undefined) this.#announcement = announcementOf(options.presence);
    this.#replica = new Replica(options.since, options.state);
    this.#link = new Link(ways, {
      path: () => `${path}/live${this.version === undefined ? "" : `?since=${this.version}`}`,
      begins: ({ type }) => (type === "resumed" ? true : type === "init" ? false : undefined),
      frame: (frame) => this.#take(frame),
      state: (event) => this.#tell(options.onState, event),
      lost: () => this.#lost(),
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

  /** @returns {ReadonlyMap<string, import("../stead.js").Json>} */
  get presence() {
    return this.#presence.shown;
  }

  get self() {
    return this.#self;
  }

  /** @param {import("../stead.js").Json} data */
  present(data) {
    this.#announcement = announcementOf(data);
    this.#isAnnounced = false;
    this.#announce();
  }

  /** @param {import("../stead.js").Json} data */
  signal(data) {
    const text = frameOf("signal", data, SIGNAL_MAX_BYTES);
    if (this.#link.live) this.#link.send(text);
    return this.#link.live;
  }

  close() {
    this.#end(undefined);
  }

  [Symbol.asyncIterator]() {
    /** @returns {ObjectEvent | undefined} */
    const current = () => (this.#replica.state === null ? undefined : this.#replica.asInit());
    const reader = new Reader(current, () => this.close());
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
        this.#begin(frame);
        break;
      case "update":
      case "deleted":
        this.#pass(frame);
        break;
      case "presence":
        this.#tellPresence(frame);
        break;
      case "signal":
        this.#tell(this.#options.onSignal, { from: frame["from"], data: frame["data"] });
        break;
      case "reply":
        this.#calls.take(frame);
        break;
      case "error":
        if ("id" in frame) this.#calls.take(frame);
        else this.#tell(this.#options.onError, errorOfFrame(frame));
        break;
      default:
      // A pong, or what later servers say.
    }
  }

  /** The frame that a connection begins with, or begins anew. @param {{ [key: string]: any }} frame */
  #begin(frame) {
    this.#self = frame["self"];
    // After `resumed` a frame of its own says who is present, if anybody is.
    const present = this.#presence.begin(frame["presence"] ?? []);
    if (frame["type"] === "init") this.#pass(frame);
    if (present !== undefined) this.#tell(this.#options.onPresence, present);
    this.#isOpen = true;
    this.#open();
    // A listener may have closed it, and a gap dropped the socket.
    if (!this.#link.live) return;
    this.#announce();
    this.#calls.opened();
  }

  /** Says once on each socket what this client shows of itself. */
  #announce() {
    if (this.#announcement === undefined || this.#isAnnounced || !this.#link.live) return;
    this.#isAnnounced = true;
    this.#link.send(this.#announcement);
  }

  #lost() {
    this.#isAnnounced = false;
    this.#calls.lost();
  }

  /** @param {{ [key: string]: any }} frame */
  #tellPresence(frame) {
    const event = this.#presence.take(frame);
    if (event !== undefined) this.#tell(this.#options.onPresence, event);
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
   * @template E
   * @param {((event: E, subscription: any) => void) | undefined} listener
   * @param {E} event
   */
  #tell(listener, event) {
    tell(listener, event, this);
  }
}

/** @param {import("../stead.js").Json} data */
function announcementOf(data) {
  return frameOf("presence", data, PRESENCE_MAX_BYTES);
}

/** @param {string} type @param {import("../stead.js").Json} data @param {number} maxBytes */
function frameOf(type, data, maxBytes) {
  const text = JSON.stringify(data);
  if (text === undefined) throw new TypeError(`the data of ${type} is a JSON value`);
  if (new TextEncoder().encode(text).length > maxBytes) {
    throw new TypeError(`the data of ${type} has at most ${maxBytes} bytes as JSON`);
  }
  return `{"type":"${type}","data":${text}}`;
}
