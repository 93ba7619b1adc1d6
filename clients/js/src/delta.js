/**
 * Text edits of the class `document`, in Quill's form. Lengths count UTF-16 units, as JavaScript's do.
 *
 * @param {string} text
 * @param {{ retain?: number, insert?: unknown, delete?: number }[]} delta
 * @returns {string | undefined} nothing where the delta does not fit the text, or embeds what is no text
 */
export function applyDelta(text, delta) {
  let at = 0;
  let made = "";
  for (const { retain = 0, insert = "", delete: gone = 0 } of delta) {
    if (typeof insert !== "string" || at + retain + gone > text.length) return undefined;
    made += text.slice(at, at + retain) + insert;
    at += retain + gone;
  }
  return made + text.slice(at);
}
