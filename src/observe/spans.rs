//! Spans and events, through the `tracing` facade.

/// The span of a verb, entered until it is dropped.
pub(super) struct Span(#[cfg(feature = "tracing")] pub(super) tracing::span::EnteredSpan);

impl Span {
    /// Says what became of the verb.
    pub(super) fn outcome(&self, outcome: &'static str) {
        #[cfg(feature = "tracing")]
        self.0.record("outcome", outcome);
        #[cfg(not(feature = "tracing"))]
        let _ = outcome;
    }
}

/// Opens the span of a verb, with at most one field beside its outcome.
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)?) => {{
        $(#[cfg(not(feature = "tracing"))]
        let _ = $value;)?
        $crate::observe::spans::Span(
            #[cfg(feature = "tracing")]
            tracing::debug_span!(
                target: "oubliette",
                $name
                $(, $field = $value)?,
                outcome = tracing::field::Empty
            )
            .entered(),
        )
    }};
}

/// Warns: an operator should look.
macro_rules! alert {
    ($message:literal $(, $field:ident = $value:expr)*) => {{
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "oubliette", $($field = $value,)* $message);
        #[cfg(not(feature = "tracing"))]
        { $(let _ = &$value;)* }
    }};
}

/// Notes what is of use in the search for a fault.
macro_rules! note {
    ($message:literal $(, $field:ident = $value:expr)*) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "oubliette", $($field = $value,)* $message);
        #[cfg(not(feature = "tracing"))]
        { $(let _ = &$value;)* }
    }};
}

pub(super) use {alert, note, span};

/// The span that a verb was called in, to be carried over to another thread.
#[cfg(feature = "tokio")]
pub(crate) struct Parent(#[cfg(feature = "tracing")] tracing::Span);

#[cfg(feature = "tokio")]
impl Parent {
    pub(crate) fn current() -> Self {
        Self(
            #[cfg(feature = "tracing")]
            tracing::Span::current(),
        )
    }

    pub(crate) fn within<T>(self, run: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        return self.0.in_scope(run);
        #[cfg(not(feature = "tracing"))]
        run()
    }
}
