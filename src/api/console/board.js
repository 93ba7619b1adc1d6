/** Change requests on a board, moving as they move. */

import { ask, stead } from "./api.js";
import { h, show } from "./dom.js";
import { addressOf } from "./objects.js";
import { count } from "./words.js";

const CLASS = "change-request";
const COLUMNS = [
  ["draft", "Draft"], ["submitted", "Submitted"], ["assessing", "Assessing"], ["needs_info", "Needs info"], ["approved", "Approved"],
  ["scheduled", "Scheduled"], ["implementing", "Implementing"], ["review", "In review"],
  ["closed", "Closed"], ["failed", "Failed"], ["rejected", "Rejected"], ["cancelled", "Cancelled"],
];
/** Columns that are shown also when they are empty. */
const ALWAYS = new Set(["submitted", "assessing", "approved", "scheduled", "implementing", "review", "closed"]);
/** Priorities worth a word. */
const URGENT = new Set(["high", "critical"]);
/** Change requests that are read, at most; and read at once. */
const READ_MAX = 500;
const AT_ONCE = 8;

export function board(root) {
  const standing = h("span.state.is-quiet", null, "…");
  const body = h("div");
  root.append(
    h("h1", null, "Changes ", standing),
    h("p.lead", null, "Change requests as they move, whoever moves them and wherever."),
    body,
  );

  /** @type {Map<string, { version: number, state: any }>} */
  const known = new Map();
  let isOver = false;
  let isMore = false;
  /** The last to have moved. */
  let moved;

  const draw = () => {
    if (isOver) return;
    const cards = [...known].map(([name, { state }]) => ({ name, state, status: typeof state?.status === "string" ? state.status : "draft" }));
    const names = new Map(COLUMNS);
    const unknown = [...new Set(cards.map(({ status }) => status))].filter((status) => !names.has(status));
    const columns = [...COLUMNS, ...unknown.map((status) => [status, status])]
      .map(([status, title]) => ({ status, title, cards: cards.filter((card) => card.status === status) }))
      .filter(({ status, cards: some }) => some.length > 0 || ALWAYS.has(status));
    show(body,
      cards.length === 0 && h("p.card.notice", null, "No change requests yet. Those made with the tool create_change_request, or with POST /v1/changes, appear here."),
      cards.length > 0 && h("div.board", null, columns.map((column) => h("section.column", { key: column.status, "data-status": column.status },
        h("h2", null, column.title, h("span.tag", null, String(column.cards.length))),
        h("ul", null, column.cards.sort((a, b) => (a.name < b.name ? 1 : -1)).map(card))))),
      isMore && h("p.quiet", null, `Only ${count(READ_MAX, "change request")} are shown.`));
  };
  const card = ({ name, state }) => h("li.card.change", { key: name, class: name === moved ? "fresh" : "" },
    h("a", { href: addressOf(CLASS, name) }, text(state?.title) || name),
    h("p.quiet", null, name),
    h("p.tags", null,
      tag(state?.riskLevel, "risk"), URGENT.has(state?.priority) && tag(state.priority, "priority"), state?.type !== "normal" && tag(state?.type, "")));

  async function read(name) {
    try {
      const { version, state } = await stead.object(`${CLASS}/${name}`).get({ timeoutMs: 5_000 });
      if ((known.get(name)?.version ?? -1) < version) known.set(name, { version, state });
    } catch (error) {
      if (error.code === "object_not_found") known.delete(name);
    }
  }

  async function list() {
    const names = [];
    let cursor = "";
    do {
      const page = await ask(`/v1/objects/${CLASS}?limit=100${cursor}`);
      names.push(...page.objects.map(({ name }) => name));
      cursor = page.cursor === null ? "" : `&cursor=${encodeURIComponent(page.cursor)}`;
    } while (cursor !== "" && names.length < READ_MAX && !isOver);
    isMore = cursor !== "" || names.length > READ_MAX;
    const waiting = names.slice(0, READ_MAX);
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let name = waiting.shift(); name !== undefined && !isOver; name = waiting.shift()) await read(name);
    }));
    draw();
  }

  const refused = (error) => {
    if (isOver) return;
    if (error.code === "aborted") return;
    show(standing);
    show(body, error.code === "class_not_found"
      ? h("p.card.notice", null, "This version of Stead does not serve change requests yet. They will move across this page when it does.")
      : h("p.card.notice", null, error.detail, " ", h("a", { href: `#${error.code}` }, error.code)));
  };

  /** What changed is applied where all before it is known, and read where not. */
  const update = async ({ object, version, changes, deleted, cleared }) => {
    const name = object.slice(object.indexOf("/") + 1);
    const before = known.get(name);
    if (before !== undefined && before.version >= version) return;
    moved = name;
    if (before === undefined || before.version + 1 !== version || changes === undefined) await read(name);
    else {
      const state = new Map(cleared ? [] : Object.entries(before.state));
      for (const [key, value] of Object.entries(changes)) state.set(key, value);
      for (const key of deleted) state.delete(key);
      known.set(name, { version, state: Object.fromEntries(state) });
    }
    draw();
  };
  // The feed first: nothing is missed between the list and it, and it says whether the class is served at all.
  const feed = stead.feed(CLASS, {
    onUpdate: update,
    onDeleted: ({ object }) => {
      known.delete(object.slice(object.indexOf("/") + 1));
      draw();
    },
    onGap: () => void list().catch(refused),
    onState: ({ state }) => {
      standing.className = `state is-${{ live: "ok", waiting: "silent" }[state] ?? "quiet"}`;
      show(standing, { live: "live", waiting: "connection lost", closed: "", connecting: "…" }[state]);
    },
  });
  feed.opened.then(list).catch(refused);
  return () => {
    isOver = true;
    feed.close();
  };
}

function text(value) {
  return typeof value === "string" ? value : "";
}

function tag(value, what) {
  const word = text(value);
  return word !== "" && h("span.tag", { class: /^[a-z]+$/.test(word) ? `is-${word}` : "" }, `${word} ${what}`.trim());
}
