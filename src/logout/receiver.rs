//! Carries sign-outs out.
