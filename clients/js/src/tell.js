/**
 * What a listener throws is the application's, and must not keep the next event from its listeners.
 * @template E, S
 * @param {((event: E, source: S) => void) | undefined} listener
 * @param {E} event
 * @param {S} source what the event is of
 */
export function tell(listener, event, source) {
  try {
    listener?.(event, source);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
