/**
 * The console: which part of it is shown, and how the cluster stands, whatever is shown.
 *
 * main        this
 *   cluster   nodes, shards, leaders
 *   objects   the objects of a class; object: one of them
 *   counter   a counter to click; document: a text to edit together, over binding
 *   board     change requests
 * api, dom, people, watch, words: what they share
 *
 * An address is `#/part/…`. Any other fragment is the place of an error code on the page.
 */

import { board } from "./board.js";
import { cluster } from "./cluster.js";
import { counter } from "./counter.js";
import { editing } from "./document.js";
import { h, show } from "./dom.js";
import { object } from "./object.js";
import { objects } from "./objects.js";
import { beginWatching, watch } from "./watch.js";
import { time } from "./words.js";

/** Each makes itself in an element, and gives what ends it. */
const PARTS = new Map([
  ["", { view: cluster, nav: "#/", title: () => "Cluster" }],
  ["objects", { view: objects, nav: "#/objects/object", title: ([cls]) => `${cls} objects` }],
  ["object", { view: object, nav: "#/objects/object", title: ([cls, name]) => `${cls}/${name}` }],
  ["counter", { view: counter, nav: "#/counter/clicks", title: ([name]) => name }],
  ["document", { view: editing, nav: "#/document/notes", title: ([name]) => name }],
  ["changes", { view: board, nav: "#/changes", title: () => "Changes" }],
]);

const view = document.getElementById("view");
let end = () => {};

function route() {
  end();
  end = () => {};
  const { hash } = location;
  const isCode = hash !== "" && !hash.startsWith("#/");
  document.documentElement.dataset.shows = isCode ? "errors" : "view";
  const { part, args, query } = isCode ? { part: undefined, args: [], query: undefined } : parse(hash);
  const known = PARTS.get(part ?? "errors");
  const current = isCode ? "#errors" : known?.nav;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // On a narrow screen the parts may not fit side by side.
  document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  view.replaceChildren();
  if (isCode) {
    document.title = "Errors · Stead";
    document.getElementById(hash.slice(1))?.scrollIntoView({ block: "nearest" });
    return;
  }
  window.scrollTo(0, 0);
  if (known === undefined) {
    document.title = "Stead";
    view.append(h("h1", null, "Nothing here"), h("p", null, h("a", { href: "#/" }, "To the cluster")));
    return;
  }
  document.title = `${known.title(args)} · Stead`;
  const root = h("div.part");
  view.append(root);
  end = known.view(root, args, query) ?? end;
}

/** `#/object/counter/a%2Fb?x=1` */
function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [part, ...args] = path.split("/").map((text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  });
  return { part, args, query: new URLSearchParams(query) };
}

/** How the cluster stands, in a word, on every part of the page; and what to do when nobody answers. */
function standing({ cluster, nodes, silentSince }) {
  const state = silentSince !== null ? "silent" : cluster.state;
  const word = { ok: "all well", degraded: "degraded", unavailable: "unavailable", silent: "no answer" }[state] ?? state;
  show(document.getElementById("standing"), h("a.state", { href: "#/", class: `is-${state}` }, word));
  const lost = document.getElementById("lost");
  lost.hidden = silentSince === null;
  if (silentSince === null) return;
  const others = nodes.filter((node) => node.address !== location.host && node.state !== "removed");
  show(
    lost,
    h("p", null, h("strong", null, `${location.host} does not answer since ${time(silentSince)}. `),
      "What was acknowledged is kept by the others, and this page goes on by itself when its server is back."),
    others.length > 0 && h("p", null, "The same console on other nodes: ", others.map((node, index) => [
      index > 0 && ", ",
      h("a", { href: `${location.protocol}//${node.address}/${location.hash}` }, node.address),
      node.reachable ? "" : " (was not reachable)",
    ])),
  );
}

window.addEventListener("hashchange", route);
route();
watch(standing);
beginWatching();
