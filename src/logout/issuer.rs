//! Whose sign-outs are taken, and how their tokens are checked.
