//! What a callback is answered, in plain types.
