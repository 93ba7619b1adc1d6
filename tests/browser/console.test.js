/** The console in two windows, through two nodes: what one does the other sees, while nodes die and come back. */

import assert from "node:assert/strict";
import test from "node:test";
import { client, cluster, settled, until } from "../../clients/js/test/cluster.js";
import { browser, open, playChanges } from "./window.js";

const HOSTILE = `<img src=x onerror="alert('name')">/"'&`;

test("the console", { timeout: 115_000 }, async (t) => {
  const nodes = await cluster(t, 3);
  const [first, second, third] = nodes;
  const started = await browser(t);
  const one = await open(started, first.url);
  const two = await open(started, second.url);
  const both = [one, two];
  const stead = client([first.url]);
  const sees = (window, text) => window.page.getByText(text, { exact: true }).first().waitFor();
  const valueIs = (window, wanted) => window.page.locator("output.count", { hasText: new RegExp(`^${wanted}$`) }).waitFor();
  const more = (window) => window.page.getByRole("button", { name: "One more" }).click();
  const area = (window) => window.page.locator("textarea.text");
  const text = (window) => area(window).inputValue();
  const converged = (...parts) => until(`both texts are one, with ${parts.join(" and ")}`, async () => {
    const [left, right] = await Promise.all(both.map(text));
    return left === right && parts.every((part) => left.includes(part));
  }, 20_000);

  await t.test("nodes, shards and leaders are seen", async () => {
    for (const window of both) {
      await sees(window, "All is well");
      await window.page.locator(".node.is-up").nth(2).waitFor();
      assert.equal(await window.page.locator("table.shards tbody tr").count(), 12);
      await until("each shard has one leader", async () => (await window.page.locator("td .replica.is-leader").count()) === 12);
      assert.equal(await window.page.locator("td .replica.is-voter").count(), 24);
    }
    assert.match(await one.page.locator(`[data-node="${first.id}"]`).innerText(), /this page/);
    await one.shoot("cluster");
  });

  await t.test("a counter clicked in one window is seen in the other", async () => {
    for (const window of both) await window.goTo("#/counter/clicks");
    for (const window of both) await valueIs(window, 0);
    for (const window of both) await window.page.locator(".person").nth(1).waitFor();
    for (let n = 0; n < 3; n += 1) await more(one);
    for (const window of both) await valueIs(window, 3);
    await two.page.getByRole("button", { name: "One less" }).click();
    for (const window of both) await valueIs(window, 2);
    // Who goes is seen to go.
    await two.page.getByLabel("Your name").fill("Grace <b>Hopper</b>");
    await two.page.getByLabel("Your name").press("Enter");
    await one.page.locator(".person", { hasText: "Grace <b>Hopper</b>" }).waitFor();
    await one.shoot("counter");
    await two.goTo("#/");
    await until("one is alone", async () => (await one.page.locator(".person").count()) === 1);
  });

  await t.test("a document written in both windows becomes one text, and carets stay", async () => {
    for (const window of both) await window.goTo("#/document/notes");
    for (const window of both) await area(window).and(window.page.locator(":enabled")).waitFor();
    await area(one).pressSequentially("first line\nlast line");
    await converged("first line\nlast line");
    // Both at once, in different places; two's caret is in the middle of a word.
    await area(two).focus();
    await area(two).evaluate((element) => element.setSelectionRange(14, 14));
    await area(one).evaluate((element) => element.setSelectionRange(0, 0));
    await Promise.all([
      area(one).pressSequentially("[one was here] ", { delay: 20 }),
      area(two).pressSequentially("<two>", { delay: 60 }),
    ]);
    await converged("[one was here] first line\n", "las<two>t line");
    // Who else is there, and where.
    await one.page.locator(".person", { hasText: "Grace <b>Hopper</b>" }).getByText("line 2").waitFor();
    await two.page.locator(".person .note", { hasText: "line 1" }).waitFor();
    assert.equal(await one.page.locator(".mirror .caret").count(), 1);
    const before = await one.page.locator(".mirror").evaluate((mirror) => mirror.firstChild.data);
    assert.equal(before, "[one was here] first line\nlas<two>");
    // An undo takes back one's own writing alone.
    await area(two).press("ControlOrMeta+z");
    await until("it is taken back", async () => !(await text(one)).includes("<two>"));
    await converged("[one was here] first line\nlast line");
    await area(two).press("ControlOrMeta+Shift+z");
    await converged("las<two>t line");
    // Over HTTP it is the same text, and what is written there is seen here.
    await stead.object("document/notes").call("replace", { find: "t line", text: "t line." });
    assert.equal((await stead.object("document/notes").get()).state.content, await text(one));
    await stead.object("document/notes").call("insert", { index: 0, text: "😀 " });
    await converged("😀 [one was here]");
    await one.shoot("document");
  });

  await t.test("what others write waits while a word is composed", async () => {
    await area(one).evaluate((element) => element.setSelectionRange(0, 0));
    await area(two).evaluate((element) => element.setSelectionRange(element.value.length, element.value.length));
    await area(two).focus();
    const keyboard = await two.page.context().newCDPSession(two.page);
    await keyboard.send("Input.imeSetComposition", { text: "にほ", selectionStart: 2, selectionEnd: 2 });
    await until("the beginning is seen", async () => (await text(one)).endsWith("line.にほ"));
    await area(one).pressSequentially("(while you compose) ");
    await until("the server has it", async () => (await stead.object("document/notes").get()).state.content.includes("(while you compose) "));
    // Nothing tells that it came and is held back: it has had its time.
    await two.page.waitForTimeout(300);
    assert.ok(!(await text(two)).includes("compose"));
    await keyboard.send("Input.insertText", { text: "日本" });
    await converged("(while you compose) ", "line.日本");
    assert.ok(!(await text(two)).includes("に"));
  });

  await t.test("edits are the smallest, and never half a character", async () => {
    const broken = await one.page.evaluate(async () => {
      const { editOf } = await import("/v1/console/binding.js");
      const letters = ["a", "a", "b", "\n", "😀", "😁"];
      const any = () => Array.from({ length: Math.floor(Math.random() * 8) }, () => letters[Math.floor(Math.random() * letters.length)]).join("");
      for (let n = 0; n < 5000; n += 1) {
        const [before, after] = [any(), any()];
        const caret = Math.floor(Math.random() * (after.length + 1));
        const { index, remove, insert } = editOf(before, after, caret);
        const made = before.slice(0, index) + insert + before.slice(index + remove);
        const gone = before.slice(index, index + remove);
        if (made !== after || !insert.isWellFormed() || !gone.isWellFormed() || !before.slice(0, index).isWellFormed()) return { before, after, caret, index, remove, insert };
      }
      // Where letters repeat, the caret says which was typed.
      const typed = editOf("aaa", "aaaa", 2);
      return typed.index === 1 && typed.insert === "a" ? null : typed;
    });
    assert.equal(broken, null);
  });

  await t.test("objects, with hostile names and values, are text", async () => {
    const object = stead.object(`object/${HOSTILE}`);
    await object.put({ note: "<script>alert('value')</script>", list: [1, { a: null }] });
    await one.goTo("#/objects/object?prefix=%3C");
    await one.page.getByRole("link", { name: HOSTILE }).click();
    await one.page.locator("h1", { hasText: HOSTILE }).waitFor();
    await one.page.locator(".keys pre", { hasText: "<script>alert('value')</script>" }).waitFor();
    // A call by the form, and an update from elsewhere.
    await one.page.getByRole("button", { name: "set", exact: true }).click();
    await one.page.getByLabel("Parameters, as JSON").fill('{"key": "mood", "value": "<i>fine</i>"}');
    await one.page.getByRole("button", { name: "Call", exact: true }).click();
    await one.page.locator(".keys pre", { hasText: "<i>fine</i>" }).waitFor();
    await object.call("delete", { key: "list" });
    await one.page.locator(".updates li", { hasText: "list gone" }).waitFor();
    await one.page.locator(".updates li", { hasText: "initialize" }).waitFor();
    assert.equal(await one.page.locator(".keys > div").count(), 2);
    await one.page.getByLabel("Parameters, as JSON").fill("{not json");
    await one.page.getByRole("button", { name: "Call", exact: true }).click();
    await one.page.locator(".refusal", { hasText: "no JSON" }).waitFor();
    // The list follows what happens.
    await two.goTo("#/objects/object");
    await two.page.locator("table.list a", { hasText: HOSTILE }).waitFor();
    await stead.object("object/a new one").put({});
    await two.page.locator("table.list tr").first().getByText("version").waitFor();
    await two.page.locator("table.list a", { hasText: "a new one" }).waitFor();
    await stead.object("object/a new one").delete();
    await two.page.locator("table.list a", { hasText: "a new one" }).waitFor({ state: "detached" });
    assert.equal(await one.page.locator("main img").count(), 0);
    await one.shoot("object");
    await two.shoot("objects");
  });

  await t.test("changes have a board, or it says that they are not served", async () => {
    await one.goTo("#/changes");
    const served = (await fetch(`${first.url}/v1/objects/change-request`)).ok;
    await one.page.getByText(served ? /No change requests yet/ : /does not serve change requests yet/).waitFor();
    await one.shoot("changes");
  });

  await t.test("change requests move across the board", async () => {
    // The server's part is played: what is tested is the page.
    const window = await open(started, first.url, { viewport: { width: 1500, height: 850 } });
    const change = (title, status, more = {}) => ({ title, status, priority: "medium", riskLevel: "low", type: "normal", ...more });
    const server = await playChanges(window, {
      "CHG-20261128-AAAAAA": change("<b>Rotate</b> the certificates", "submitted"),
      "CHG-20261128-BBBBBB": change("Emergency payment gateway failover", "assessing", { type: "emergency", priority: "critical", riskLevel: "critical" }),
      "CHG-20261128-CCCCCC": change("Update docs", "closed", { priority: "low" }),
      "CHG-20261127-DDDDDD": change("Migrate the on-premise database", "rejected", { riskLevel: "high" }),
    });
    await window.goTo("#/changes");
    const column = (status) => window.page.locator(`[data-status="${status}"]`);
    await column("submitted").getByText("<b>Rotate</b> the certificates").waitFor();
    assert.equal(await column("rejected").locator(".change").count(), 1);
    server.change("CHG-20261128-AAAAAA", { status: "assessing" });
    await column("assessing").getByText("<b>Rotate</b> the certificates").waitFor();
    assert.equal(await column("submitted").locator(".change").count(), 0);
    server.change("CHG-20261128-EEEEEE", change("A new one", "submitted"));
    await column("submitted").getByText("A new one").waitFor();
    // Two versions on: what is between is read.
    server.change("CHG-20261128-EEEEEE", { status: "assessing" }, { silent: true });
    server.change("CHG-20261128-EEEEEE", { riskLevel: "medium" });
    await column("assessing").getByText("A new one").waitFor();
    await window.shoot("changes-board");
    assert.deepEqual(window.wrong, []);
  });

  await t.test("change requests are on the board, whichever node moves them", async () => {
    const post = async (path, body) => {
      const answer = await fetch(`${second.url}/v1/changes${path}`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      });
      assert.ok(answer.ok, await answer.clone().text());
      return answer.json();
    };
    await one.goTo("#/changes");
    const title = "Rotate the keys of the ledger";
    const isIn = (status) => one.page.locator(`[data-status="${status}"]`).getByText(title, { exact: true }).waitFor();
    const { changeId } = await post("", { title, description: "Once a year", requestor: "erin" });
    await isIn("submitted");
    await post(`/${changeId}/assessments`, {});
    await isIn("assessing");
    await post(`/${changeId}/decisions`, { approverId: "alice.chen", decision: "rejected", comments: "Not this week" });
    await isIn("rejected");
    await one.shoot("changes-real");
    assert.deepEqual(one.wrong, []);
  });

  await t.test("an error's code leads to what it means", async () => {
    const { type } = await (await fetch(`${first.url}/v1/objects/object/none`)).json();
    assert.equal(type, "/#object_not_found");
    await one.page.goto(first.url + type);
    await one.page.locator("tr:target", { hasText: "object_not_found" }).waitFor();
    await one.shoot("errors");
  });

  await t.test("a node that neither window uses dies: it is seen, and everything goes on", async () => {
    await one.goTo("#/");
    await two.goTo("#/counter/clicks");
    await valueIs(two, 2);
    await third.kill();
    await one.page.locator(`.node.is-away[data-node="${third.id}"]`).waitFor();
    await one.page.locator(".problem").first().waitFor();
    await until("the others lead", async () => (await one.page.locator("td .replica.is-leader:not(.is-away)").count()) === 12, 20_000);
    await one.shoot("cluster-node-lost");
    await more(two);
    await valueIs(two, 3);
    for (const window of both) await window.goTo("#/document/notes");
    for (const window of both) await area(window).and(window.page.locator(":enabled")).waitFor();
    await area(one).pressSequentially("still ");
    await area(two).pressSequentially("going ");
    await converged("still ", "going ");
    await one.goTo("#/");
    const again = await third.again();
    t.after(() => again.kill());
    await one.page.locator(`.node.is-up[data-node="${third.id}"]`).waitFor();
    await settled(first.url, 3);
    await sees(one, "All is well");
  });

  await t.test("a window whose own node dies says so, and comes back with it", async () => {
    await one.goTo("#/document/notes");
    await area(one).and(one.page.locator(":enabled")).waitFor();
    two.mayBeGone = true;
    await second.kill();
    await two.page.locator("#lost", { hasText: "does not answer" }).waitFor();
    await two.page.locator(`#lost a[href^="${first.url}/"]`).waitFor();
    await two.page.locator(".state.is-silent").first().waitFor();
    // Both write on: what is written without a server waits in the window.
    await area(two).pressSequentially("(two, alone) ");
    await area(one).pressSequentially("(one, with the others) ");
    await two.shoot("document-server-lost");
    const back = await second.again();
    t.after(() => back.kill());
    await two.page.locator("#lost").waitFor({ state: "hidden" });
    await converged("(two, alone) ", "(one, with the others) ");
    await two.page.locator("h1 .state.is-ok").waitFor();
    two.mayBeGone = false;
    for (const window of both) await window.goTo("#/counter/clicks");
    await more(two);
    for (const window of both) await valueIs(window, 4);
  });

  await t.test("dark, and on a phone", async () => {
    const phone = await open(started, first.url, { viewport: { width: 390, height: 844 }, colorScheme: "dark" });
    const object = `#/object/object/${encodeURIComponent(HOSTILE)}`;
    for (const [name, hash] of [["cluster", "#/"], ["object", object], ["counter", "#/counter/clicks"], ["document", "#/document/notes"]]) {
      await phone.goTo(hash);
      await phone.page.locator(name === "cluster" ? "table.shards" : ".state.is-ok:not(a)").first().waitFor();
      const wide = await phone.page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      assert.ok(!wide, `${name} is not wider than a phone`);
      await phone.shoot(`phone-${name}`);
    }
    assert.deepEqual(phone.wrong, []);
  });

  assert.deepEqual([one.wrong, two.wrong], [[], []], "nothing was thrown, refused by the policy, or complained of");
});
