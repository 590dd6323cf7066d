//! Why a callback is refused.
