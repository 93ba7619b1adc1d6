/**
 * Client of Stead, for browsers and Node.
 *
 * client        connect, objects
 *   http        requests that are tried until they have an answer
 *   subscription  one object, followed
 *     link      its connection, opened again when lost
 *     replica   its version and state (pure)
 *     presence  who is present (pure)
 *     calls     calls over the socket
 *     reader    events for one async iterator
 *   feed        all objects of a class, followed; over a link, to readers
 * address, error, key, limits, tell: words that everyone shares
 *
 * Subscriptions and feeds know their socket only as a link that brings frames.
 */

export { connect } from "./client.js";
export { SteadError } from "./error.js";
