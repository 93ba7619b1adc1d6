/**
 * The calls of one subscription that wait for their reply, in the order in which they were made.
 *
 * A call outlives the socket it was sent on if it has an idempotency key: it is sent again on the next
 * one, and takes effect once. Without a key it is rejected as `outcome_unknown` when its socket is lost.
 */

import { SteadError, partsOf } from "./error.js";
import { keyOf } from "./key.js";
import { CALLS_WAITING_MAX, FRAME_MAX_BYTES, pauseMs } from "./limits.js";

/**
 * @typedef {object} Waiting
 * @property {string} text
 * @property {string | undefined} key
 * @property {boolean} sent on the socket that is open now
 * @property {boolean} doubtful whether an earlier try may have happened
 * @property {number} failures
 * @property {number} deadline
 * @property {SteadError | undefined} refusal the last one
 * @property {ReturnType<typeof setTimeout>} patience
 * @property {ReturnType<typeof setTimeout> | undefined} pause
 * @property {(answer: import("../stead.js").Answer) => void} resolve
 * @property {(error: SteadError) => void} reject
 */

export class Calls {
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #lastId = 0;
  /** @type {SteadError | undefined} */
  #end;
  #link;
  #timing;

  /** @param {import("./link.js").Link} link @param {import("../stead.js").Timing} timing */
  constructor(link, timing) {
    this.#link = link;
    this.#timing = timing;
  }

  /**
   * @param {string} method
   * @param {import("../stead.js").JsonObject} params
   * @param {import("../stead.js").SocketCallOptions} options
   * @returns {Promise<import("../stead.js").Answer>}
   */
  async call(method, params, { idempotencyKey, timeoutMs = this.#timing.call }) {
    const key = keyOf(idempotencyKey);
    if (this.#end !== undefined) throw this.#end;
    if (this.#waiting.size >= CALLS_WAITING_MAX) {
      const detail = `${CALLS_WAITING_MAX} calls wait already`;
      throw new SteadError({ code: "overloaded", detail, retry: "safe", idempotencyKey: key });
    }
    const id = (this.#lastId += 1);
    const text = JSON.stringify({ type: "call", id, method, params, idempotency_key: key });
    if (new TextEncoder().encode(text).length > FRAME_MAX_BYTES) {
      throw new SteadError({ code: "body_too_large", detail: "a call has at most 4 MiB", retry: "never" });
    }
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => this.#expire(id), timeoutMs);
      const deadline = performance.now() + timeoutMs;
      const fresh = { text, key, sent: false, doubtful: false, failures: 0, deadline, refusal: undefined };
      this.#waiting.set(id, { ...fresh, patience, pause: undefined, resolve, reject });
      if (this.#link.live) this.#send(id);
    });
  }

  /** The socket takes calls: those that wait are sent, in their order. */
  opened() {
    for (const [id, call] of this.#waiting) {
      if (!call.sent && call.pause === undefined) this.#send(id);
    }
  }

  /** The socket is lost, and with it the replies to what was sent. */
  lost() {
    for (const [id, call] of this.#waiting) {
      if (!call.sent) continue;
      call.sent = false;
      call.doubtful = true;
      if (call.key === undefined) {
        const detail = "the connection was lost before the reply";
        this.#reject(id, new SteadError({ code: "outcome_unknown", detail, retry: "unknown" }));
      }
    }
  }

  /** @param {{ [key: string]: any }} frame a `reply`, or an `error` about a call */
  take(frame) {
    const call = this.#waiting.get(frame["id"]);
    if (call === undefined || !call.sent) return;
    if (frame["ok"] === true) {
      this.#remove(frame["id"]);
      call.resolve({ result: frame["result"], version: frame["version"] });
      return;
    }
    // A frame that was not understood is told by `code` and `detail` alone, and would not be understood again.
    const parts = frame["type"] === "error" ? { ...partsOf(frame), retry: /** @type {const} */ ("never") } : partsOf(frame["error"]);
    call.sent = false;
    call.failures += 1;
    call.doubtful ||= parts.retry === "unknown";
    const retry = parts.retry === "safe" && call.doubtful ? "unknown" : parts.retry;
    call.refusal = new SteadError({ ...parts, retry, idempotencyKey: call.key });
    const again = parts.retry === "safe" || (parts.retry === "unknown" && call.key !== undefined);
    const pause = pauseMs(call.failures, this.#timing.retryMin, this.#timing.retryMax);
    if (!again || performance.now() + pause >= call.deadline) {
      this.#reject(frame["id"], call.refusal);
      return;
    }
    call.pause = setTimeout(() => {
      call.pause = undefined;
      if (this.#link.live) this.#send(frame["id"]);
    }, pause);
  }

  /** No reply will come any more. @param {SteadError} error */
  end(error) {
    this.#end = error;
    for (const [id, call] of this.#waiting) {
      const { code, detail } = error;
      const retry = retryOf(call) === "unknown" ? "unknown" : error.retry;
      this.#reject(id, new SteadError({ code, detail, retry, idempotencyKey: call.key }));
    }
  }

  /** @param {number} id */
  #send(id) {
    const call = this.#waiting.get(id);
    if (call === undefined) return;
    call.sent = true;
    this.#link.send(call.text);
  }

  /** @param {number} id */
  #expire(id) {
    const call = this.#waiting.get(id);
    if (call === undefined) return;
    const detail = call.refusal?.detail ?? "no reply in time";
    const retry = retryOf(call);
    const code = retry === "safe" ? "unavailable" : "outcome_unknown";
    this.#reject(id, new SteadError({ code, detail, retry, idempotencyKey: call.key }));
  }

  /** @param {number} id @param {SteadError} error */
  #reject(id, error) {
    const call = this.#waiting.get(id);
    this.#remove(id);
    call?.reject(error);
  }

  /** @param {number} id */
  #remove(id) {
    const call = this.#waiting.get(id);
    clearTimeout(call?.patience);
    clearTimeout(call?.pause);
    this.#waiting.delete(id);
  }
}

/** Of a call that has no reply. @param {Waiting} call @returns {"safe" | "unknown"} */
function retryOf(call) {
  return call.sent || call.doubtful ? "unknown" : "safe";
}
