/** Where an object is: its address, and the URLs made of it. What no server could have is refused here,
 * because a browser is not told why a WebSocket was refused. */

const CLASS = /^[a-z][a-z0-9-]{0,63}$/;
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const NAME_MAX_BYTES = 512;

/**
 * @param {string} address `class/name`; the name is all after the first `/`
 * @returns {{ class: string, name: string, path: string }}
 */
export function parseAddress(address) {
  const slash = typeof address === "string" ? address.indexOf("/") : -1;
  if (slash < 0) throw new TypeError(`an address is "class/name", not ${JSON.stringify(address)}`);
  const [cls, name] = [address.slice(0, slash), address.slice(slash + 1)];
  checkClass(cls);
  const bytes = new TextEncoder().encode(name).length;
  if (bytes === 0 || bytes > NAME_MAX_BYTES || name === "." || name === ".." || CONTROL.test(name) || !isWellFormed(name)) {
    throw new TypeError(`a name is 1 to ${NAME_MAX_BYTES} bytes without control characters, and neither "." nor ".."`);
  }
  return { class: cls, name, path: `/v1/objects/${cls}/${encodeURIComponent(name)}` };
}

/** @param {readonly string[]} servers @returns {string[]} without the slash at the end */
export function parseServers(servers) {
  if (!Array.isArray(servers) || servers.length === 0) throw new TypeError("give at least one server");
  return servers.map((server) => {
    const url = new URL(server);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new TypeError(`a server is "http://…" or "https://…", not ${JSON.stringify(server)}`);
    }
    if (url.search || url.hash) throw new TypeError(`a server has no query: ${JSON.stringify(server)}`);
    return url.origin + url.pathname.replace(/\/+$/, "");
  });
}

/** @param {string} server @param {string} path */
export function socketUrl(server, path) {
  return server.replace(/^http/, "ws") + path;
}

/** @param {unknown} cls */
export function checkClass(cls) {
  if (typeof cls !== "string" || !CLASS.test(cls)) {
    throw new TypeError(`a class is a lower-case letter, then up to 63 of a-z, 0-9 and "-", not ${JSON.stringify(cls)}`);
  }
}

/** @param {unknown} version @param {string} what */
export function checkVersion(version, what) {
  if (!Number.isSafeInteger(version) || Number(version) < 0) {
    throw new TypeError(`${what} is a version, a whole number from 0, not ${String(version)}`);
  }
}

/** Whether it has no half of a surrogate pair; `String.isWellFormed` is younger than Node 20 in some browsers.
 * @param {string} text */
function isWellFormed(text) {
  return !/\p{Surrogate}/u.test(text);
}
