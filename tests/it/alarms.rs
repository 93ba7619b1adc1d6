//! Alarms, through the example of an embedder's own class served by its own `main`.
//! (Written with the example.)
