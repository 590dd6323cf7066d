//! A provider's keys (RFC 7517).
