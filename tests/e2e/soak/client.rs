//! A client: somebody at a browser who signs in, calls, and signs out in all the ways there are; and holds the app to what the oracle says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use openidconnect::reqwest::StatusCode;

use super::browser::{Browser, Gone, Page};
use super::oracle::{Oracle, Scope, SignIn, Verdict};
use crate::examples::web_app::provider::{Provider, Tell};
use oubliette_testkit::chance::Chance;

/// What all clients share.
pub(crate) struct Soak {
    pub(crate) app: String,
    pub(crate) provider: Provider,
    pub(crate) oracle: Oracle,
    /// How often the app was killed.
    pub(crate) deaths: AtomicU64,
    pub(crate) counts: Mutex<BTreeMap<&'static str, u64>>,
    /// Browsers as they were when they were found signed out, and the sign-ins they were of.
    pub(crate) old: Mutex<Vec<(Browser, SignIn)>>,
}

impl Soak {
    pub(crate) fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }
}

pub(crate) struct Client {
    world: Arc<Soak>,
    number: usize,
    user: usize,
    tenant: usize,
    browser: Browser,
    signed_in: Option<SignIn>,
    /// The number of deaths before the user was last served by the API, or signed in.
    served_at: u64,
    /// The number of its last answer.
    answer: u64,
    chance: Chance,
}

pub(crate) fn user(number: usize) -> String {
    format!("user{number}")
}

pub(crate) fn tenant(number: usize) -> String {
    format!("tenant{number}")
}

impl Client {
    pub(crate) fn new(
        world: Arc<Soak>,
        number: usize,
        user: usize,
        tenant: usize,
        chance: Chance,
    ) -> Self {
        Self {
            world,
            number,
            user,
            tenant,
            browser: Browser::new(),
            signed_in: None,
            served_at: 0,
            answer: 0,
            chance,
        }
    }

    /// Does one thing. Whether the app was there for it.
    pub(crate) async fn acts(&mut self) -> Result<(), Gone> {
        let Some(sign_in) = self.signed_in else {
            return if self.chance.one_in(4) {
                self.tries_an_old_cookie().await
            } else {
                self.signs_in().await
            };
        };
        match self.chance.below(10_000) {
            0..6500 => self.calls(sign_in).await,
            6500..8990 => self.looks(sign_in).await,
            8990..9240 => self.signs_out_here().await,
            9240..9490 => self.signs_out_at_the_provider().await,
            9490..9590 => self.is_signed_out_everywhere().await,
            9590..9620 => self.signs_out("/sign-out-tenant", Scope::Tenant(self.tenant)).await,
            9620..9623 => self.signs_out("/sign-out-everybody", Scope::Everybody).await,
            _ => self.tries_an_old_cookie().await,
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.world.app)
    }

    async fn signs_in(&mut self) -> Result<(), Gone> {
        self.browser = Browser::new();
        let deaths = self.world.deaths.load(Ordering::SeqCst);
        let first = self.world.oracle.tick();
        let page = self.browser.get(&self.at("/login")).await?;
        let page = self.browser.get(&page.redirects()).await?;
        let issuer = self.world.provider.issuer().to_owned();
        let (request, who) = (
            page.hidden("request").unwrap(),
            format!("{} {}", user(self.user), tenant(self.tenant)),
        );
        let page = self
            .browser
            .post(&format!("{issuer}/sign-in"), &[("request", &request), ("as", &who)])
            .await?;
        let began = self.world.oracle.tick();
        let page = self.browser.get(&page.redirects()).await?;
        let returned = self.world.oracle.tick();
        let sign_in =
            SignIn { client: self.number, user: self.user, tenant: self.tenant, began, returned };
        if page.to.is_none() {
            // A sign-out that came meanwhile counts; one of everybody ends also the sessions of those who are about to sign in.
            let verdict =
                self.world.oracle.verdict(&SignIn { began: first, ..sign_in }, first, returned);
            assert_eq!(verdict, Verdict::Either, "{}: {}", page.status, page.text);
            self.world.count("logins that a sign-out overtook");
            return Ok(());
        }
        assert_eq!(page.redirects(), self.at("/"), "{}", page.text);
        (self.signed_in, self.served_at) = (Some(sign_in), deaths);
        self.world.count("signed in");
        self.looks(sign_in).await
    }

    /// The app's page says who is signed in.
    async fn looks(&mut self, sign_in: SignIn) -> Result<(), Gone> {
        let began = self.world.oracle.tick();
        let page = self.browser.get(&self.at("/")).await?;
        self.judge(sign_in, began, &page);
        Ok(())
    }

    /// Calls the API. The answer must be new, and for this user.
    async fn calls(&mut self, sign_in: SignIn) -> Result<(), Gone> {
        let deaths = self.world.deaths.load(Ordering::SeqCst);
        let began = self.world.oracle.tick();
        let page = self.browser.post(&self.at("/call-api"), &[]).await?;
        assert_eq!(page.redirects(), self.at("/"), "{}", page.text);
        let page = self.browser.get(&self.at("/")).await?;
        if !self.judge(sign_in, began, &page) {
            return Ok(());
        }
        let answer = page.content("api-answer").unwrap();
        match answer
            .split_once(' ')
            .and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?)))
        {
            Some((name, number)) => {
                assert_eq!(name, user(self.user), "somebody else's token");
                assert!(number > self.answer, "the user is signed in, and the API was not called");
                (self.answer, self.served_at) = (number, deaths);
                self.world.count("called");
            }
            None => {
                // A refresh token was redeemed, and the app killed before it could store the next one: that costs a sign-in.
                assert!(answer.contains("sign in again"), "{answer}");
                let deaths = self.world.deaths.load(Ordering::SeqCst);
                assert!(
                    deaths > self.served_at,
                    "no more tokens for {}, though nobody was killed",
                    user(self.user)
                );
                self.world.count("refreshes lost with the process");
                self.signed_in = None;
            }
        }
        Ok(())
    }

    /// Whether the page is one of somebody who is signed in; if that is as it must be.
    fn judge(&mut self, sign_in: SignIn, began: u64, page: &Page) -> bool {
        let is_served = served(page, &sign_in);
        let verdict = self.world.oracle.verdict(&sign_in, began, self.world.oracle.tick());
        match (is_served, verdict) {
            (true, Verdict::Refused) => panic!("signed out, and served: {sign_in:?}"),
            (false, Verdict::Served) => panic!("signed out by nobody: {sign_in:?}"),
            _ => {}
        }
        self.world.count(if is_served { "served" } else { "found signed out" });
        if !is_served {
            self.is_out(sign_in);
        }
        is_served
    }

    fn is_out(&mut self, sign_in: SignIn) {
        self.signed_in = None;
        let mut old = self.world.old.lock().unwrap();
        let kept = (self.browser.clone(), sign_in);
        if old.len() < 1000 {
            old.push(kept);
        } else {
            let index = self.chance.below(1000) as usize;
            old[index] = kept;
        }
    }

    async fn signs_out_here(&mut self) -> Result<(), Gone> {
        let (world, sign_in) = (self.world.clone(), self.signed_in.unwrap());
        let asked = world.oracle.asks(Scope::User(self.user));
        let page = self.browser.post(&self.at("/sign-out"), &[]).await?;
        let to = page.redirects();
        if to == self.at("/") {
            world.oracle.is_over(asked); // the user was out already
            self.is_out(sign_in);
            return Ok(());
        }
        assert!(to.starts_with(world.provider.issuer()), "{to}");
        world.oracle.is_done(asked);
        world.count("signed out here");
        self.looks(sign_in).await?;
        self.is_out(sign_in);
        // And on to the provider, which tells of it once more.
        let asked = world.oracle.asks(Scope::User(self.user));
        let page = self.browser.get(&to).await?;
        self.fetches_frames(&page).await?;
        world.oracle.is_over(asked);
        Ok(())
    }

    /// Signs out as from any other app: the provider's page tells, by whichever channel.
    async fn signs_out_at_the_provider(&mut self) -> Result<(), Gone> {
        let (world, sign_in) = (self.world.clone(), self.signed_in.unwrap());
        let of_user = world.oracle.asks(Scope::User(self.user));
        let own = world.oracle.asks(Scope::Client(self.number));
        let issuer = world.provider.issuer().to_owned();
        let page = self
            .browser
            .post(&format!("{issuer}/end-session/answer"), &[("answer", "yes")])
            .await?;
        let is_told = is_told(&page);
        // A frame ends the session that it names; what else its user has, only if that one was still there.
        let has_fetched = self.fetches_frames(&page).await?;
        if is_told {
            world.oracle.is_done(of_user);
            world.oracle.is_done(own);
            world.count("signed out by the back channel");
        } else if has_fetched {
            world.oracle.is_over(of_user);
            world.oracle.is_done(own);
            world.count("signed out by the front channel");
        }
        self.looks(sign_in).await
    }

    /// Whether there were any.
    async fn fetches_frames(&mut self, page: &Page) -> Result<bool, Gone> {
        // In a frame, the browser sends no cookies of the app's.
        let mut frame = Browser::new();
        for url in page.frames() {
            let page = frame.get(&url).await?;
            assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        }
        Ok(!page.frames().is_empty())
    }

    async fn is_signed_out_everywhere(&mut self) -> Result<(), Gone> {
        let (world, sign_in) = (self.world.clone(), self.signed_in.unwrap());
        let asked = world.oracle.asks(Scope::User(self.user));
        let issuer = world.provider.issuer().to_owned();
        let page = self.browser.post(&format!("{issuer}/end-everywhere"), &[]).await?;
        let is_told = is_told(&page);
        self.fetches_frames(&page).await?;
        if is_told {
            world.oracle.is_done(asked);
            world.count("signed out everywhere");
        }
        self.looks(sign_in).await
    }

    async fn signs_out(&mut self, path: &'static str, scope: Scope) -> Result<(), Gone> {
        let (world, sign_in) = (self.world.clone(), self.signed_in.unwrap());
        let asked = world.oracle.asks(scope);
        let page = self.browser.post(&self.at(path), &[("tenant", &tenant(self.tenant))]).await?;
        if page.status != StatusCode::SEE_OTHER {
            // The tenant has nobody any more: nothing was done.
            world.oracle.is_over(asked);
            return self.looks(sign_in).await;
        }
        world.oracle.is_done(asked);
        world.count(if path == "/sign-out-tenant" {
            "tenants signed out"
        } else {
            "everybody signed out"
        });
        self.looks(sign_in).await
    }

    /// A cookie from before a sign-out serves nobody, however late.
    async fn tries_an_old_cookie(&mut self) -> Result<(), Gone> {
        let world = self.world.clone();
        let found = {
            let old = world.old.lock().unwrap();
            let index = self.chance.below(old.len() as u64) as usize;
            old.get(index).cloned()
        };
        let Some((mut browser, sign_in)) = found else { return Ok(()) };
        let began = world.oracle.tick();
        browser.post(&self.at("/call-api"), &[]).await?;
        let page = browser.get(&self.at("/")).await?;
        // If nobody was told that the sign-out is durable, a crash may have undone it.
        if world.oracle.verdict(&sign_in, began, world.oracle.tick()) == Verdict::Refused {
            assert!(
                !served(&page, &sign_in),
                "a cookie from before the sign-out serves {sign_in:?}"
            );
            world.count("old cookies refused");
        }
        Ok(())
    }

    /// By which channel the provider tells, from now on.
    pub(crate) fn tells(world: &Soak, life: u64) {
        world
            .provider
            .tell([Tell::BackChannel, Tell::FrontChannel, Tell::Both][(life % 3) as usize]);
    }
}

/// Whether the app has answered the provider that it has signed the user out. A refusal would be the worst of all.
fn is_told(page: &Page) -> bool {
    let answers = page
        .text
        .split(r#"data-channel="back" data-status=""#)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap());
    let mut is_told = false;
    for answer in answers {
        assert!(
            ["200", "no answer"].contains(&answer),
            "the app answered the provider with {answer}"
        );
        is_told |= answer == "200";
    }
    is_told
}

/// Whether the page knows somebody: the right one, then.
fn served(page: &Page, sign_in: &SignIn) -> bool {
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let name = page.attribute("me", "data-user").unwrap_or_else(|| panic!("{}", page.text));
    assert!(name.is_empty() || name == user(sign_in.user), "somebody else's session: {name}");
    !name.is_empty()
}

impl Page {
    fn redirects(&self) -> String {
        self.to.clone().unwrap_or_else(|| panic!("{}: {}", self.status, self.text))
    }
}
