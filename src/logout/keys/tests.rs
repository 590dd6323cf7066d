//! Fetching, with a pretended provider and a pretended clock.
