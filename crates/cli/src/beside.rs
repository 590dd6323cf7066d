//! Has a request carried out: by the app that has the store open, if that listens at a control
//! socket, and else by this process. What is shown is the same, as the answers are.

use std::ops::ControlFlow;

use oubliette_control::{Answer, Client, Fault, Part, Request};

use crate::args::Shared;
use crate::failure::{Code, Failure};
use crate::place::close_behind;
use crate::report::Report;

/// How parts of the answer are shown as they come.
pub(crate) type Told<'a> = &'a mut dyn FnMut(Part) -> ControlFlow<()>;

impl Shared {
    /// Has a request carried out that needs the open store.
    pub(crate) fn request(
        &self,
        request: &Request,
        told: Told<'_>,
        report: &dyn Fn(&Answer) -> Report,
    ) -> Result<Report, Failure> {
        self.request_or(request, told, report, |told| {
            let store = self.writable()?.open()?;
            let done = request.perform(&store, told);
            let done = done.map(|answer| report(&answer));
            close_behind(store, done.map_err(|fault| failure(fault, report))?)
        })
    }

    /// As [`Shared::request`], for one that this process carries out without opening the store.
    pub(crate) fn request_or(
        &self,
        request: &Request,
        told: Told<'_>,
        report: &dyn Fn(&Answer) -> Report,
        own: impl FnOnce(Told<'_>) -> Result<Report, Failure>,
    ) -> Result<Report, Failure> {
        self.check_exists()?;
        if let Some(answer) = self.by_app(request, told, report)? {
            return Ok(answer);
        }
        match own(told) {
            // The app may have started meanwhile.
            Err(refused) if refused.is(Code::AlreadyOpen) => {
                self.by_app(request, told, report)?.ok_or(refused)
            }
            done => done,
        }
    }

    /// Asks the app; `None` if none listens, or if it has closed the store.
    fn by_app(
        &self,
        request: &Request,
        told: Told<'_>,
        report: &dyn Fn(&Answer) -> Report,
    ) -> Result<Option<Report>, Failure> {
        let Some(client) = Client::connect(self.folder()?)? else { return Ok(None) };
        let mut has_told = false;
        let asked = client.ask(request, &mut |part| {
            has_told = true;
            told(part)
        });
        match asked {
            Ok(answer) => Ok(Some(report(&answer))),
            Err(fault) if fault.kind == "closed" && !has_told => Ok(None),
            Err(fault) => Err(failure(fault, report)),
        }
    }
}

/// The failure, with what was done before it.
fn failure(mut fault: Fault, report: &dyn Fn(&Answer) -> Report) -> Failure {
    match fault.done.take() {
        Some(done) => Failure::from(fault).after(report(&done)),
        None => fault.into(),
    }
}
