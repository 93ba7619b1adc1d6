/** Idempotency keys: with one, a call takes effect once however often it is sent. */

/**
 * The key to send: a fresh one unless the caller has one, or wants none.
 * @param {string | false | undefined} wanted
 * @returns {string | undefined}
 */
export function keyOf(wanted) {
  if (wanted === false) return undefined;
  if (wanted === undefined) return freshKey();
  if (typeof wanted !== "string" || !/^[\x21-\x7e]{1,255}$/.test(wanted)) {
    throw new TypeError("an idempotency key is 1 to 255 visible ASCII characters, or false");
  }
  return wanted;
}

/** A fresh idempotency key. `randomUUID` would want a secure page. */
function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
