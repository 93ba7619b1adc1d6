/** A client of a cluster, and its objects. */

import { checkClass, checkVersion, parseAddress, parseServers } from "./address.js";
import { Feed } from "./feed.js";
import { Http } from "./http.js";
import { keyOf } from "./key.js";
import { TIMING } from "./limits.js";
import { Subscription } from "./subscription.js";

/**
 * How the cluster is reached.
 * @typedef {object} Ways
 * @property {readonly string[]} servers
 * @property {import("../stead.js").Timing} timing
 * @property {import("../stead.js").WebSocketConstructor} WebSocket
 */

/**
 * @param {import("../stead.js").ConnectOptions} options
 * @returns {import("../stead.js").Client}
 */
export function connect({ servers, timing, fetch, WebSocket = /** @type {any} */ (globalThis).WebSocket }) {
  const parsed = parseServers(servers);
  const times = { ...TIMING, ...timing };
  const http = new Http(parsed, times, fetch);
  const ways = { servers: parsed, timing: times, WebSocket };
  return {
    object: (address) => new SteadObject(http, ways, address),
    feed: (cls, options = {}) => {
      checkClass(cls);
      return new Feed(withSockets(ways), cls, options);
    },
  };
}

/** @param {Ways} ways */
function withSockets(ways) {
  if (typeof ways.WebSocket !== "function") {
    throw new TypeError("there is no WebSocket here: give one to connect(), that of npm's `ws` for example");
  }
  return ways;
}

class SteadObject {
  #http;
  #ways;
  #path;

  /** @param {Http} http @param {Ways} ways @param {string} address */
  constructor(http, ways, address) {
    const parsed = parseAddress(address);
    this.address = address;
    this.class = parsed.class;
    this.name = parsed.name;
    this.#path = parsed.path;
    this.#http = http;
    this.#ways = ways;
  }

  /** @param {import("../stead.js").AskOptions} [options] */
  get(options) {
    return this.#http.request({ method: "GET", path: this.#path, ...askOf(options) });
  }

  /**
   * @param {string} method
   * @param {import("../stead.js").JsonObject} [params]
   * @param {import("../stead.js").WriteOptions} [options]
   */
  async call(method, params = {}, options) {
    const path = `${this.#path}/methods/${encodeURIComponent(method)}`;
    return this.#http.request({ method: "POST", path, body: params, ...writeOf(options) });
  }

  /** @param {import("../stead.js").JsonObject} state @param {import("../stead.js").WriteOptions} [options] */
  async put(state, options) {
    return this.#http.request({ method: "PUT", path: this.#path, body: state, ...writeOf(options) });
  }

  /** @param {import("../stead.js").WriteOptions} [options] */
  async delete(options) {
    await this.#http.request({ method: "DELETE", path: this.#path, ...writeOf(options) });
  }

  /** @param {{ since?: number, limit?: number } & import("../stead.js").AskOptions} [options] */
  async history({ since = 0, limit, ...options } = {}) {
    checkVersion(since, "since");
    const query = limit === undefined ? `since=${since}` : `since=${since}&limit=${limit}`;
    return this.#http.request({ method: "GET", path: `${this.#path}/updates?${query}`, ...askOf(options) });
  }

  /** @param {import("../stead.js").SubscribeOptions} [options] */
  subscribe(options = {}) {
    return new Subscription(withSockets(this.#ways), this.#path, options);
  }
}

/** @param {import("../stead.js").AskOptions} [options] */
function askOf({ signal, timeoutMs } = {}) {
  return { signal, timeoutMs };
}

/** @param {import("../stead.js").WriteOptions} [options] */
function writeOf({ idempotencyKey, ifMatch, ...options } = {}) {
  if (ifMatch !== undefined) checkVersion(ifMatch, "ifMatch");
  return { key: keyOf(idempotencyKey), ifMatch, ...askOf(options) };
}
