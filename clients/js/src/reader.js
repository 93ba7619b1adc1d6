/**
 * An async iterator over a subscription's or a feed's events, for one reader.
 *
 * What waits is bounded: a reader that lags is given one event in the place of all that waited: the state
 * as it is then, or that there is a gap, as the server does it for a client that was away too long.
 */

import { SteadError } from "./error.js";
import { EVENTS_WAITING_MAX } from "./limits.js";

/**
 * @template E
 * @typedef {{ resolve: (result: IteratorResult<E, undefined>) => void, reject: (error: unknown) => void }} Taker
 */

/**
 * @template E
 * @implements {AsyncIterator<E, undefined, undefined>}
 */
export class Reader {
  /** @type {E[]} */
  #events = [];
  /** @type {Taker<E>[]} */
  #takers = [];
  #lags = false;
  #ended = false;
  /** Told once. @type {SteadError | undefined} */
  #error;
  #current;
  #leave;

  /**
   * @param {() => E | undefined} current what stands for all that came so far; nothing where it is not known
   * @param {() => void} leave the reader wants no more
   */
  constructor(current, leave) {
    this.#current = current;
    this.#leave = leave;
  }

  /** @param {E} event */
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

  /** @returns {Promise<IteratorResult<E, undefined>>} */
  next() {
    if (this.#lags) return this.#catchUp();
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    return new Promise((resolve, reject) => {
      if (this.#ended) this.#last({ resolve, reject });
      else this.#takers.push({ resolve, reject });
    });
  }

  /** @returns {Promise<IteratorResult<E, undefined>>} */
  return() {
    this.#events = [];
    this.#lags = false;
    this.#leave();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** @returns {Promise<IteratorResult<E, undefined>>} */
  #catchUp() {
    this.#lags = false;
    const current = this.#current();
    if (current !== undefined) return Promise.resolve({ done: false, value: current });
    this.#leave();
    const detail = `more than ${EVENTS_WAITING_MAX} events waited, and the state is not known`;
    return Promise.reject(new SteadError({ code: "too_slow", detail, retry: "safe" }));
  }

  /** @param {Taker<E>} taker */
  #last({ resolve, reject }) {
    const error = this.#error;
    this.#error = undefined;
    if (error === undefined) resolve({ done: true, value: undefined });
    else reject(error);
  }
}
