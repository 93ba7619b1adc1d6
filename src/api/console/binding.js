/**
 * A textarea that is bound to a shared text.
 *
 * What is typed becomes the smallest edit; what others write is put in without moving one's own caret.
 * The textarea shows a document of its own, kept equal to the shared one: while an input method composes
 * a word, which a change of the text would break off, what others write is held back from it, and Yjs
 * merges both when the word is done.
 */

import { Doc, UndoManager, applyUpdate, createAbsolutePositionFromRelativePosition, createRelativePositionFromJSON, createRelativePositionFromTypeIndex, relativePositionToJSON } from "./vendor/yjs.js";

const TEXT = "content";
/** Origins of changes. */
const TYPED = "typed";
const SHARED = "shared";

/**
 * The edit that makes one text of another. Nothing behind the caret was typed: where letters repeat,
 * that tells where the edit was.
 * @param {string} before @param {string} after @param {number} caret in `after`
 * @returns {{ index: number, remove: number, insert: string }}
 */
export function editOf(before, after, caret) {
  const shorter = Math.min(before.length, after.length);
  const same = (back) => before[before.length - 1 - back] === after[after.length - 1 - back];
  let tail = 0;
  while (tail < Math.min(shorter, after.length - caret) && same(tail)) tail += 1;
  let head = 0;
  while (head < shorter - tail && before[head] === after[head]) head += 1;
  while (tail < shorter - head && same(tail)) tail += 1;
  // Half of a pair of surrogates is no character: it goes with its other half.
  if (isHigh(before, head - 1) || isHigh(after, head - 1)) head -= 1;
  if (tail > 0 && (isHigh(before, before.length - tail - 1) || isHigh(after, after.length - tail - 1))) tail -= 1;
  return { index: head, remove: before.length - tail - head, insert: after.slice(head, after.length - tail) };
}

function isHigh(text, at) {
  const unit = at < 0 ? 0 : text.charCodeAt(at);
  return unit >= 0xd800 && unit < 0xdc00;
}

export class Binding {
  #area;
  #shared;
  #own = new Doc();
  #text = this.#own.getText(TEXT);
  #undo = new UndoManager(this.#text, { trackedOrigins: new Set([TYPED]) });
  /** What the textarea showed when it was equal to the text. */
  #shown = "";
  #composes = false;
  /** Updates of others, held back. @type {Uint8Array[]} */
  #held = [];
  #changed;
  #ends = new AbortController();

  /**
   * @param {any} area the textarea
   * @param {any} shared the document that others share
   * @param {() => void} changed the text is another, by whomever
   */
  constructor(area, shared, changed) {
    this.#area = area;
    this.#shared = shared;
    this.#changed = changed;
    shared.on("update", this.#received);
    this.#own.on("update", (update, origin) => {
      if (origin !== SHARED) applyUpdate(shared, update, this);
    });
    this.#text.observe((event, { origin }) => {
      if (origin !== TYPED) this.#show(event.delta, origin === this.#undo);
      this.#changed();
    });
    const on = (type, listener) => area.addEventListener(type, listener, { signal: this.#ends.signal });
    on("input", () => this.#typed());
    on("compositionstart", () => (this.#composes = true));
    on("compositionend", () => {
      this.#composes = false;
      this.#typed();
      for (const update of this.#held.splice(0)) applyUpdate(this.#own, update, SHARED);
    });
    on("beforeinput", (event) => {
      if (event.inputType === "historyUndo") this.#step(event, "undo");
      if (event.inputType === "historyRedo") this.#step(event, "redo");
    });
    on("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key === "z") this.#step(event, event.shiftKey ? "redo" : "undo");
      if (key === "y") this.#step(event, "redo");
    });
  }

  /** The text as it is shown. */
  get text() {
    return this.#shown;
  }

  /** Whether it is more than a textarea can show: pictures among the text, line ends that it would change. */
  get isForeign() {
    return this.#text.length !== this.#shown.length || this.#text.toString() !== this.#shown;
  }

  /** A place in the text that stays where it is while others write, as JSON. @param {number} index */
  placeOf(index) {
    return relativePositionToJSON(createRelativePositionFromTypeIndex(this.#text, Math.min(index, this.#text.length)));
  }

  /** @param {any} place what others say to be one @returns {number | undefined} */
  indexOf(place) {
    try {
      const found = createAbsolutePositionFromRelativePosition(createRelativePositionFromJSON(place), this.#own);
      return found !== null && found.type === this.#text ? Math.min(found.index, this.#shown.length) : undefined;
    } catch {
      return undefined;
    }
  }

  close() {
    this.#ends.abort();
    this.#shared.off("update", this.#received);
    this.#undo.destroy();
    this.#own.destroy();
  }

  #received = (update, origin) => {
    if (origin === this) return;
    if (this.#composes) this.#held.push(update);
    else applyUpdate(this.#own, update, SHARED);
  };

  #typed() {
    const { value, selectionEnd } = this.#area;
    if (value === this.#shown) return;
    const { index, remove, insert } = editOf(this.#shown, value, selectionEnd);
    this.#shown = value;
    this.#own.transact(() => {
      if (remove > 0) this.#text.delete(index, remove);
      if (insert !== "") this.#text.insert(index, insert);
    }, TYPED);
  }

  /** Puts in what was changed elsewhere; after an undo the caret goes where it happened. */
  #show(delta, moves) {
    const area = this.#area;
    let at = 0;
    let caret;
    for (const { retain = 0, insert, delete: gone = 0 } of delta) {
      at += retain;
      if (gone > 0) area.setRangeText("", at, at + gone, "preserve");
      if (typeof insert === "string") {
        area.setRangeText(insert, at, at, "preserve");
        at += insert.length;
      }
      if (gone > 0 || insert !== undefined) caret = at;
    }
    if (moves && caret !== undefined) area.setSelectionRange(caret, caret);
    this.#shown = area.value;
    area.readOnly = this.isForeign;
  }

  #step(event, way) {
    event.preventDefault();
    this.#undo[way]();
  }
}
