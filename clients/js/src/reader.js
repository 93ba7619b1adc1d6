/**
 * An async iterator over a subscription's events, for one reader.
 *
 * What waits is bounded: a reader that lags is given the state as it is then, in one `init`, as the
 * server does it for a client that was away too long.
 */

import { SteadError } from "./error.js";
import { EVENTS_WAITING_MAX } from "./limits.js";

/** @typedef {import("../stead.js").ObjectEvent} ObjectEvent */
/** @typedef {IteratorResult<ObjectEvent, undefined>} Result */

/** @implements {AsyncIterator<ObjectEvent, undefined, undefined>} */
export class Reader {
  /** @type {ObjectEvent[]} */
  #events = [];
  /** @type {{ resolve: (result: Result) => void, reject: (error: unknown) => void }[]} */
  #takers = [];
  #lags = false;
  #ended = false;
  /** Told once. @type {SteadError | undefined} */
  #error;
  #current;
  #leave;

  /**
   * @param {() => import("../stead.js").InitEvent} current the state, as an event
   * @param {() => void} leave the reader wants no more
   */
  constructor(current, leave) {
    this.#current = current;
    this.#leave = leave;
  }

  /** @param {ObjectEvent} event */
  push(event) {
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker.resolve({ done: false, value: event });
    } else if (this.#events.length < EVENTS_WAITING_MAX && !this.#lags) {
      this.#events.push(event);
    } else {
      this.#events = [];
      this.#lags = true;
    }
  }

  /** @param {SteadError} [error] */
  end(error) {
    this.#ended = true;
    this.#error = error;
    for (const taker of this.#takers.splice(0)) this.#last(taker);
  }

  /** @returns {Promise<Result>} */
  next() {
    if (this.#lags) return this.#catchUp();
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    return new Promise((resolve, reject) => {
      if (this.#ended) this.#last({ resolve, reject });
      else this.#takers.push({ resolve, reject });
    });
  }

  /** @returns {Promise<Result>} */
  return() {
    this.#events = [];
    this.#lags = false;
    this.#leave();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** @returns {Promise<Result>} */
  #catchUp() {
    this.#lags = false;
    const init = this.#current();
    if (init.state !== null) return Promise.resolve({ done: false, value: init });
    this.#leave();
    const detail = `more than ${EVENTS_WAITING_MAX} events waited, and the state is not known`;
    return Promise.reject(new SteadError({ code: "too_slow", detail, retry: "safe" }));
  }

  /** @param {{ resolve: (result: Result) => void, reject: (error: unknown) => void }} taker */
  #last({ resolve, reject }) {
    const error = this.#error;
    this.#error = undefined;
    if (error === undefined) resolve({ done: true, value: undefined });
    else reject(error);
  }
}
