/** One object: its state as it changes, its updates, who is present, where it is, and the calls that it takes. */

import { ask, stead } from "./api.js";
import { flash, h, show } from "./dom.js";
import { chip } from "./people.js";
import { changed, count, cut, json, number, time } from "./words.js";

/** Updates shown, at most; and keys. */
const UPDATES_MAX = 100;
const KEYS_MAX = 500;

/** What the built-in classes take, each with parameters to begin from. */
const CALLS = {
  object: {
    set: { key: "greeting", value: "hello" }, get_value: { key: "greeting" }, set_multiple: { keys: { a: 1, b: [2, 3] } },
    increment: { key: "value", increment: 1 }, delete: { key: "greeting" }, update: { content: "some text" }, echo: { hello: "world" },
  },
  counter: { increment: { by: 1 }, decrement: { by: 1 }, reset: { to: 0 }, get: {} },
  document: {
    insert: { index: 0, text: "Hello. " }, replace: { find: "Hello", text: "Good day" }, delete: { index: 0, length: 1 },
    edit: { edits: [{ insert: { index: 0, text: "One. " } }, { insert: { index: 5, text: "Two. " } }] }, update: { content: "A whole new text" }, get: {},
  },
};
/** Classes that are written by their own tools only. */
const READ_ONLY = ["change-request"];
const PAGES = { counter: "#/counter/", document: "#/document/" };

export function object(root, [cls, ...rest]) {
  const name = rest.join("/");
  let item;
  try {
    item = stead.object(`${cls}/${name}`);
  } catch (error) {
    root.append(h("h1", null, "No such address"), h("p", null, error.message));
    return undefined;
  }
  const standing = h("span.state");
  const version = h("span.figure");
  const state = h("div");
  const updates = h("ol.updates");
  const present = h("ul.people");
  const nobody = h("p.quiet", null, "Nobody says to be here.");
  const place = h("span");
  const page = PAGES[cls];
  root.append(
    h("p.crumbs", null, h("a", { href: `#/objects/${cls}` }, cls), " /"),
    h("h1.name", null, name, " ", standing),
    h("p.lead", null, "Version ", version, place, page && [" · ", h("a", { href: `${page}${encodeURIComponent(name)}` }, cls === "counter" ? "click it" : "edit it together")]),
    h("div.columns", null,
      h("section", null, h("h2", null, "State"), state),
      h("section", null, h("h2", null, "Call"), READ_ONLY.includes(cls) ? h("p.quiet", null, "Written by its own tools only.") : callForm(item)),
      h("section", null, h("h2", null, "Updates"), updates),
      h("section", null, h("h2", null, "Present"), present, nobody)),
  );

  /** By version. @type {Map<number, any>} */
  const seen = new Map();
  const drawUpdates = () => {
    const newest = [...seen.values()].sort((a, b) => b.version - a.version).slice(0, UPDATES_MAX);
    show(updates, newest.length === 0 ? h("li.quiet", null, "None yet.") : newest.map(updateRow));
  };
  const drawState = (known, keys = []) => {
    show(version, number(subscription.version ?? 0));
    show(state, stateRows(known, subscription.version));
    for (const key of keys) {
      const row = state.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (row !== null) flash(row);
    }
  };
  const subscription = item.subscribe({
    onInit: ({ state: known }) => drawState(known),
    onUpdate: (update, { state: known }) => {
      seen.set(update.version, update);
      drawState(known, [...Object.keys(update.changes), ...(update.delta?.length > 0 ? ["content"] : [])]);
      drawUpdates();
    },
    onDeleted: (event, { state: known }) => {
      seen.set(event.version, { version: event.version, deleted_object: true });
      drawState(known);
      drawUpdates();
    },
    onPresence: (_, { presence }) => {
      show(present, [...presence].map(([id, data]) => chip(id, data)));
      nobody.hidden = presence.size > 0;
    },
    onState: (event) => {
      const words = { connecting: "…", live: "live", waiting: "connection lost", closed: event.error?.code ?? "closed" };
      standing.className = `state is-${{ live: "ok", waiting: "silent", closed: "unavailable" }[event.state] ?? "quiet"}`;
      show(standing, words[event.state]);
      if (event.error !== undefined) show(state, h("p.card.notice", null, event.error.detail, " ", h("a", { href: `#${event.error.code}` }, event.error.code)));
    },
  });
  drawUpdates();
  subscription.opened
    .then(async () => {
      if (subscription.version === 0) return;
      const { updates: past } = await item.history({ since: Math.max(0, subscription.version - UPDATES_MAX) });
      for (const update of past) seen.set(update.version, update);
      drawUpdates();
    })
    // The updates that come now are shown all the same.
    .catch(() => {});
  const locate = () => ask(`/v1/objects/${encodeURIComponent(cls)}/${encodeURIComponent(name)}/location`).then(
    ({ shard, slot, leader, replicas }) => show(place, ` · shard ${shard}, slot ${number(slot)} · `, leader === null ? "led by nobody" : `led by node ${leader}`,
      ` · kept on ${replicas.length === 1 ? "node" : "nodes"} ${replicas.join(", ")}`),
    () => {},
  );
  void locate();
  const clock = setInterval(locate, 2_000);
  return () => {
    clearInterval(clock);
    subscription.close();
  };
}

function stateRows(state, version) {
  if (state === null) return h("p.card.notice", null, "The state is not known here: it is too large for one answer, or holds more than text.");
  const entries = Object.entries(state).sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) {
    return h("p.quiet", null, version === 0 ? "Never written: the first write makes it." : "Empty, or deleted.");
  }
  return [
    h("dl.keys", null, entries.slice(0, KEYS_MAX).map(([key, value]) =>
      h("div", { key }, h("dt", null, key), h("dd", null, h("pre", null, json(value)))))),
    entries.length > KEYS_MAX && h("p.quiet", null, `and ${count(entries.length - KEYS_MAX, "key")} more`),
  ];
}

function updateRow(update) {
  return h("li", { key: String(update.version) },
    h("span.figure", null, number(update.version)),
    h("span.what", null, update.deleted_object
      ? h("strong", null, "deleted")
      : [h("strong", null, update.method ?? "?"), " ", h("span.changes", null, changed(update))]),
    update.timestamp !== undefined && h("span.quiet", { title: update.timestamp }, `${update.by}, ${time(update.timestamp)}`));
}

function callForm(item) {
  const calls = CALLS[item.class] ?? {};
  const [first = ""] = Object.keys(calls);
  const method = h("input", { value: first, list: "methods", "aria-label": "Method", autocomplete: "off", spellcheck: "false", required: true });
  const params = h("textarea", { rows: 5, "aria-label": "Parameters, as JSON", spellcheck: "false" });
  params.value = json(calls[first] ?? {});
  const answer = h("output.answer");
  const choices = h("div.tabs.small", { role: "group", "aria-label": "Methods" }, Object.keys(calls).map((one) =>
    h("button.plain", { type: "button", onclick: () => {
      method.value = one;
      params.value = json(calls[one]);
    } }, one)));
  const button = h("button", null, "Call");
  const refuse = (code, detail) => show(answer, h("p.refusal", null, detail, " ", code && h("a", { href: `#${code}` }, code)));
  const call = async (event) => {
    event.preventDefault();
    let given;
    try {
      given = params.value.trim() === "" ? {} : JSON.parse(params.value);
    } catch (error) {
      return refuse(undefined, `The parameters are no JSON: ${error.message}`);
    }
    if (typeof given !== "object" || given === null || Array.isArray(given)) return refuse(undefined, "The parameters are a JSON object.");
    button.disabled = true;
    try {
      const { result, version } = await item.call(method.value.trim(), given);
      show(answer, h("p.quiet", null, `Version ${number(version)}`), h("pre", null, json(result)));
    } catch (error) {
      refuse(error.code, cut(error.detail ?? String(error), 500));
    }
    button.disabled = false;
    return undefined;
  };
  return h("form.call", { onsubmit: call }, choices, method, params, button, answer);
}
