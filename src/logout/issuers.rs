//! The issuers whose sign-outs are taken: by the route that a callback came on, or by the name that it gives itself.

use std::sync::Arc;
use std::time::SystemTime;

use super::issuer::{Checked, Issuer};
use super::rejected::Rejected;
use super::token::{LogoutToken, Unverified};
use crate::error::{Error, Result};

/// The issuers whose sign-outs are taken. No token adds one: its `iss` only chooses among them. Clones share the list.
///
/// An issuer with a [name](Issuer::named) has callbacks of its own; those without one share the callbacks without a name.
#[derive(Clone, Debug)]
pub struct Issuers(Arc<[Issuer]>);

impl Issuers {
    /// These.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there are none, if two are the same provider or have the same name, or if a setting of one is wrong.
    pub fn new(issuers: impl IntoIterator<Item = Issuer>) -> Result<Self> {
        let mut list: Vec<Issuer> = Vec::new();
        for issuer in issuers {
            if let Some((field, problem)) = issuer.mistake {
                return Err(Error::invalid(field, problem));
            }
            if list.iter().any(|other| other.provider().issuer() == issuer.provider().issuer()) {
                return Err(Error::invalid("issuers", "two are the same provider: give one of them both clients"));
            }
            if issuer.name().is_some() && list.iter().any(|other| other.name() == issuer.name()) {
                return Err(Error::invalid("issuers", "two have the same name"));
            }
            list.push(issuer);
        }
        if list.is_empty() { Err(Error::invalid("issuers", "there are none")) } else { Ok(Self(list.into())) }
    }

    /// In the order that they were given in.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Issuer> {
        self.0.get(place)
    }

    /// Checks a token that came on this route: by the first issuer there whose it is and for whose app. Several can take an `iss`, as two apps of
    /// one Entra tenant do; which one is meant, the audience says. Gives the issuer's place too.
    pub(super) async fn receive(
        &self,
        route: Option<&str>,
        token: &Unverified<'_>,
        now: SystemTime,
    ) -> Result<(usize, LogoutToken), Rejected> {
        let (place, issuer, checked) = self.candidate(route, token, now)?;
        Ok((place, issuer.believe(checked, token).await?))
    }

    fn candidate(
        &self,
        route: Option<&str>,
        token: &Unverified<'_>,
        now: SystemTime,
    ) -> Result<(usize, &Issuer, Checked), Rejected> {
        let mut why = Rejected::UnknownIssuer;
        for (place, issuer) in self.on_route(route) {
            match issuer.check(token, now) {
                Ok(checked) => return Ok((place, issuer, checked)),
                // The sender is told what the issuer that it most likely means says.
                Err(rejected) if nearness(rejected) > nearness(why) => why = rejected,
                Err(_) => {}
            }
        }
        Err(why)
    }

    /// Whether a token that came on this route would be taken, if only its signature were right.
    pub(super) fn check(&self, route: Option<&str>, token: &Unverified<'_>, now: SystemTime) -> Result<(), Rejected> {
        self.candidate(route, token, now).map(drop)
    }

    /// The issuer on that route that a request speaks of: by `iss`, or the only one.
    pub(super) fn takes(&self, route: Option<&str>, iss: Option<&str>) -> Option<&Issuer> {
        let mut issuers = self.on_route(route).map(|(_, issuer)| issuer);
        match iss {
            Some(iss) => issuers.find(|issuer| issuer.provider().takes_issuer(iss, None)),
            None => issuers.next().filter(|_| issuers.next().is_none()),
        }
    }

    fn on_route(&self, route: Option<&str>) -> impl Iterator<Item = (usize, &Issuer)> {
        self.0.iter().enumerate().filter(move |(_, issuer)| issuer.name() == route)
    }
}

fn nearness(rejected: Rejected) -> u8 {
    match rejected {
        Rejected::UnknownIssuer => 0,
        Rejected::WrongAudience => 1,
        _ => 2,
    }
}
