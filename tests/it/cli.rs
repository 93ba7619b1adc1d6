//! The command line: golden sessions with output and exit code, against a real node.
//! (Written with the commands.)
