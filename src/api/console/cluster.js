/** Nodes, shards and leaders, as they are now. */

import { h, show } from "./dom.js";
import { watch } from "./watch.js";
import { ago, count, number, spoken } from "./words.js";

const SAYS = {
  ok: "All is well",
  degraded: "It goes on, but something is wrong",
  unavailable: "Some shards are led by nobody",
};

export function cluster(root) {
  return watch((look) => {
    root.classList.toggle("stale", look.silentSince !== null);
    if (look.cluster === undefined) {
      show(root, h("h1", null, "Cluster"), h("p.lead", null, "The server does not answer yet."));
      return;
    }
    show(root, summary(look), problems(look.cluster.problems), nodes(look), shards(look));
  });
}

function summary({ cluster: { state, nodes, shards, replication_factor: replicas, id } }) {
  return h("section.summary", { key: "summary" },
    h("h1", null, h("span.dot", { class: `is-${state}` }), SAYS[state] ?? state),
    h("p.lead", null, `${count(nodes, "node")}, ${count(shards, "shard")}, each kept ${count(replicas, "time")} where there are as many nodes. `,
      h("span.quiet", { title: "The cluster's identity" }, String(id).slice(0, 8))));
}

function problems(list) {
  if (list.length === 0) return undefined;
  return h("section", { key: "problems" }, h("h2", null, "Problems"),
    h("ul.problems", null, list.map(({ code, detail, what_to_do: toDo }) =>
      h("li.card.problem", { key: `${code} ${detail}` }, h("p", null, h("strong", null, detail)), h("p", null, spoken(toDo, (typed) => h("code", null, typed))), h("p.quiet.word", null, code)))));
}

function nodes({ nodes: list }) {
  return h("section", { key: "nodes" }, h("h2", null, "Nodes"),
    h("ul.nodes", null, list.map((node) => {
      const state = node.state !== "up" ? node.state : node.reachable ? "up" : "away";
      const isHere = node.address === location.host;
      return h("li.card.node", { key: String(node.id), class: `is-${state}`, "data-node": node.id },
        h("h3", null, h("span.dot", { class: `is-${state}` }), `Node ${node.id}`, isHere && h("span.tag", null, "this page"),
          h("span.word", null, state === "away" ? "not reachable" : state)),
        h("p", null, isHere ? node.address : h("a", { href: `${location.protocol}//${node.address}/` }, node.address)),
        h("dl", null,
          pair("leads", number(node.leaders)),
          pair("keeps", number(node.replicas)),
          node.zone !== null && pair("zone", node.zone),
          pair("version", node.version),
          pair("up for", state === "away" ? "–" : ago(node.started_at))));
    })));
}

function pair(term, value) {
  return h("div", null, h("dt", null, term), h("dd", null, String(value)));
}

/** One row for each shard, one column for each node: who leads, who follows, who lags. */
function shards({ nodes: list, shards: rows }) {
  const columns = list.filter((node) => node.state !== "removed" || rows.some((shard) => replicaOn(shard, node.id)));
  return h("section", { key: "shards" },
    h("h2", null, "Shards", h("span.legend", null, h("span.replica.is-leader"), " leads ", h("span.replica.is-voter"), " keeps ", h("span.replica.is-learner"), " catches up")),
    h("div.card.wide", null, h("table.shards", null,
      h("thead", null, h("tr", null, h("th", null, "shard"), columns.map((node) => h("th", { key: String(node.id) }, `node ${node.id}`)),
        h("th.figure", null, "entries"), h("th.figure", null, "term"))),
      h("tbody", null, rows.map((shard) => h("tr", { key: String(shard.id), class: shard.leader === null ? "is-leaderless" : "" },
        h("th", { scope: "row", title: `slots ${shard.slots.join(" to ")}` }, String(shard.id)),
        columns.map((node) => h("td", { key: String(node.id) }, replica(shard, node))),
        h("td.figure", null, number(shard.commit_index)),
        h("td.figure", null, number(shard.term))))))));
}

function replicaOn(shard, node) {
  return shard.replicas.find((one) => one.node === node);
}

function replica(shard, node) {
  const found = replicaOn(shard, node.id);
  if (found === undefined) return undefined;
  const role = shard.leader === node.id ? "leader" : found.role;
  const words = { leader: "leads", voter: "keeps", learner: "catches up" };
  const lag = found.lag ?? 0;
  return [
    h("span.replica", { class: `is-${role} ${node.reachable ? "" : "is-away"}`, role: "img", "aria-label": words[role] ?? role }),
    lag > 0 && node.reachable && h("span.lag", { title: "entries behind" }, `−${number(lag)}`),
  ];
}
