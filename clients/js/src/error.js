/** The one error of this package, and how the server's answers become it. */

/** @typedef {import("../stead.js").Retry} Retry */
/** @typedef {import("../stead.js").SteadErrorParts} Parts */

/** Everything that a server refuses, or that cannot be asked. */
export class SteadError extends Error {
  /** @param {Parts} parts */
  constructor({ status = 0, code, detail, retry, retryAfterMs, idempotencyKey, cause }) {
    super(`${code}: ${detail}`, cause === undefined ? undefined : { cause });
    this.name = "SteadError";
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retry = retry;
    this.retryAfterMs = retryAfterMs;
    this.idempotencyKey = idempotencyKey;
  }
}

/**
 * The error in an answer. Where it is not Stead that speaks (a proxy, say), the status decides: a gateway
 * that gives up leaves the outcome open.
 * @param {number} status
 * @param {string} text
 * @param {string | null} retryAfter
 */
export function errorOfAnswer(status, text, retryAfter) {
  const seconds = retryAfter === null ? Number.NaN : Number(retryAfter);
  const retryAfterMs = Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
  const problem = objectOf(text);
  if (problem !== undefined && typeof problem["code"] === "string") {
    return new SteadError({ status, ...partsOf(problem), retryAfterMs });
  }
  const retry = status >= 500 ? "unknown" : status === 429 ? "safe" : "never";
  const detail = `the server answered ${status} without saying why`;
  return new SteadError({ status, code: "unexpected_answer", detail, retry, retryAfterMs });
}

/**
 * Code, detail and retry of an error on the wire. What is not known counts as `unknown`.
 * @param {{ [key: string]: unknown }} error
 * @returns {{ code: string, detail: string, retry: Retry }}
 */
export function partsOf(error) {
  const { code, detail, retry } = error;
  return {
    code: typeof code === "string" ? code : "unexpected_answer",
    detail: typeof detail === "string" ? detail : "the server did not say why",
    retry: retry === "safe" || retry === "never" ? retry : "unknown",
  };
}

/** What surely was not done and may be tried again, of an error that says no more than its code. */
const PASSING = new Set(["internal", "outcome_unknown", "overloaded", "rate_limited", "request_timeout", "unavailable"]);

/**
 * The error in a frame that has a code and a detail, and nothing about trying again.
 * @param {{ [key: string]: unknown }} frame
 */
export function errorOfFrame(frame) {
  const parts = partsOf(frame);
  return new SteadError({ ...parts, retry: PASSING.has(parts.code) ? "safe" : "never" });
}

/**
 * @param {string} text
 * @returns {{ [key: string]: any } | undefined} the JSON object that a text is
 */
export function objectOf(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
