/**
 * What the package offers. JSON bodies keep the field names that they have on the wire.
 * Numbers are JavaScript's: beyond 2^53 whole numbers lose digits, so keep such values as text.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** Whether the same request may be sent again: it surely did not happen, it may have, or it never helps. */
export type Retry = "safe" | "unknown" | "never";

export interface ConnectOptions {
  /** Any nodes of the cluster, like `"http://127.0.0.1:8080"`. One is enough; more survive its loss. */
  servers: readonly string[];
  /** For Node before 22, which has no WebSocket of its own: that of npm's `ws`, for example. */
  WebSocket?: WebSocketConstructor;
  /** Another `fetch` than the global one. */
  fetch?: typeof fetch;
  /** Other times than the usual ones, in milliseconds. */
  timing?: Partial<Timing>;
}

/** As much of a WebSocket as is used here. */
export interface WebSocketLike {
  onopen: ((event: any) => unknown) | null;
  onmessage: ((event: any) => unknown) | null;
  onclose: ((event: any) => unknown) | null;
  onerror: ((event: any) => unknown) | null;
  send(text: string): void;
  close(): void;
}
export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** All in milliseconds. */
export interface Timing {
  /** Until a call is given up, its retries included. 30,000. */
  call: number;
  /** Longest one try of it may take. 11,000: a server answers within 10 s. */
  attempt: number;
  /** First pause before an HTTP request is tried again; doubles up to `retryMax`. 50. */
  retryMin: number;
  /** 2,000. */
  retryMax: number;
  /** Until a WebSocket is open. 5,000. */
  open: number;
  /** From there until its first frame. 15,000: a server waits 10 s for an election. */
  firstFrame: number;
  /** Silence after which a ping is sent. 15,000. */
  silence: number;
  /** Silence after a ping that means the connection is dead. 10,000. */
  pong: number;
  /** First pause before connecting again; doubles up to `reconnectMax`. 500. */
  reconnectMin: number;
  /** 30,000. */
  reconnectMax: number;
  /** How long a connection lives before the pauses begin anew. 5,000. */
  stable: number;
  /** Shortest pause where the server says that it has too many clients. 5,000. */
  tooMany: number;
}

/** A client of a cluster. It holds no connection until something is asked. */
export function connect(options: ConnectOptions): Client;

export interface Client {
  /**
   * The object at `"class/name"`; the name is all after the first `/`. Nothing is asked yet.
   * @throws TypeError if no server could have such an object.
   */
  object(address: string): SteadObject;
  /**
   * Everything that happens to the objects of a class, from now on or from a cursor on, until it is closed.
   * @throws TypeError if no server could have such a class.
   */
  feed(cls: string, options?: FeedOptions): Feed;
}

export interface AskOptions {
  /** Gives up when aborted. */
  signal?: AbortSignal;
  /** Until it is given up, retries included, in milliseconds. */
  timeoutMs?: number;
}

export interface WriteOptions extends AskOptions {
  /**
   * One is made for every write, so that a retry after a lost answer is safe. Give your own to retry
   * later, or in another process; `false` sends none, and then only what surely did not happen is retried.
   */
  idempotencyKey?: string | false;
  /** The version that the object must have, else 412 `version_mismatch`; 0: it must not exist. */
  ifMatch?: number;
}

export interface SocketCallOptions {
  /** As in {@link WriteOptions}. */
  idempotencyKey?: string | false;
  /** Until the call is given up, in milliseconds. */
  timeoutMs?: number;
}

export interface Answer {
  result: Json;
  /** The object's version after the call. */
  version: number;
}

export interface Snapshot {
  class: string;
  name: string;
  version: number;
  state: JsonObject;
  updated_at: string;
}

export interface Written {
  class: string;
  name: string;
  version: number;
}

/** An update as history has it: of an ordinary commit, of one too large to keep, or of the object's deletion. */
export type HistoryEntry = { object: string } & (
  | (Change & { deleted_object?: false; too_large?: false })
  | { version: number; too_large: true; deleted_object?: false }
  | { version: number; deleted_object: true; too_large?: false }
);

export interface History {
  updates: HistoryEntry[];
  version: number;
  /** False if the history no longer reaches back to `since`. */
  complete: boolean;
}

export interface SteadObject {
  readonly address: string;
  readonly class: string;
  readonly name: string;
  /** The object now. Rejects with 404 `object_not_found` if there is none. */
  get(options?: AskOptions): Promise<Snapshot>;
  /** Calls a method. */
  call(method: string, params?: JsonObject, options?: WriteOptions): Promise<Answer>;
  /** Puts each key of `state`; keys that are not named stay. Makes the object if there is none. */
  put(state: JsonObject, options?: WriteOptions): Promise<Written>;
  /** Deletes the object. Rejects with 404 `object_not_found` if there is none. */
  delete(options?: WriteOptions): Promise<void>;
  /** The last changes: those after the version `since`. */
  history(options?: { since?: number; limit?: number } & AskOptions): Promise<History>;
  /** Follows the object until it is closed. Each subscription is a socket of its own. */
  subscribe(options?: SubscribeOptions): Subscription;
}

/** What one commit changed. `cleared` comes before `changes`. */
export interface Change {
  version: number;
  changes: JsonObject;
  deleted: string[];
  cleared?: boolean;
  method: string;
  by: string;
  timestamp: string;
  /** Of the class `document`: the edit of `content` in Quill's form, instead of the whole text in `changes`. */
  delta?: Json[];
}

/** The whole state: at the beginning, and where the history does not reach back to what was missed. */
export interface InitEvent {
  type: "init";
  /** 0 for an object that was never written. */
  version: number;
  /** `null` when it is too large for one frame (16 MiB): then the keys are read page by page, `GET …/state`. */
  state: Readonly<JsonObject> | null;
}
export interface UpdateEvent extends Change {
  type: "update";
}
/** The object was deleted. It may be made again; versions go on from here. */
export interface DeletedEvent {
  type: "deleted";
  version: number;
}
export type ObjectEvent = InitEvent | UpdateEvent | DeletedEvent;

export type StateEvent =
  | { state: "connecting"; server: string }
  /** The state is current, or becomes so with the updates that now follow. */
  | { state: "live"; server: string; resumed: boolean }
  | { state: "waiting"; delayMs: number; reason: string }
  /** For good; without `error` if it was closed here. */
  | { state: "closed"; error?: SteadError };

export interface SubscribeOptions {
  /** The last version seen, to be told only what came after it. */
  since?: number;
  /** The state at `since`. Without it the state is `null` until an `init` comes. */
  state?: JsonObject;
  onInit?: (event: InitEvent, subscription: Subscription) => void;
  onUpdate?: (event: UpdateEvent, subscription: Subscription) => void;
  onDeleted?: (event: DeletedEvent, subscription: Subscription) => void;
  onState?: (event: StateEvent, subscription: Subscription) => void;
  /** The client is present from the start, and shows this to all who follow the object. See `present`. */
  presence?: Json;
  /** Who came, went, or shows something else; also what changed while the connection was lost. */
  onPresence?: (event: PresenceEvent, subscription: Subscription) => void;
  onSignal?: (event: SignalEvent, subscription: Subscription) => void;
  /** A presence or a signal was refused: too many are present, too many signals wait. */
  onError?: (error: SteadError, subscription: Subscription) => void;
}

/** Ids are those of subscriptions, a new one for each connection. */
export interface PresenceEvent {
  joined: { id: string; data: Json }[];
  left: string[];
  changed: { id: string; data: Json }[];
}

export interface SignalEvent {
  /** The id of the subscription that sent it. */
  from: string;
  data: Json;
}

/**
 * One object, followed. Every version comes once and in order, through lost connections and lost nodes.
 * As an async iterator it gives the state as an `init`, then every event; a reader that lags behind by
 * 1,024 events is given another `init` instead of them. Leaving the loop closes the subscription.
 */
export interface Subscription extends AsyncIterable<ObjectEvent> {
  /** The last version seen; `undefined` before the first frame. */
  readonly version: number | undefined;
  /**
   * The state at that version, frozen; a new one for every version. `null` while it is not known: before
   * the first `init`, where it is too large, where an editor embedded other things than text in a document.
   */
  readonly state: Readonly<JsonObject> | null;
  /** Resolves with the first `init` or resumption; rejects if the subscription ends before. */
  readonly opened: Promise<void>;
  /**
   * Calls a method over the socket. When it resolves, `state` has what the call changed. Calls are sent
   * in order; with a key they are sent again over the next connection if the answer was lost.
   */
  call(method: string, params?: JsonObject, options?: SocketCallOptions): Promise<Answer>;
  /**
   * Who is present now, this client too if it is, by id: a view that stays as it is; a new one for every change.
   * While the connection is lost it is who was present before.
   */
  readonly presence: ReadonlyMap<string, Json>;
  /** This subscription's id among those present, a new one for every connection; `undefined` before the first frame. */
  readonly self: string | undefined;
  /**
   * Is present from now on, and shows `data` (at most 16 KiB as JSON) to all who follow the object; again, it
   * shows something else. Said again by itself after a lost connection; closing ends it.
   */
  present(data: Json): void;
  /**
   * Tells all others who follow the object, once; nothing is kept. At most 64 KiB as JSON.
   * @returns false, and sends nothing, while there is no connection.
   */
  signal(data: Json): boolean;
  /** Ends it. Iterators end; calls that wait are rejected. */
  close(): void;
  [Symbol.asyncIterator](): AsyncIterator<ObjectEvent, undefined, undefined>;
}

/** One commit of one object of the class. */
export type FeedUpdateEvent = {
  type: "update";
  /** Its address, `"class/name"`. */
  object: string;
  /** What to come back with for everything behind this event. */
  cursor: string;
} & ((Change & { too_large?: false }) | { version: number; too_large: true });
export interface FeedDeletedEvent {
  type: "deleted";
  object: string;
  cursor: string;
  version: number;
}
/** Changes are missing here, for the cursor is too old (100,000 entries of a shard's log): list the class again. */
export interface GapEvent {
  type: "gap";
  cursor: string;
}
export type FeedEvent = FeedUpdateEvent | FeedDeletedEvent | GapEvent;

export interface FeedOptions {
  /** Of the last event seen, to be told everything behind it. Without it the feed begins now. */
  cursor?: string;
  onUpdate?: (event: FeedUpdateEvent, feed: Feed) => void;
  onDeleted?: (event: FeedDeletedEvent, feed: Feed) => void;
  onGap?: (event: GapEvent, feed: Feed) => void;
  onState?: (event: StateEvent, feed: Feed) => void;
}

/**
 * The objects of a class, followed, through lost connections and lost nodes. The changes of one object come in
 * the order of its versions. As an async iterator it gives every event from then on; a reader that lags behind
 * by 1,024 events is given a `gap` instead of them. Leaving the loop closes the feed.
 */
export interface Feed extends AsyncIterable<FeedEvent> {
  readonly class: string;
  /** What to come back with for everything not yet told; `undefined` before the first frame. */
  readonly cursor: string | undefined;
  /** Resolves when it follows: from then on nothing is missed. Rejects if the feed ends before. */
  readonly opened: Promise<void>;
  /** Ends it. Iterators end. */
  close(): void;
  [Symbol.asyncIterator](): AsyncIterator<FeedEvent, undefined, undefined>;
}

export interface SteadErrorParts {
  status?: number;
  code: string;
  detail: string;
  retry: Retry;
  retryAfterMs?: number | undefined;
  idempotencyKey?: string | undefined;
  cause?: unknown;
}

/** Everything that a server refuses, or that cannot be asked. */
export class SteadError extends Error {
  constructor(parts: SteadErrorParts);
  /** The status of the HTTP answer; 0 where there was none. */
  readonly status: number;
  /** A stable word, like `object_not_found`; `unreachable` and `aborted` are this package's own. */
  readonly code: string;
  readonly detail: string;
  /** Of all tries together: `safe` only if none of them can have happened. */
  readonly retry: Retry;
  /** When the server would like to be asked again. */
  readonly retryAfterMs: number | undefined;
  /** The key that was sent: with it the same call may be retried even when `retry` is `unknown`. */
  readonly idempotencyKey: string | undefined;
}
