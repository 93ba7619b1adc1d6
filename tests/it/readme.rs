//! The README's session, line by line, as a new user would type it.
//! (Written with the README.)
