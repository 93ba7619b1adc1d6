/**
 * Requests that are tried until they have an answer.
 *
 * What surely did not happen is tried again on the next server. What may have happened is tried again
 * only if a repetition changes nothing: it reads, or has an idempotency key. The error of a request says
 * `safe` only if none of its tries can have happened.
 */

import { SteadError, errorOfAnswer, objectOf } from "./error.js";
import { pauseMs } from "./limits.js";

/** Failures of a connection that never was, as Node names them; browsers do not tell. */
const NEVER_CONNECTED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"]);
/** The server takes no longer deadline than this, and refuses none. */
const DEADLINE_MAX_MS = 10_000;
/** The part of the time left that the server is given: its own answer says more than a timeout here. */
const DEADLINE_SHARE = 0.9;
/** A try with less time left would be cut off, and leave an outcome open for nothing. */
const ATTEMPT_MIN_MS = 20;

/**
 * @typedef {object} Ask
 * @property {string} method
 * @property {string} path
 * @property {unknown} [body]
 * @property {string | undefined} [key] idempotency key
 * @property {number | undefined} [ifMatch]
 * @property {AbortSignal | undefined} [signal]
 * @property {number | undefined} [timeoutMs]
 */

export class Http {
  /** The server that answered last. */
  #preferred = 0;
  #servers;
  #timing;
  #fetch;

  /**
   * @param {readonly string[]} servers
   * @param {import("../stead.js").Timing} timing
   * @param {typeof globalThis.fetch} [fetch]
   */
  constructor(servers, timing, fetch) {
    this.#servers = servers;
    this.#timing = timing;
    this.#fetch = fetch;
  }

  /**
   * @param {Ask} ask
   * @returns {Promise<any>} the JSON of the answer; `undefined` for an answer without a body
   */
  async request(ask) {
    const deadline = performance.now() + (ask.timeoutMs ?? this.#timing.call);
    const repeatable = ask.key !== undefined || ask.method === "GET";
    let mayHaveHappened = false;
    for (let failures = 1; ; failures += 1) {
      const server = this.#preferred % this.#servers.length;
      const error = await this.#attempt(ask, server, deadline).then((answer) => ({ answer }), asSteadError);
      if ("answer" in error) return error.answer;
      mayHaveHappened ||= error.retry === "unknown" && ask.method !== "GET";
      // Another request may have found a better server meanwhile.
      if (this.#preferred % this.#servers.length === server) this.#preferred = server + 1;
      const again = error.retry === "safe" || (error.retry === "unknown" && repeatable);
      const pause = error.retryAfterMs ?? pauseMs(failures, this.#timing.retryMin, this.#timing.retryMax);
      if (!again || ask.signal?.aborted || performance.now() + pause + ATTEMPT_MIN_MS >= deadline) {
        throw finalError(error, ask.key, mayHaveHappened);
      }
      await sleep(pause, ask.signal);
    }
  }

  /** @param {Ask} ask @param {number} server @param {number} deadline */
  async #attempt(ask, server, deadline) {
    const left = Math.max(1, Math.ceil(deadline - performance.now()));
    const patience = new AbortController();
    const giveUp = () => patience.abort();
    const timer = setTimeout(giveUp, Math.min(left, this.#timing.attempt));
    ask.signal?.addEventListener("abort", giveUp);
    if (ask.signal?.aborted) giveUp();
    try {
      // Called without `this`: a browser's fetch refuses any other than the window.
      const fetch = this.#fetch ?? globalThis.fetch;
      const answer = await fetch(this.#servers[server] + ask.path, {
        method: ask.method,
        headers: headersOf(ask, left),
        signal: patience.signal,
        // Stead redirects nowhere; to follow somebody else's redirect would send the call there.
        redirect: "error",
        ...(ask.body === undefined ? {} : { body: JSON.stringify(ask.body) }),
      });
      const text = await answer.text();
      if (!answer.ok) throw errorOfAnswer(answer.status, text, answer.headers.get("retry-after"));
      if (text === "") return undefined;
      const body = objectOf(text);
      if (body === undefined) {
        const detail = "the answer is not a JSON object: is this address a Stead server's?";
        throw new SteadError({ status: answer.status, code: "unexpected_answer", detail, retry: "unknown" });
      }
      return body;
    } catch (error) {
      throw error instanceof SteadError ? error : unreachable(error, this.#servers[server], ask.signal);
    } finally {
      clearTimeout(timer);
      ask.signal?.removeEventListener("abort", giveUp);
    }
  }
}

/** @param {Ask} ask @param {number} left milliseconds */
function headersOf(ask, left) {
  /** @type {Record<string, string>} */
  const headers = { "x-request-timeout": String(Math.min(Math.ceil(left * DEADLINE_SHARE), DEADLINE_MAX_MS)) };
  if (ask.body !== undefined) headers["content-type"] = "application/json";
  if (ask.key !== undefined) headers["idempotency-key"] = ask.key;
  if (ask.ifMatch !== undefined) headers["if-match"] = `"${ask.ifMatch}"`;
  return headers;
}

/** @param {any} error @param {string | undefined} server @param {AbortSignal | undefined} signal */
function unreachable(error, server, signal) {
  if (signal?.aborted) {
    return new SteadError({ code: "aborted", detail: "the caller gave it up", retry: "unknown", cause: error });
  }
  const never = NEVER_CONNECTED.has(error?.cause?.code);
  const why = error?.name === "AbortError" ? "no answer in time" : String(error?.cause?.message ?? error?.message ?? error);
  const detail = `${server}: ${why}`;
  return new SteadError({ code: "unreachable", detail, retry: never ? "safe" : "unknown", cause: error });
}

/**
 * The last error, speaking for all tries.
 * @param {SteadError} error @param {string | undefined} key @param {boolean} mayHaveHappened
 */
function finalError(error, key, mayHaveHappened) {
  const retry = error.retry === "safe" && mayHaveHappened ? "unknown" : error.retry;
  if (key === undefined && retry === error.retry) return error;
  const { status, code, detail, retryAfterMs, cause } = error;
  return new SteadError({ status, code, detail, retry, retryAfterMs, idempotencyKey: key, cause });
}

/** A bug of this package is no answer of a server. @param {unknown} error @returns {SteadError} */
function asSteadError(error) {
  if (error instanceof SteadError) return error;
  throw error;
}

/** @param {number} ms @param {AbortSignal | undefined} signal @returns {Promise<void>} sooner if aborted */
function sleep(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
