/** The objects of a class: listed by prefix, page by page, and kept up to date by the class's feed. */

import { ask, stead } from "./api.js";
import { h, show } from "./dom.js";
import { ago, count, number } from "./words.js";

const CLASSES = ["object", "counter", "document", "change-request"];
const CLASS = /^[a-z][a-z0-9-]{0,63}$/;
const PAGE = 50;

export function objects(root, [cls = "object"], query) {
  const prefix = query.get("prefix") ?? "";
  const goTo = (wanted, start) => {
    location.hash = `#/objects/${encodeURIComponent(wanted)}${start === "" ? "" : `?prefix=${encodeURIComponent(start)}`}`;
  };
  const start = h("input", { value: prefix, type: "search", placeholder: "names that begin with …", "aria-label": "Prefix", autocomplete: "off" });
  const other = h("input", { placeholder: "name of an object", "aria-label": "Name", autocomplete: "off", required: true });
  const list = h("div");
  root.append(
    h("h1", null, "Objects"),
    h("div.tabs", { role: "group", "aria-label": "Class" }, [...new Set([...CLASSES, cls])].map((one) =>
      h("a", { href: `#/objects/${one}`, "aria-current": one === cls ? "page" : undefined }, one))),
    h("div.tools", null,
      h("form", { onsubmit: (event) => (event.preventDefault(), goTo(cls, start.value)) }, start, h("button", null, "List")),
      h("form", { onsubmit: (event) => (event.preventDefault(), (location.hash = addressOf(cls, other.value))) }, other, h("button.plain", null, "Open or make"))),
    list,
  );

  /** By name; in the byte order of names, as the server lists them. @type {Map<string, any>} */
  let known = new Map();
  let cursor = null;
  let trouble;
  let isOver = false;
  let isListed = false;

  const draw = () => {
    if (isOver) return;
    if (trouble !== undefined) {
      show(list, h("p.card.notice", null, trouble.code === "class_not_found" ? `This version of Stead does not serve the class ${cls}.` : trouble.detail,
        " ", h("a", { href: `#${trouble.code}` }, trouble.code)));
      return;
    }
    if (!isListed) return show(list, h("p.quiet", null, "…"));
    const rows = [...known.values()];
    show(list,
      rows.length === 0 && h("p.card.notice", null, prefix === "" ? "No objects of this class yet. The first write makes one." : "No object's name begins so."),
      rows.length > 0 && h("div.card.wide", null, h("table.list", null,
        h("thead", null, h("tr", null, h("th", null, "name"), h("th.figure", null, "version"), h("th.figure", null, "changed"))),
        h("tbody", null, rows.map((row) => h("tr", { key: row.name, class: row.isFresh ? "fresh" : "" },
          h("td.name", null, h("a", { href: addressOf(cls, row.name) }, row.name)),
          h("td.figure", null, number(row.version)),
          h("td.ago", { title: row.updated_at }, `${ago(row.updated_at)} ago`)))))),
      cursor !== null && h("button.plain", { onclick: more }, "More"),
      h("p.quiet", null, count(rows.length, "object"), cursor === null ? "" : " so far"));
  };

  async function more() {
    try {
      const page = await ask(`/v1/objects/${encodeURIComponent(cls)}?limit=${PAGE}&prefix=${encodeURIComponent(prefix)}${cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
      // What the feed brought meanwhile is newer.
      for (const row of page.objects) if ((known.get(row.name)?.version ?? -1) < row.version) known.set(row.name, row);
      cursor = page.cursor;
      isListed = true;
      trouble = undefined;
    } catch (error) {
      trouble = error;
    }
    draw();
  }

  const changed = ({ type, object, version, timestamp }) => {
    const name = object.slice(object.indexOf("/") + 1);
    if (!name.startsWith(prefix)) return;
    if (type === "deleted") known.delete(name);
    // Behind the pages seen so far: it comes with its page.
    else if (known.has(name) || cursor === null || [...known.keys()].some((one) => compare(one, name) > 0)) {
      const isNew = !known.has(name);
      known.set(name, { name, version, updated_at: timestamp ?? new Date().toISOString(), isFresh: true });
      if (isNew) known = new Map([...known].sort(([a], [b]) => compare(a, b)));
    }
    draw();
  };
  const again = () => {
    known.clear();
    cursor = null;
    void more();
  };
  // The feed first: nothing is missed between the list and it, and it says whether the class is served at all.
  const feed = CLASS.test(cls) ? stead.feed(cls, { onUpdate: changed, onDeleted: changed, onGap: again }) : undefined;
  feed?.opened.then(again, (error) => {
    trouble = error;
    draw();
  });
  if (feed === undefined) void more();
  const clock = setInterval(draw, 5_000);
  return () => {
    isOver = true;
    feed?.close();
    clearInterval(clock);
  };
}

/** @param {string} cls @param {string} name */
export function addressOf(cls, name) {
  return `#/object/${encodeURIComponent(cls)}/${encodeURIComponent(name)}`;
}

/** The order of UTF-8 bytes, which is that of code points. */
function compare(a, b) {
  const [left, right] = [[...a], [...b]];
  for (let at = 0; at < Math.min(left.length, right.length); at += 1) {
    const difference = left[at].codePointAt(0) - right[at].codePointAt(0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
