//! **Demonstration.** Slow refreshes: the provider has issued new tokens, and its answer is on its
//! way while the user signs out.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use oubliette::{AccessRequest, AcquireError, AsyncSignIn, Grant, RefreshError, Tokens};
use tokio::sync::watch;

use super::super::app::{App, calls};
use super::super::ordinary::Got;
use super::super::ordinary::calls::got;
use super::Shown;
use super::view::{name_of, who_of};

/// So many are shown.
const MOST: usize = 10;

#[derive(Default)]
pub(crate) struct Refreshes {
    shown: Mutex<VecDeque<Refresh>>,
    under_way: watch::Sender<usize>,
}

#[derive(Clone)]
pub(super) struct Refresh {
    number: usize,
    pub(super) whom: String,
    /// `under-way`, `stored`, `signed-out` or `failed`.
    pub(super) outcome: &'static str,
}

impl Refreshes {
    /// Newest first.
    pub(super) fn all(&self) -> Vec<Refresh> {
        self.lock().iter().cloned().collect()
    }

    /// Waits until none is under way.
    pub(crate) async fn are_done(&self) {
        // The sender is ours, so it is there.
        let _ = self.under_way.subscribe().wait_for(|under_way| *under_way == 0).await;
    }

    fn begin(&self, whom: String) -> usize {
        let mut shown = self.lock();
        let number = shown.front().map_or(0, |newest| newest.number + 1);
        shown.push_front(Refresh { number, whom, outcome: "under-way" });
        shown.truncate(MOST);
        self.under_way.send_modify(|under_way| *under_way += 1);
        number
    }

    fn end(&self, number: usize, outcome: &'static str) {
        self.lock()
            .iter_mut()
            .filter(|refresh| refresh.number == number)
            .for_each(|refresh| refresh.outcome = outcome);
        self.under_way.send_modify(|under_way| *under_way -= 1);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Refresh>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins one, and returns.
pub(super) fn begin(shown: Shown, live: AsyncSignIn) {
    let number = shown.board.refreshes.begin(name_of(live.account()));
    tokio::spawn(async move {
        let outcome = refresh(&shown, &live).await;
        shown.board.refreshes.end(number, outcome);
    });
}

async fn refresh(Shown { app, board, .. }: &Shown, live: &AsyncSignIn) -> &'static str {
    let request = AccessRequest::new(calls::wanted(app)).force_refresh();
    let (refresher, held_back) = (app.clone(), board.slow_refresh);
    let (ordinary, who) = (board.ordinary.clone(), who_of(live));
    let acquired = app.acquirer.acquire_async(live, request, async move |grant| {
        let (tokens, got) = redeem(&refresher, &grant).await?;
        tokio::time::sleep(held_back).await;
        if let Some(ordinary) = ordinary {
            ordinary.refreshed(&who, &got);
        }
        Ok::<_, RefreshError>(tokens)
    });
    match acquired.await {
        Ok(_) => "stored",
        Err(AcquireError::SignedOut) => {
            if let Err(error) = board.story.has_refreshed_late() {
                eprintln!("{error}");
            }
            "signed-out"
        }
        Err(_) => "failed",
    }
}

/// As [`calls::redeem`]: for the store, and once more for the ordinary cache.
async fn redeem(app: &App, grant: &Grant) -> Result<(Tokens, Got), RefreshError> {
    let client = app.oidc.client(app).await.map_err(RefreshError::failed)?;
    let token = grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
    let token = openidconnect::RefreshToken::new(token.secret.expose().to_owned());
    let request = client.exchange_refresh_token(&token)?.request_async(&app.http);
    let response = request.await?;
    Ok((grant.tokens(&response)?, got(&response)))
}
