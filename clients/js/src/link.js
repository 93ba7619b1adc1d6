/**
 * The connection of one subscription or feed: opened, watched, and opened again elsewhere when it is lost.
 *
 * At most one socket is alive; what an older one still says is not heard. A browser shows no pings of
 * the server, so silence is answered by a ping of our own: a sleeping laptop or a cut cable ends no
 * connection by itself.
 */

import { socketUrl } from "./address.js";
import { SteadError, objectOf } from "./error.js";
import { pauseMs } from "./limits.js";

const PING = '{"type":"ping"}';
/** After these, and all others from 4400 to 4499, coming back would not help. */
const FINAL = new Map([
  [1007, "invalid_request"],
  [1009, "body_too_large"],
  [4401, "unauthenticated"],
  [4403, "forbidden"],
  [4404, "class_not_found"],
]);
const TOO_MANY = 4529;

/**
 * @typedef {object} Listener
 * @property {() => string} path of the socket to open, with its query: what to come back with may be in it
 * @property {() => string} [greeting] what is said as soon as the socket is open
 * @property {(frame: { [key: string]: any }) => boolean | undefined} begins whether what a frame begins goes on
 *   from where it was left; `undefined` for a frame that begins nothing
 * @property {(frame: { [key: string]: any }) => void} frame
 * @property {(event: import("../stead.js").StateEvent) => void} state
 * @property {() => void} lost
 * @property {(error: SteadError) => void} end for good; not called by `close`
 */

export class Link {
  /** @type {import("../stead.js").WebSocketLike | undefined} */
  #socket;
  #server = 0;
  #failures = 0;
  #heardAt = 0;
  /** When the socket's first frame came. @type {number | undefined} */
  #liveAt;
  /** The one timer: of what is waited for now. @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #closed = false;
  #servers;
  #timing;
  #WebSocket;
  #listener;

  /**
   * @param {import("./client.js").Ways} ways
   * @param {Listener} listener
   */
  constructor({ servers, timing, WebSocket }, listener) {
    this.#servers = servers;
    this.#timing = timing;
    this.#WebSocket = WebSocket;
    this.#listener = listener;
  }

  /** Whether the frame that begins has come: then calls may be sent. */
  get live() {
    return this.#liveAt !== undefined;
  }

  /** Opens a socket to the server whose turn it is. */
  connect() {
    if (this.#closed) return;
    const server = /** @type {string} */ (this.#servers[this.#server % this.#servers.length]);
    this.#listener.state({ state: "connecting", server });
    if (this.#closed) return;
    let socket;
    try {
      socket = new this.#WebSocket(socketUrl(server, this.#listener.path()));
    } catch (error) {
      this.drop(`the socket could not be made: ${error}`);
      return;
    }
    this.#socket = socket;
    let trouble = "";
    socket.onopen = () => {
      this.#await(this.#timing.firstFrame, "no first frame in time");
      if (this.#listener.greeting !== undefined) this.send(this.#listener.greeting());
    };
    socket.onmessage = ({ data }) => this.#heard(data, server);
    socket.onerror = (event) => (trouble = event?.message ?? "");
    socket.onclose = ({ code, reason }) => this.#ended(code, reason || trouble);
    this.#await(this.#timing.open, "not open in time");
  }

  /** @param {string} text */
  send(text) {
    this.#socket?.send(text);
  }

  /**
   * Lets the socket go and comes back later, elsewhere.
   * @param {string} reason
   * @param {number} [pauseMinMs]
   */
  drop(reason, pauseMinMs = 0) {
    if (this.#closed) return;
    const stable = this.#liveAt !== undefined && performance.now() - this.#liveAt >= this.#timing.stable;
    this.#failures = stable ? 1 : this.#failures + 1;
    this.#letGo();
    this.#listener.lost();
    const pause = pauseMs(this.#failures, this.#timing.reconnectMin, this.#timing.reconnectMax);
    const delayMs = Math.max(pause, pauseMinMs);
    this.#timer = setTimeout(() => {
      this.#server += 1;
      this.connect();
    }, delayMs);
    this.#listener.state({ state: "waiting", delayMs, reason });
  }

  close() {
    this.#closed = true;
    this.#letGo();
  }

  /** @param {unknown} data @param {string} server */
  #heard(data, server) {
    this.#heardAt = performance.now();
    const frame = typeof data === "string" ? objectOf(data) : undefined;
    if (frame === undefined) {
      this.drop("a frame that is not a JSON object");
      return;
    }
    const resumed = this.#liveAt === undefined ? this.#listener.begins(frame) : undefined;
    if (resumed !== undefined) {
      this.#liveAt = this.#heardAt;
      this.#watch(this.#timing.silence);
      this.#listener.state({ state: "live", server, resumed });
    }
    if (!this.#closed) this.#listener.frame(frame);
  }

  /** @param {number} code @param {string} reason */
  #ended(code, reason) {
    const told = `closed with ${code}${reason ? ` (${reason})` : ""}`;
    if (!FINAL.has(code) && (code < 4400 || code > 4499)) {
      this.drop(told, code === TOO_MANY ? this.#timing.tooMany : 0);
      return;
    }
    this.close();
    this.#listener.end(new SteadError({ code: FINAL.get(code) ?? "refused", detail: reason || told, retry: "never" }));
  }

  /** @param {number} ms @param {string} reason why the socket is dropped when the time is over */
  #await(ms, reason) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.drop(reason), ms);
  }

  /** Asks for a sign of life when there was none for a while. @param {number} ms */
  #watch(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const silent = performance.now() - this.#heardAt;
      if (silent < this.#timing.silence) {
        this.#watch(this.#timing.silence - silent);
        return;
      }
      const askedAt = performance.now();
      this.send(PING);
      this.#timer = setTimeout(() => {
        if (this.#heardAt < askedAt) this.drop("no answer to a ping");
        else this.#watch(this.#timing.silence);
      }, this.#timing.pong);
    }, ms);
  }

  #letGo() {
    clearTimeout(this.#timer);
    this.#liveAt = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // Npm's `ws` throws errors that nobody listens to, also that of a close before the opening.
    socket.onerror = () => {};
    socket.close();
  }
}
