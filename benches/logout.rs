//! The sign-out callbacks: what a provider waits for, and what strangers cost.
//!
//! The durable answer to a logout token beside the answer to the same token once more, which is
//! read and verified all the same and signs nobody out; and beside the store's own sign-out. Then
//! how many signals a second are answered, by one connection and by 64. Then what is refused.
//! Sender and receiver share the machine's cores.
//!
//! `cargo bench --bench logout`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use common::{Bench, TOKENS, client, compare, is_bench, is_short, micros, sizes};
use oubliette::SessionPolicy;
use oubliette::logout::{Algorithm, Issuer, Issuers, KeySet, Keys, Receiver};
use oubliette::openid::Provider;
use oubliette_testkit::encrypter::{Encrypter, KEY_MANAGEMENTS};
use oubliette_testkit::signer::Signer;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const ISSUER: &str = "https://login.example.com";
const FORM: &str = "application/x-www-form-urlencoded";
const CONNECTIONS: usize = 64;

/// A store full of accounts, who takes the signals for it, and who sends them.
struct Callbacks {
    bench: Bench,
    runtime: Runtime,
    receiver: Receiver,
    connection: Connection,
    signer: Signer,
    /// The newest account.
    number: u32,
}

fn main() {
    let (accounts, rounds) = match (is_bench(), is_short()) {
        (false, _) => (200, 2),
        (true, true) => (2_000, 50),
        (true, false) => (*sizes().last().unwrap(), 1000),
    };
    let signer = Signer::new(Algorithm::Rs256);
    let bench = Bench::new(accounts);
    let runtime = Runtime::new().unwrap();
    let issuers = Issuers::new([issuer(&signer)]).unwrap();
    let receiver = Receiver::new(bench.store().clone(), issuers.clone());
    let routes = oubliette::logout::sign_out_routes(bench.store().clone(), issuers);
    let address = runtime.block_on(serve(axum::Router::new().merge(routes)));
    let connection = runtime.block_on(Connection::open(address));
    let mut callbacks =
        Callbacks { bench, runtime, receiver, connection, signer, number: accounts };

    println!(
        "{accounts} accounts of {TOKENS} tokens of 1.6 kB; tokens signed with RS256 (2048 bits)"
    );
    println!(
        "{:<62} {:>12} {:>12} {:>7} {:>7} {:>9}",
        "", "ours", "yardstick", "ratio", "at most", "quartiles"
    );
    answers(&mut callbacks, rounds);
    refusals(&mut callbacks, rounds);
    throughput(&callbacks, address, accounts);
    algorithms(if is_bench() { rounds } else { 1 });
    decryptions(if is_bench() { rounds } else { 1 });
}

/// One signal after the other.
fn answers(callbacks: &mut Callbacks, rounds: usize) {
    let durable = |c: &mut Callbacks| {
        let body = c.prepare();
        c.posts(&body)
    };
    let again = |c: &mut Callbacks| {
        let body = c.prepare();
        c.posts(&body);
        c.bench.store().wait_reclaimed().unwrap();
        c.posts(&body)
    };
    compare(
        "POST, durable | the same again: verified, no sign-out",
        rounds,
        None,
        callbacks,
        durable,
        again,
    );
    let durable = |c: &mut Callbacks| {
        let body = c.prepare();
        c.receives(&body, 200)
    };
    let again = |c: &mut Callbacks| {
        let body = c.prepare();
        c.receives(&body, 200);
        c.bench.store().wait_reclaimed().unwrap();
        c.receives(&body, 200)
    };
    compare(
        "Receiver::back_channel, durable | the same again",
        rounds,
        None,
        callbacks,
        durable,
        again,
    );
    let (issuer, keys) =
        (issuer(&callbacks.signer), KeySet::parse(&callbacks.signer.jwks()).unwrap());
    let bare = |c: &mut Callbacks| {
        let body = c.prepare();
        let token = body.strip_prefix("logout_token=").unwrap();
        let sign_out = issuer
            .verify(token, &keys, SystemTime::now())
            .unwrap()
            .sign_out(SessionPolicy::WholeAccount);
        let start = Instant::now();
        c.bench.store().sign_out(sign_out).unwrap();
        start.elapsed()
    };
    compare(
        "Receiver::back_channel, durable | store.sign_out of the same",
        rounds,
        None,
        callbacks,
        durable,
        bare,
    );
    let post = |c: &mut Callbacks| {
        let body = c.prepare();
        c.posts(&body)
    };
    let bare_and_verified = |c: &mut Callbacks| {
        let body = c.prepare();
        c.receives(&body, 200)
    };
    compare(
        "POST, durable | Receiver::back_channel, durable",
        rounds,
        None,
        callbacks,
        post,
        bare_and_verified,
    );
}

/// What a stranger makes us do, beside what a genuine token does that signs nobody out.
fn refusals(callbacks: &mut Callbacks, rounds: usize) {
    let genuine = callbacks.prepare();
    callbacks.receives(&genuine, 200);
    callbacks.bench.store().wait_reclaimed().unwrap();
    let token = genuine.strip_prefix("logout_token=").unwrap().to_owned();
    let bad_signature = {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let last = if signature.starts_with('A') { 'B' } else { 'A' };
        format!("logout_token={signed}.{last}{}", &signature[1..])
    };
    let with = |header: Value, claims: Value| {
        format!("logout_token={}", callbacks.signer.sign(&header, &claims))
    };
    let unknown_key =
        with(json!({"alg": "RS256", "kid": "another", "typ": "logout+jwt"}), claims(1));
    let mut elsewhere = claims(1);
    elsewhere["aud"] = "another".into();
    let wrong_audience = with(callbacks.signer.header(), elsewhere);
    let garbage = format!("logout_token={}", "x".repeat(token.len()));
    let refused = [
        ("bad signature", bad_signature),
        ("unknown kid", unknown_key),
        ("wrong audience", wrong_audience),
        ("garbage of the same length", garbage),
    ];
    for (what, body) in refused {
        let figure = format!("refused: {what} | verified, no sign-out");
        let ours = |c: &mut Callbacks| c.receives(&body, 400);
        compare(&figure, rounds, None, callbacks, ours, |c| c.receives(&genuine, 200));
    }
}

/// Distinct signals, each of a user that is signed in, over connections that are kept.
fn throughput(callbacks: &Callbacks, address: SocketAddr, accounts: u32) {
    let store = callbacks.bench.store();
    let half = if is_short() { accounts / 4 } else { (accounts / 4).min(4096) };
    let bodies: Vec<String> = (0..half * 2).map(|number| callbacks.body(number)).collect();
    let (one, many) = bodies.split_at(half as usize);
    let sends = |bodies: &[String], connections: usize| {
        let seconds = callbacks.runtime.block_on(send(address, bodies, connections)).as_secs_f64();
        store.wait_reclaimed().unwrap();
        bodies.len() as f64 / seconds
    };
    println!("\nsignals a second");
    let (single, together) = (sends(one, 1), sends(many, CONNECTIONS));
    println!(
        "durable: 1 connection {single:.0}/s, {CONNECTIONS} connections {together:.0}/s: {:.1} times",
        together / single
    );
    // (What was carried out lately is remembered.)
    let remembered = &many[many.len().saturating_sub(512)..];
    let (single, again) = (sends(remembered, 1), sends(remembered, CONNECTIONS));
    println!(
        "the same again, verified, no sign-out: 1 connection {single:.0}/s, {CONNECTIONS} connections {again:.0}/s"
    );
    println!("durable beside not, {CONNECTIONS} connections: {:.2}", together / again);
}

/// The whole check of a token, by what it is signed with.
fn algorithms(rounds: usize) {
    println!("\none check of a token, without a request");
    for algorithm in
        [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa]
    {
        let signer = Signer::new(algorithm);
        let issuer = issuer(&signer).algorithms([algorithm]);
        let keys = KeySet::parse(&signer.jwks()).unwrap();
        let token = signer.sign(&signer.header(), &claims(1));
        let start = Instant::now();
        for _ in 0..rounds {
            issuer.verify(&token, &keys, SystemTime::now()).unwrap();
        }
        println!("{algorithm:?}: {}", micros(start.elapsed().as_secs_f64() / rounds as f64));
    }
}

/// What it takes to decrypt a token, by what it is encrypted with; and one that was made up.
fn decryptions(rounds: usize) {
    println!("\none decryption of a token, its check not among it; of one that was changed");
    let signer = Signer::new(Algorithm::Rs256);
    let token = signer.sign(&signer.header(), &claims(1));
    for algorithm in KEY_MANAGEMENTS {
        let encrypter = Encrypter::new(algorithm);
        let (keys, token) = (encrypter.keys(), encrypter.encrypt(&token));
        let changed = format!("{}.AAAAAAAAAAAAAAAAAAAAAA", token.rsplit_once('.').unwrap().0);
        let [good, bad] = [(&token, true), (&changed, false)].map(|(token, is_good)| {
            let start = Instant::now();
            for _ in 0..rounds {
                assert_eq!(keys.decrypt(token).is_ok(), is_good);
            }
            micros(start.elapsed().as_secs_f64() / rounds as f64)
        });
        println!("{}: {good}; {bad}", algorithm.name());
    }
}

impl Callbacks {
    /// One more account, with nothing left to do for the store, and the body of the request that
    /// signs it out.
    fn prepare(&mut self) -> String {
        self.number += 1;
        assert_eq!(self.bench.new_account(TOKENS), common::account(self.number));
        self.bench.store().wait_reclaimed().unwrap();
        self.body(self.number)
    }

    fn body(&self, number: u32) -> String {
        format!("logout_token={}", self.signer.sign(&self.signer.header(), &claims(number)))
    }

    fn posts(&mut self, body: &str) -> Duration {
        let request = request(body);
        let start = Instant::now();
        let status = self.runtime.block_on(self.connection.send(&request));
        let time = start.elapsed();
        assert_eq!(status, 200);
        time
    }

    fn receives(&self, body: &str, expected: u16) -> Duration {
        let start = Instant::now();
        let answer =
            self.runtime.block_on(self.receiver.back_channel(None, Some(FORM), body.as_bytes()));
        let time = start.elapsed();
        assert_eq!(answer.status(), expected, "{}", answer.body());
        time
    }
}

fn issuer(signer: &Signer) -> Issuer {
    Issuer::new(Provider::generic(ISSUER).unwrap(), client(), Keys::fixed(&signer.jwks()).unwrap())
}

fn claims(number: u32) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": ISSUER, "aud": client().as_str(), "iat": now, "exp": now + 120, "jti": format!("{number}-{now}"),
        "sub": format!("subject-{number}"), "sid": format!("session-{number}"),
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    })
}

async fn serve(router: axum::Router) -> SocketAddr {
    use axum::serve::ListenerExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}

fn request(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /logout/back-channel HTTP/1.1\r\nhost: app\r\ncontent-type: {FORM}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// How long it takes to send them all, each by the next connection that is free.
async fn send(address: SocketAddr, bodies: &[String], connections: usize) -> Duration {
    let waiting = Arc::new(Mutex::new(bodies.iter().map(|body| request(body)).collect::<Vec<_>>()));
    let mut senders = Vec::new();
    for _ in 0..connections {
        senders.push(Connection::open(address).await);
    }
    let start = Instant::now();
    let tasks = senders.into_iter().map(|mut connection| {
        let waiting = waiting.clone();
        tokio::spawn(async move {
            let next = || waiting.lock().unwrap().pop();
            while let Some(request) = next() {
                assert_eq!(connection.send(&request).await, 200);
            }
        })
    });
    futures::future::join_all(tasks).await.into_iter().for_each(|sender| sender.unwrap());
    start.elapsed()
}

/// An HTTP connection that is kept.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// The status that is answered; the answer is read to its end.
    async fn send(&mut self, request: &[u8]) -> u16 {
        self.0.get_mut().write_all(request).await.unwrap();
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the connection was closed");
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            } else if let Some(rest) = text.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = text.strip_prefix("content-length:") {
                length = rest.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        status
    }
}
