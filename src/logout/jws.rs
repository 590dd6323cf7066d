//! Signed tokens in compact form (RFC 7515).
