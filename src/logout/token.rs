//! Tokens that say that somebody has signed out.
