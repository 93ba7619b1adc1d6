/** A text that people edit together, with their carets: Yjs over the y-websocket protocol. */

import { h, show } from "./dom.js";
import { Binding } from "./binding.js";
import { addressOf } from "./objects.js";
import { chip, me, nameField, person } from "./people.js";
import { Doc, WebsocketProvider } from "./vendor/yjs.js";
import { count, number } from "./words.js";

/** A longer text is shown without the carets of others: to lay it out twice would be slow. Characters. */
const CARETS_MAX = 200_000;

export function editing(root, [...rest]) {
  const name = rest.join("/") || "notes";
  const area = h("textarea.text", { "aria-label": `The text of ${name}`, spellcheck: "false", disabled: true, placeholder: "Write something. Others see it as you type." });
  const mirror = h("div.mirror", { "aria-hidden": "true" });
  const standing = h("span.state.is-quiet", null, "…");
  const people = h("ul.people");
  const size = h("p.quiet");
  const notice = h("p.card.notice", { hidden: true });
  const other = h("input", { value: name, "aria-label": "Name of the document", autocomplete: "off", spellcheck: "false", required: true });
  root.append(
    h("p.crumbs", null, h("a", { href: "#/objects/document" }, "document"), " /"),
    h("h1.name", null, name, " ", standing),
    h("p.lead", null, "Open this page in another window, on another node, and write in both. ", h("a", { href: addressOf("document", name) }, "The object")),
    notice,
    h("section.here", null, people, nameField(announce)),
    h("div.paper", null, mirror, area),
    size,
    h("form.tools", { onsubmit: (event) => (event.preventDefault(), (location.hash = `#/document/${encodeURIComponent(other.value)}`)) },
      other, h("button.plain", null, "Another document")),
  );

  const shared = new Doc();
  const binding = new Binding(area, shared, () => draw());
  const url = `${location.origin.replace(/^http/, "ws")}/v1/yjs`;
  // Windows of one browser could tell each other: they shall see what the servers say.
  const provider = new WebsocketProvider(url, encodeURIComponent(name), shared, { disableBc: true, maxBackoffTime: 2_000 });
  const { awareness } = provider;

  function announce() {
    awareness.setLocalStateField("user", { name: me.name, hue: me.hue });
  }

  const say = (state, word) => {
    standing.className = `state is-${state}`;
    show(standing, word);
  };
  provider.on("status", ({ status }) => {
    if (status !== "connected") say("silent", area.disabled ? "connecting" : "not connected: what you write is kept here");
  });
  provider.on("sync", (isSynced) => {
    if (!isSynced) return;
    say("ok", "live");
    area.disabled = false;
    draw();
  });
  provider.on("closed", ({ code, reason }) => {
    say("unavailable", "closed");
    notice.hidden = false;
    show(notice, `The server closed it for good: ${reason || code}.`);
    area.disabled = true;
  });

  const whereIs = () => {
    if (document.activeElement !== area) return;
    const { selectionStart, selectionEnd, selectionDirection } = area;
    const [anchor, head] = selectionDirection === "backward" ? [selectionEnd, selectionStart] : [selectionStart, selectionEnd];
    awareness.setLocalStateField("cursor", { anchor: binding.placeOf(anchor), head: binding.placeOf(head) });
  };

  /** Who else is there: where, if they say so. */
  const others = () => [...awareness.getStates()].filter(([id]) => id !== awareness.clientID).map(([id, state]) => ({
    id: String(id), user: state.user, index: state.cursor ? binding.indexOf(state.cursor.head) : undefined,
  })).sort((a, b) => Number(a.id) - Number(b.id));

  function draw() {
    const { text } = binding;
    const here = others();
    show(people,
      chip("me", me, "you"),
      here.map(({ id, user, index }) => chip(id, user, index === undefined ? undefined : `line ${number(lineOf(text, index))}`)));
    show(size, `${count(text.length, "character")}, ${count(lineOf(text, text.length), "line")}`);
    if (area.readOnly) {
      notice.hidden = false;
      show(notice, "This document has more in it than plain text, so it can only be read here.");
    }
    const carets = text.length > CARETS_MAX ? [] : here.filter(({ index }) => index !== undefined).sort((a, b) => a.index - b.index);
    let at = 0;
    const pieces = carets.map(({ user, index }) => {
      const before = text.slice(at, index);
      at = index;
      const { name: who, hue } = person(user);
      return [before, h("span.caret", { vars: { "--hue": String(hue) } }, h("span", null, who))];
    });
    // The last line has a height also when there is nothing in it.
    show(mirror, pieces, `${text.length > CARETS_MAX ? "" : text.slice(at)}\u200b`);
    area.parentNode.classList.toggle("long", text.length > CARETS_MAX);
  }

  announce();
  awareness.on("change", draw);
  const ends = new AbortController();
  document.addEventListener("selectionchange", whereIs, { signal: ends.signal });
  for (const type of ["input", "keyup", "pointerup", "focus"]) area.addEventListener(type, whereIs, { signal: ends.signal });
  draw();
  return () => {
    ends.abort();
    provider.destroy();
    binding.close();
    shared.destroy();
  };
}

function lineOf(text, index) {
  let lines = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < index; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
}
