// The routes of the benchmark on workerd: one Durable Object a counter, its value in SQLite. The
// output gate holds each answer until the write is durable, as ours does.
import { DurableObject } from "cloudflare:workers";

const ROUTE = /^\/v1\/objects\/counter\/([^/]+)(\/methods\/increment)?$/;

export class Counter extends DurableObject {
  constructor(context, environment) {
    super(context, environment);
    this.sql = context.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY, value INTEGER)");
  }

  increment() {
    const cursor = this.sql.exec(
      "INSERT INTO counter VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET value = value + 1 RETURNING value",
    );
    return cursor.one().value;
  }

  value() {
    return this.sql.exec("SELECT value FROM counter").toArray()[0]?.value ?? 0;
  }
}

export default {
  async fetch(request, environment) {
    const route = ROUTE.exec(new URL(request.url).pathname);
    if (!route) return new Response("Not found", { status: 404 });
    const counter = environment.COUNTER.get(environment.COUNTER.idFromName(route[1]));
    if (route[2]) {
      const value = await counter.increment();
      return Response.json({ result: { value }, version: value });
    }
    const value = await counter.value();
    return Response.json({ class: "counter", name: route[1], version: value, state: { value } });
  },
};
