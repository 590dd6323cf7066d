//! The store on real input, from import to sign-out, and what is left after its process was killed.
//!
//! Run it with `cargo run --release --example quickstart`. Whatever it claims it has checked: if a claim is false, it says which
//! and fails.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use oubliette::msal::{MsalCache, MsalSignIn};
use oubliette::{
    AccessQuery, AccessToken, Account, AccountId, Alias, AliasKind, ClientId, Error, KeySource,
    LiveSignIn, ManualClock, Page, RefreshQuery, RefreshToken, Scopes, SignIn, SignOut,
    SignOutScope, TenantId, Token, TokenStore,
};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// When the sample caches were written: 2026-11-20T00:00:00Z. An app does without; its clock is the system's.
const NOW: Duration = Duration::from_secs(1_795_132_800);
/// The app that signs users in.
const WEB_APP: &str = "c1000000-0000-4000-8000-000000000001";

fn main() -> Result<ExitCode> {
    if let Some(folder) = std::env::args_os().nth(1) {
        // Started by `survive_a_kill`.
        work_until_killed(Path::new(&folder))?;
    }
    // Beside this program, and not in the system's folder for temporary files, which is often memory only: there a sync costs
    // nothing, and the times at the end would tell nothing.
    let program = std::env::current_exe()?;
    let folder = tempfile::tempdir_in(program.parent().ok_or("the program is in no folder")?)?;
    write_a_random_key(folder.path())?;

    let mut claims = Claims::default();
    import_and_list(folder.path(), &mut claims)?;
    sign_out_beats_a_late_refresh(folder.path(), &mut claims)?;
    survive_a_kill(folder.path(), &program, &mut claims)?;
    time_the_sign_out(folder.path(), &mut claims)?;
    Ok(claims.sum_up())
}

/// 32 random bytes as text, in a file for its owner alone. Keep yours away from the store: in a secret's mount, a systemd
/// credential or a key management service.
fn write_a_random_key(folder: &Path) -> Result {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    write!(file, "hex:{hex}")?;
    file.persist(folder.join("key"))?;
    Ok(())
}

fn open(folder: &Path) -> oubliette::Result<TokenStore> {
    TokenStore::builder(folder.join("tokens"))
        .key(KeySource::file(folder.join("key")))
        .clock(ManualClock::new(SystemTime::UNIX_EPOCH + NOW))
        .open()
}

/// Takes over the caches that MSAL for Python and for Node wrote.
fn import_and_list(folder: &Path, claims: &mut Claims) -> Result {
    println!("Importing the token caches of two MSAL libraries");
    let store = open(folder)?;
    let mut tenants: BTreeMap<TenantId, HashSet<AccountId>> = BTreeMap::new();
    for name in ["msal-python.json", "msal-node.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/msal").join(name);
        let cache = MsalCache::read(&fs::read(path)?)?;
        claims.check(&format!("every entry of {name} is understood"), cache.problems.is_empty());
        let (mut given, mut stored, accounts) = (0, 0, cache.sign_ins.len());
        for MsalSignIn { sign_in, others, tokens, .. } in cache.sign_ins {
            // The account's other sessions and subjects first, so that a sign-out by one of these finds it too.
            for other in others {
                store.sign_in(other)?;
            }
            tenants.entry(sign_in.tenant().clone()).or_default().insert(sign_in.account().clone());
            given += tokens.len();
            stored += store.sign_in(sign_in)?.put(tokens)?.stored;
        }
        claims.check(
            &format!("all {given} tokens of its {accounts} accounts are stored"),
            stored == given,
        );
    }
    store.close()?;

    println!("\nWho is signed in, by tenant (the store was closed and opened again)");
    let store = open(folder)?;
    for (tenant, imported) in &tenants {
        println!("  {}", tenant.as_str());
        let found = store.accounts_in(tenant, Page::first(100))?.accounts;
        for account in &found {
            let names: BTreeSet<&str> =
                account.sign_ins.iter().flat_map(|live| live.aliases()).map(Alias::value).collect();
            let name = names.first().unwrap_or(&"the app itself");
            println!("         {name}, sign-ins: {}", account.sign_ins.len());
        }
        let is_found = |id: &AccountId| found.iter().any(|account| account.id == *id);
        let claim = format!("the accounts imported for it ({}) are among these", imported.len());
        claims.check(&claim, imported.iter().all(is_found));
    }
    store.close()?;
    Ok(())
}

/// A refresh that is under way when its user signs out must not bring the tokens back.
fn sign_out_beats_a_late_refresh(folder: &Path, claims: &mut Claims) -> Result {
    println!("\nA refresh in flight, and a sign-out");
    let store = open(folder)?;
    let client = ClientId::new(WEB_APP)?;
    let user = find(&store, "user-1@example.com")?.ok_or("user-1 was not imported")?;
    let live = user.sign_ins.first().ok_or("user-1 is not signed in")?.clone();
    let wanted = AccessQuery::new(client.clone()).scopes(Scopes::parse("Mail.Read")?);
    check_tokens_of_user_1(&live, &wanted, claims)?;

    let (answer, provider) = mpsc::channel::<[Token; 2]>();
    let handle = live.clone();
    let in_flight = std::thread::spawn(move || provider.recv().map(|tokens| handle.put(tokens)));

    let receipt = store.sign_out(SignOut::account(&user.id))?;
    claims.check(
        "user-1 signs out meanwhile, and no token can be read any more",
        live.access_token(&wanted)?.is_none(),
    );

    let tokens = [
        access_token("Mail.Read", "FAKE-late")?.into(),
        RefreshToken::new(client, "FAKE-late").into(),
    ];
    answer.send(tokens)?;
    let late = in_flight.join().map_err(|_| "the refresh panicked")??;
    claims.check(
        "the provider answers late, and the new tokens are refused (Error::SignedOut)",
        matches!(late, Err(Error::SignedOut)),
    );
    let last = store.last_sign_out(&SignOutScope::Account(user.id.clone()))?.record;
    let is_recorded = last.is_some_and(|record| record.position == receipt.position);
    claims
        .check(&format!("the sign-out is on record, as number {}", receipt.position), is_recorded);
    claims.check("user-2 is still signed in", find(&store, "user-2@example.com")?.is_some());
    store.close()?;

    let store = open(folder)?;
    claims.check("after a restart user-1 is still signed out", store.account(&user.id)?.is_empty());
    store.close()?;
    Ok(())
}

/// The account that has a sign-in with this e-mail address, if there is one.
fn find(store: &TokenStore, email: &str) -> oubliette::Result<Option<Account>> {
    let alias = Alias::new(AliasKind::Email, email)?;
    Ok(store.accounts_of_alias(&alias)?.into_iter().next())
}

/// Checks the tokens that user-1 has before the sign-out.
fn check_tokens_of_user_1(live: &LiveSignIn, wanted: &AccessQuery, claims: &mut Claims) -> Result {
    let token = live.access_token(wanted)?;
    let allows_more = token.as_ref().is_some_and(|token| token.scopes.len() > 1);
    claims.check(
        "user-1 asks for Mail.Read, and gets the token that allows it and more",
        allows_more,
    );
    let refresh_token = live.refresh_token(RefreshQuery::family("1"))?;
    claims.check(
        "user-1 has a refresh token, and the app sends it to the provider",
        refresh_token.is_some(),
    );
    Ok(())
}

/// Runs this program once more, and kills it while it works on the store.
fn survive_a_kill(folder: &Path, program: &Path, claims: &mut Claims) -> Result {
    println!("\nA process that is killed at work");
    let mut child = Command::new(program).arg(folder).stdout(Stdio::piped()).spawn()?;
    let acknowledged = kill_at_work(&mut child, folder, claims)?;

    let store = open(folder)?;
    println!(
        "  It had said of {} users that they are signed out, and of {} that they stay.",
        acknowledged.gone.len(),
        acknowledged.stay.len()
    );
    let (mut back, mut lost) = (0, 0);
    for number in acknowledged.gone {
        back += store.account(&user(number)?)?.len();
    }
    for number in acknowledged.stay {
        let live = store.account(&user(number)?)?.into_iter().next();
        let token =
            live.map(|live| live.refresh_token(&ClientId::new(WEB_APP)?)).transpose()?.flatten();
        lost += usize::from(
            token.is_none_or(|token| token.secret.expose() != refresh_token_of(number)),
        );
    }
    claims.check(
        "opened again, the store lets none of those come back that were signed out",
        back == 0,
    );
    claims.check("it has the refresh tokens of all that stay", lost == 0);
    store.close()?;
    Ok(())
}

/// The numbers of the users of whom the child has said that they stay signed in, or are signed out.
#[derive(Default)]
struct Acknowledged {
    stay: Vec<u32>,
    gone: Vec<u32>,
}

/// Reads what the child says, and kills it after its hundredth sign-out.
fn kill_at_work(child: &mut Child, folder: &Path, claims: &mut Claims) -> Result<Acknowledged> {
    let mut output = BufReader::new(child.stdout.take().ok_or("the child has no output")?);
    let (mut said, mut was_killed) = (Acknowledged::default(), false);
    let mut line = String::new();
    // To the end of its output, so that all that it acknowledged counts. A line that was cut off
    // does not count.
    while output.read_line(&mut line)? > 0 && line.ends_with('\n') {
        match line.trim_end().split_once(' ') {
            Some(("stays", number)) => said.stay.push(number.parse()?),
            Some(("gone", number)) => said.gone.push(number.parse()?),
            _ => return Err("the child said what was not agreed on".into()),
        }
        line.clear();
        if said.gone.len() == 1 && said.stay.is_empty() {
            let is_refused = matches!(open(folder), Err(Error::AlreadyOpen { .. }));
            claims.check("while it works, no other process can open the store", is_refused);
        }
        if said.gone.len() == 100 && !was_killed {
            child.kill()?;
            was_killed = true;
        }
    }
    let status = child.wait()?;
    claims.check(
        "it was killed while it was signing users in and out",
        was_killed && !status.success(),
    );
    Ok(said)
}

/// The other process: signs users in, and every other one out again, and says so when the store did.
fn work_until_killed(folder: &Path) -> Result {
    let store = open(folder)?;
    for number in 0.. {
        let live = store.sign_in(SignIn::new(user(number)?, TenantId::new("example")?))?;
        live.put(RefreshToken::new(ClientId::new(WEB_APP)?, refresh_token_of(number)))?;
        if number % 2 == 0 {
            store.sign_out(SignOut::account(live.account()))?;
            println!("gone {number}");
        } else {
            println!("stays {number}");
        }
    }
    Ok(())
}

/// Tells how long a durable sign-out takes. A figure is no claim: it depends on the disk.
fn time_the_sign_out(folder: &Path, claims: &mut Claims) -> Result {
    println!("\nHow long a durable sign-out takes");
    let store = open(folder)?;
    let users = (1_000_000..1_000_200).map(user).collect::<Result<Vec<_>, Error>>()?;
    for user in &users {
        let live = store.sign_in(SignIn::new(user.clone(), TenantId::new("example")?))?;
        let token = |n| Ok(access_token(&format!("api-{n}/read"), &"x".repeat(1600))?.into());
        live.put((0..10).map(token).collect::<Result<Vec<Token>, Error>>()?)?;
    }

    // The yardstick is the least that it can take: 64 bytes written to space that is there already, and synced.
    let mut file = File::create(folder.join("yardstick"))?;
    file.write_all(&[1; 64 * 1024])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let (mut sign_outs, mut appends, mut left) = (Vec::new(), Vec::new(), 0);
    for user in &users {
        let start = Instant::now();
        store.sign_out(SignOut::account(user))?;
        sign_outs.push(start.elapsed());
        left += store.account(user)?.len();
        // The deleting goes on behind a sign-out. Here each of the two has the disk for itself.
        store.wait_reclaimed()?;

        let start = Instant::now();
        file.write_all(&[2; 64])?;
        file.sync_data()?;
        appends.push(start.elapsed());
    }
    claims.check("200 users with 10 tokens of 1.6 kB each are signed out, one by one", left == 0);
    let (sign_out, append) = (median(sign_outs), median(appends));
    println!(
        "  A sign-out took {} us, a bare synced append of 64 bytes {} us (medians, measured in turn):",
        sign_out.as_micros(),
        append.as_micros()
    );
    println!(
        "  {:.2} times as long. That is information, and no claim.",
        sign_out.as_secs_f64() / append.as_secs_f64()
    );
    store.close()?;
    Ok(())
}

fn access_token(scopes: &str, secret: &str) -> oubliette::Result<AccessToken> {
    let in_an_hour = SystemTime::UNIX_EPOCH + NOW + Duration::from_secs(3600);
    Ok(AccessToken::new(ClientId::new(WEB_APP)?, Scopes::parse(scopes)?, secret, in_an_hour))
}

fn user(number: u32) -> oubliette::Result<AccountId> {
    AccountId::new("login.example.com", format!("user-{number}"))
}

fn refresh_token_of(number: u32) -> String {
    format!("FAKE-refresh-token-of-user-{number}")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// How many claims held, and how many did not.
#[derive(Default)]
struct Claims {
    held: usize,
    broken: usize,
}

impl Claims {
    fn check(&mut self, claim: &str, holds: bool) {
        println!("  {} {claim}", if holds { "[true] " } else { "[FALSE]" });
        *if holds { &mut self.held } else { &mut self.broken } += 1;
    }

    fn sum_up(self) -> ExitCode {
        println!("\n{} of {} claims held.", self.held, self.held + self.broken);
        if self.broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
