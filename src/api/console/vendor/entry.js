// What the console uses of Yjs, and no more.
export { Doc, UndoManager, applyUpdate, createAbsolutePositionFromRelativePosition, createRelativePositionFromJSON, createRelativePositionFromTypeIndex, relativePositionToJSON } from "yjs";
export { WebsocketProvider } from "y-websocket";
