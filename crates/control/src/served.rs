//! What the app's log tells of its operators: each request, without a name.

use std::fmt;
use std::time::Duration;

/// A request that is over, for [`on_request`](crate::ControlSocketBuilder::on_request). It has no
/// name of a user.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Served {
    /// The verb, as [`Request::verb`](crate::Request::verb) says it; `None` if what came was none.
    pub verb: Option<&'static str>,
    /// `done`, or the kind of the [`Fault`](crate::Fault).
    pub outcome: String,
    /// The user at the other end, if the system tells.
    pub uid: Option<u32>,
    /// The process at the other end, likewise.
    pub pid: Option<i32>,
    /// Whether the answer could be sent.
    pub is_answered: bool,
    /// How long it took.
    pub took: Duration,
}

/// What is called with each request that is over.
pub(crate) type Hook = Box<dyn Fn(&Served) + Send + Sync>;

impl Served {
    /// Tells the log and the app.
    pub(crate) fn tell(&self, hook: Option<&Hook>) {
        #[cfg(feature = "tracing")]
        tracing::info!(
            target: "oubliette_control",
            verb = self.verb.unwrap_or("none"),
            outcome = self.outcome.as_str(),
            uid = self.uid,
            pid = self.pid,
            is_answered = self.is_answered,
            milliseconds = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "a request of an operator"
        );
        if let Some(hook) = hook {
            hook(self);
        }
    }
}

/// Connections that were refused at the door, since the last time that the log was told.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    count: u64,
    told: Option<std::time::Instant>,
}

impl Refused {
    /// Counts one more. The log is told of the first, and then once a minute at most: whoever may
    /// not ask must not fill it.
    pub(crate) fn count(&mut self, why: impl fmt::Display) {
        self.count += 1;
        let is_due = self.told.is_none_or(|told| told.elapsed() >= Duration::from_secs(60));
        if is_due {
            #[cfg(feature = "tracing")]
            tracing::warn!(
                target: "oubliette_control",
                count = self.count,
                why = %why,
                "the control socket refused connections"
            );
            let _ = why;
            (self.count, self.told) = (0, Some(std::time::Instant::now()));
        }
    }
}
