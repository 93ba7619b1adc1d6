/** Every limit and time of the client, with its unit. */

/** Calls of one subscription that wait for an answer; one more is refused. */
export const CALLS_WAITING_MAX = 1024;
/** Events an iterator holds for a reader that lags; beyond it they become one `init`. */
export const EVENTS_WAITING_MAX = 1024;
/** A larger frame would cost the socket (1009), so it is refused here. Bytes. */
export const FRAME_MAX_BYTES = 4 * 1024 * 1024;

/** What one shows of itself to others who are present, as JSON; servers take no more. Bytes. */
export const PRESENCE_MAX_BYTES = 16 * 1024;
/** What one signal tells, as JSON; servers take no more. Bytes. */
export const SIGNAL_MAX_BYTES = 64 * 1024;

/** @type {Readonly<import("../stead.js").Timing>} */
export const TIMING = Object.freeze({
  call: 30_000,
  attempt: 11_000,
  retryMin: 50,
  retryMax: 2_000,
  open: 5_000,
  firstFrame: 15_000,
  silence: 15_000,
  pong: 10_000,
  reconnectMin: 500,
  reconnectMax: 30_000,
  stable: 5_000,
  tooMany: 5_000,
});

/**
 * The pause before the try after `failures` failures: doubling, and somewhere in the upper half, so that
 * clients that lost the same node do not come back in one wave.
 * @param {number} failures from 1
 * @param {number} min milliseconds
 * @param {number} max milliseconds
 * @param {() => number} [random]
 */
export function pauseMs(failures, min, max, random = Math.random) {
  const full = Math.min(max, min * 2 ** Math.min(failures - 1, 30));
  return Math.round(full * (0.5 + random() / 2));
}
