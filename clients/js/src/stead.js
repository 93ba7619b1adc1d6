/**
 * Client of Stead, for browsers and Node.
 *
 * client        connect, objects
 *   http        requests that are tried until they have an answer
 *   subscription  one object, followed
 *     link      its connection, opened again when lost
 *     replica   its version and state (pure)
 *     calls     calls over the socket
 *     reader    events for one async iterator
 * address, error, key, limits: words that everyone shares
 *
 * A subscription knows its socket only as a link that brings frames. A socket of many objects takes the
 * link's place when servers have it; `replica`, `calls` and what applications see stay.
 */

export { connect } from "./client.js";
export { SteadError } from "./error.js";
