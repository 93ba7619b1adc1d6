/** A counter to click: one number, live in every window, and who else is clicking. */

import { stead } from "./api.js";
import { flash, h, show } from "./dom.js";
import { addressOf } from "./objects.js";
import { chip, me, nameField, person } from "./people.js";
import { number } from "./words.js";

/** Clicks of others that are shown at once. */
const CLICKS_MAX = 6;

export function counter(root, [...rest]) {
  const name = rest.join("/") || "clicks";
  const value = h("output.count", { "aria-live": "polite" }, "–");
  const clicks = h("div.clicks", { "aria-hidden": "true" });
  const trouble = h("p.refusal", { role: "alert" });
  const standing = h("span.state");
  const people = h("ul.people");
  const other = h("input", { value: name, "aria-label": "Name of the counter", autocomplete: "off", spellcheck: "false", required: true });
  const call = (method) => async () => {
    subscription.signal({ name: me.name, hue: me.hue, did: { increment: "+1", decrement: "−1", reset: "0" }[method] });
    try {
      await subscription.call(method);
      show(trouble);
    } catch (error) {
      show(trouble, `${error.detail} `, h("a", { href: `#${error.code}` }, error.code));
    }
  };
  root.append(
    h("p.crumbs", null, h("a", { href: "#/objects/counter" }, "counter"), " /"),
    h("h1.name", null, name, " ", standing),
    h("p.lead", null, "One number on every node. Open this page in another window, on another node: both see every click. ",
      h("a", { href: addressOf("counter", name) }, "The object")),
    h("section.clicker", null, value, clicks,
      h("div.buttons", null,
        h("button.plain", { onclick: call("decrement"), "aria-label": "One less" }, "−"),
        h("button.big", { onclick: call("increment"), "aria-label": "One more" }, "+"),
        h("button.plain", { onclick: call("reset"), "aria-label": "Back to zero" }, "0")),
      trouble),
    h("section.here", null, people, nameField(() => subscription.present(me))),
    h("form.tools", { onsubmit: (event) => (event.preventDefault(), (location.hash = `#/counter/${encodeURIComponent(other.value)}`)) },
      other, h("button.plain", null, "Another counter")),
  );

  const draw = (state) => {
    show(value, number(state?.value ?? 0));
    flash(value);
  };
  const subscription = stead.object(`counter/${name}`).subscribe({
    presence: me,
    onInit: ({ state }) => draw(state),
    onUpdate: (_, { state }) => draw(state),
    onDeleted: (_, { state }) => draw(state),
    onPresence: (_, { presence, self }) => show(people, [...presence].map(([id, data]) => chip(id, data, id === self ? "you" : undefined))),
    onSignal: ({ data }) => {
      const { name: who, hue } = person(data);
      const did = typeof data?.did === "string" ? data.did.slice(0, 3) : "·";
      const click = h("span", { vars: { "--hue": String(hue) } }, `${who} ${did}`);
      click.onanimationend = () => click.remove();
      clicks.append(click);
      while (clicks.childNodes.length > CLICKS_MAX) clicks.firstChild?.remove();
    },
    onState: ({ state, ...event }) => {
      standing.className = `state is-${{ live: "ok", waiting: "silent", closed: "unavailable" }[state] ?? "quiet"}`;
      show(standing, { live: "live", waiting: "connection lost", closed: "closed", connecting: "…" }[state]);
      if ("error" in event) show(trouble, event.error.detail);
    },
  });
  return () => subscription.close();
}
