//! The tokens that were carried out just now.
