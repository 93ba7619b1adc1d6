/** The Python SDK, the Inspector's command line, and servers of others behind ours. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { cluster, until } from "../../clients/js/test/cluster.js";
import { front } from "./front.js";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const WITHIN = { timeout: 90_000 };
const NODE22 = join(dirname(require.resolve("node/package.json")), "bin/node");

for (const mode of ["legacy", "2026-07-28"]) {
  test(`the Python SDK, ${mode}`, WITHIN, async (t) => {
    const python = process.env["PYTHON"];
    if (python === undefined) return t.skip("PYTHON names no Python that has mcp");
    const nodes = await cluster(t, 3);
    const url = await front(t, nodes);
    const script = new URL("client.py", import.meta.url).pathname;
    const running = run(python, [script, `${url}/mcp`, mode, nodes[1].url], { timeout: 80_000 });
    // It says when it wants its node to die.
    running.child.stdout.on("data", (said) => String(said).includes("kill") && nodes[0].kill().then(() => running.child.stdin.end("killed\n")));
    const { stdout } = await running;
    assert.match(stdout, /done\s*$/);
  });
}

const INSPECTOR = join(dirname(require.resolve("@modelcontextprotocol/inspector/package.json")), "clients/launcher/build/index.js");

test("the Inspector's command line", WITHIN, async (t) => {
  const [node] = await cluster(t, 1);
  const inspect = async (...args) => {
    const { stdout } = await run(NODE22, [INSPECTOR, "--cli", `${node.url}/mcp`, "--transport", "http", ...args], { timeout: 60_000 });
    return JSON.parse(stdout);
  };
  const { tools } = await inspect("--method", "tools/list", "--strict");
  assert.ok(tools.some(({ name }) => name === "create_change_request"));
  const called = await inspect("--method", "tools/call", "--tool-name", "counter_increment", "--tool-arg", "name=inspected", "by=3");
  assert.equal(JSON.parse(called.content[0].text).result.value, 3);
  const read = await inspect("--method", "resources/read", "--uri", "stead://counter/inspected");
  assert.deepEqual(JSON.parse(read.contents[0].text), { value: 3 });
  const { prompts } = await inspect("--method", "prompts/list");
  assert.equal(prompts.length, 3);
});

test("another server's tools, resources and prompts, until its process ends, and after", WITHIN, async (t) => {
  const home = await mkdtemp(join(tmpdir(), "stead-mcp-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  const everything = require.resolve("@modelcontextprotocol/server-everything/package.json");
  const config = join(home, "stead.toml");
  await writeFile(config, [
    "[mcpServers.every]", `command = ${JSON.stringify(process.execPath)}`,
    `args = [${JSON.stringify(join(dirname(everything), "dist/index.js"))}]`,
    'autoApprove = ["echo"]', "timeout_ms = 5000",
    "[mcpServers.gone]", 'command = "/nowhere/no-such-program"',
    "[mcpServers.off]", 'command = "/nowhere/no-such-program"', "disabled = true", "",
  ].join("\n"));
  const [node] = await cluster(t, 1, ["--config", config]);
  const client = new Client({ name: "stead-tests", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${node.url}/mcp`)));
  t.after(() => client.close());
  const named = async (name) => (await client.listTools()).tools.find((tool) => tool.name === name);
  await until("the server is reached", () => named("every__echo"), 30_000);
  const echo = await named("every__echo");
  assert.equal(echo._meta["stead/auto-approve"], true);
  const call = (name, args) => client.callTool({ name, arguments: args });
  const echoed = await call("every__echo", { message: "hello" });
  assert.match(echoed.content[0].text, /hello/);
  const { resources } = await client.listResources();
  const theirs = resources.find(({ uri }) => uri.startsWith("stead-mcp:every/"));
  const { contents } = await client.readResource({ uri: theirs.uri });
  assert.equal(contents[0].uri, theirs.uri);
  const { prompts } = await client.listPrompts();
  const prompt = prompts.find(({ name, arguments: wanted }) => name.startsWith("every__") && !wanted?.some(({ required }) => required));
  assert.ok((await client.getPrompt({ name: prompt.name })).messages.length > 0);
  await assert.rejects(call("nobody__echo", {}), /Server not found/);
  await assert.rejects(call("gone__echo", {}), /Server process terminated/);
  await assert.rejects(call("off__echo", {}), /Server not found/);
  // Its own tools and ours answer while another is dead; the child dies, and is begun again.
  const child = Number((await run("pgrep", ["-f", "server-everything/dist/index.js", "-P", String(node.pid)])).stdout.trim());
  process.kill(child, "SIGKILL");
  await until("its death is seen", async () => {
    try {
      await call("every__echo", { message: "x" });
      return false;
    } catch (error) {
      return /Server process terminated/.test(error.message);
    }
  });
  assert.equal((await call("counter_increment", { name: "beside" })).structuredContent.result.value, 1);
  await until("it is begun again", async () => {
    try {
      return /again/.test((await call("every__echo", { message: "again" })).content[0].text);
    } catch {
      return false;
    }
  }, 30_000);
});

/** A node with this configuration, and a client of it. */
async function routing(t, lines) {
  const home = await mkdtemp(join(tmpdir(), "stead-mcp-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  const config = join(home, "stead.toml");
  await writeFile(config, [...lines(home), ""].join("\n"));
  const [node] = await cluster(t, 1, ["--config", config]);
  const client = new Client({ name: "stead-tests", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${node.url}/mcp`)));
  t.after(() => client.close());
  const names = async () => (await client.listTools()).tools.map(({ name }) => name);
  return { home, node, client, names, call: (name, args) => client.callTool({ name, arguments: args }) };
}

const everything = () => join(dirname(require.resolve("@modelcontextprotocol/server-everything/package.json")), "dist/index.js");

test("a server over HTTP is followed when its lists change", WITHIN, async (t) => {
  // It begins its own server when a file is there, and so has more tools from then on.
  const script = (gate) => `while ! test -e ${gate}; do sleep 0.05; done; exec ${process.execPath} ${everything()}`;
  const behind = await routing(t, (home) => [
    "[mcpServers.every]", 'command = "sh"', `args = ["-c", ${JSON.stringify(script(join(home, "gate")))}]`,
  ]);
  const before = await routing(t, () => [
    "[mcpServers.far]", `url = "${behind.node.url}/mcp"`, 'headers = { "X-Request-Id" = "from-before" }',
  ]);
  await until("the server is reached", async () => (await before.names()).includes("far__counter_increment"), 30_000);
  assert.equal((await before.names()).includes("far__every__echo"), false);
  const counted = await before.call("far__counter_increment", { name: "far", by: 4 });
  assert.equal(counted.structuredContent.result.value, 4);
  const read = await before.client.readResource({ uri: "stead-mcp:far/stead://counter/far" });
  assert.deepEqual(JSON.parse(read.contents[0].text), { value: 4 });
  await writeFile(join(behind.home, "gate"), "");
  await until("the list is listed anew", async () => (await before.names()).includes("far__every__echo"), 30_000);
  const echoed = await before.call("far__every__echo", { message: "through two" });
  assert.match(echoed.content[0].text, /through two/);
});

test("a server that answers late is given up in time, then not asked for a while, and slows nobody", WITHIN, async (t) => {
  const { names, call } = await routing(t, () => [
    "[mcpServers.every]", `command = ${JSON.stringify(process.execPath)}`, `args = [${JSON.stringify(everything())}]`, "timeout_ms = 1500",
  ]);
  const long = "every__trigger-long-running-operation";
  await until("the server is reached", async () => (await names()).includes(long), 30_000);
  const slow = () => call(long, { duration: 60, steps: 1 });
  let isOver = false;
  const running = assert.rejects(slow(), /Server timed out: every did not answer within 1.5 s/).finally(() => (isOver = true));
  await call("counter_increment", { name: "beside" });
  assert.equal(isOver, false, "a call beside it waited for it");
  await running;
  for (let n = 0; n < 4; n += 1) await assert.rejects(slow(), /Server timed out/);
  await assert.rejects(slow(), /Server unavailable: every failed 5 times in a row; it is tried again in \d+ s/);
  await assert.rejects(call("every__echo", { message: "x" }), /Server unavailable/);
});
