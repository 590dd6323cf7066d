//! Forms and queries, read with care.
