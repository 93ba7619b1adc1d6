// Checked by the compiler alone: the declarations are those of the code, and serve as the README says.
import * as declared from "../stead.js";
import { connect as connectOfCode } from "../src/client.js";
import { SteadError as ErrorOfCode } from "../src/error.js";
import { Feed as FeedOfCode } from "../src/feed.js";
import { Subscription as SubscriptionOfCode } from "../src/subscription.js";

export const connect: typeof declared.connect = connectOfCode;
export const error: typeof declared.SteadError = ErrorOfCode;
export const subscription = (code: SubscriptionOfCode): declared.Subscription => code;
export const feed = (code: FeedOfCode): declared.Feed => code;

export async function session(): Promise<number> {
  const client = declared.connect({ servers: ["http://127.0.0.1:8080"] });
  const likes = client.object("counter/likes");
  const { result, version } = await likes.call("increment", { by: 2 }, { ifMatch: 0 });
  const following = likes.subscribe({
    onInit: ({ state }) => console.log(state),
    onUpdate: ({ changes, deleted }, { state }) => console.log(changes["value"], deleted.length, state),
    onState: (event) => event.state === "waiting" && console.log(event.delayMs),
  });
  for await (const event of following) {
    if (event.type === "update") console.log(event.changes, event.by);
    // @ts-expect-error: a deletion changes no keys one by one
    if (event.type === "deleted") console.log(event.changes);
  }
  following.present({ name: "Ada" });
  for (const [id, data] of following.presence) console.log(id === following.self, data);
  // @ts-expect-error: who is present is not for clients to say
  following.presence.set("me", 1);
  for await (const event of client.feed("counter", { onGap: ({ cursor }) => console.log(cursor) })) {
    if (event.type === "update" && !event.too_large) console.log(event.object, event.changes);
    // @ts-expect-error: what is too large to keep has no changes
    if (event.type === "update") console.log(event.changes);
  }
  // @ts-expect-error: a key is text, or false
  await likes.call("increment", {}, { idempotencyKey: true });
  return version + Number(result);
}
