/** The README's session is true as printed. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cluster } from "./cluster.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

test("the README's session", async (t) => {
  const [node] = await cluster(t, 1);
  const readme = await readFile(`${ROOT}README.md`, "utf8");
  const [session, loop, room, feed] = [...readme.matchAll(/```js\n([^]*?)```/g)].map(([, code]) => code.replace("http://127.0.0.1:8080", node.url));
  const run = async (code) => (await promisify(execFile)(process.execPath, ["--input-type=module", "-e", code], { cwd: ROOT, timeout: 20_000 })).stdout;
  assert.equal(await run(session), `begins at 0 {}
version 1 { value: 1 }
version 2 { value: 3 }
{ value: 3 } { value: 3 }
`);
  // The loop runs until it is left: here by the first change, made when it has the state.
  const once = loop.replace("{\n", '{\n  if (event.type === "init") likes.call("increment");\n').replace(/\n}/, '\n  if (event.type === "update") break;\n}');
  const head = session.slice(0, session.indexOf("const following"));
  assert.equal(await run(head + once), "{ value: 4 }\n");
  // Presence changes twice at most: from typing at once it may only be told the second.
  const here = await run(`${head + room}\nsetTimeout(() => room.close(), 500);`);
  assert.match(here, /^(here: \[ \{ name: 'Ada' \} \]\n)?here: \[ \{ name: 'Ada', typing: true \} \]\n$/);
  const told = await run(`${head + feed}\nawait feed.opened; await likes.call("increment"); setTimeout(() => feed.close(), 500);`);
  assert.equal(told, "counter/likes 4 { value: 5 }\n");
});
