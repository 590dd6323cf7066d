//! Known answers: what this version writes, byte for byte, and that it reads what is in
//! `tests/golden`, of version 1 too. How the files are made is said there.

use crate::model::position::{Opening, Position};
use crate::model::random_id::{Generation, SignInId};
use crate::store::location::Place;
use std::path::Path;
use std::time::Duration;

use crate::clock::lasting::Put;
use crate::clock::trust::Known;
use crate::crypto::chance::seeded;
use crate::crypto::{AccountKey, KeyProvider, KeySource, Keyring, Tagger, WrapContext, WrappedKey};
use crate::engine::Row;
use crate::ledger::{Growth, Ledger};
use crate::model::id::{AccountId, Alias, AliasKind, ClientId, SessionId, Subject, TenantId};
use crate::model::scopes::{Partition, Scopes};
use crate::model::tag::{AccountTag, TaggedScope};
use crate::model::time::{Interval, Millis, from_millis};
use crate::model::token::{AccessToken, IdToken, RefreshToken, Token};
use crate::rows::cipher::{Fresh, Header, Rows, SignInBody};
use crate::rows::row_key::{self, CHECKPOINT, FRESH, KNOWN};
use crate::rule::{Fence, NO_CUTOFF};
use crate::testing::machine::Machine;

const NOW: Millis = Millis::new(1_800_000_000_000);
const EARLIER: Millis = NOW.saturating_sub(Interval::new(5));
/// When the tokens were stored.
const PUT: Put = Put { shown: NOW, passed: Interval::new(5_000), run: 0x0102_0304_0506_0708 };
const GROWTH: Growth = Growth { chunk: 4, reserve: 4 };

/// What version 2 writes otherwise than version 1; the rest is as it was.
const OF_VERSION_2: [&str; 7] = [
    "keyring",
    "keyring-two-wraps",
    "header",
    "token",
    "token-of-three-parts",
    "known-time",
    "fresh-engine",
];

fn path_of(version: &str, name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(version)
        .join(name)
        .with_extension("hex")
}

fn parts_of(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path).unwrap().replace('\r', "");
    text.split("\n\n")
        .map(|part| base16ct::lower::decode_vec(part.replace('\n', "")).unwrap())
        .collect()
}

/// What version 1 wrote: it is only read.
fn of_version_1(name: &str) -> Vec<Vec<u8>> {
    parts_of(&path_of("v1", name))
}

fn rows_of_version_1(name: &str) -> Vec<Row> {
    of_version_1(name).chunks(2).map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// The content of a known answer, which is what was `made` now.
///
/// A file is parts in hexadecimal, with an empty line between one and the next.
fn golden(name: &str, made: &[&[u8]]) -> Vec<Vec<u8>> {
    let path = path_of(if OF_VERSION_2.contains(&name) { "v2" } else { "v1" }, name);
    if std::env::var_os("OUBLIETTE_GOLDEN").is_some_and(|wish| wish == "write") {
        let lines = |part: &[u8]| {
            part.chunks(48)
                .map(|line| base16ct::lower::encode_string(line) + "\n")
                .collect::<String>()
        };
        let text = made.iter().map(|part| lines(part)).collect::<Vec<_>>().join("\n");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let parts = parts_of(&path);
    assert_eq!(parts.len(), made.len(), "{name}: the number of parts");
    for (number, (part, made)) in parts.iter().zip(made).enumerate() {
        let at = part.iter().zip(*made).take_while(|(a, b)| a == b).count();
        assert!(
            part == made,
            "{name}: this version writes part {number} otherwise, from byte {at} on; see tests/golden/README.md"
        );
    }
    parts
}

/// The rows of a known answer: a key, a value, the next key, and so on.
fn golden_rows(name: &str, made: &[Row]) -> Vec<Row> {
    let parts: Vec<&[u8]> = made.iter().flat_map(|(key, value)| [key.as_slice(), value]).collect();
    golden(name, &parts).chunks(2).map(|row| (row[0].clone(), row[1].clone())).collect()
}

fn operator(from: u8) -> KeySource {
    KeySource::bytes(std::array::from_fn(|at| from + u8::try_from(at).unwrap()))
}

/// The known keyring: all rows and ledgers are sealed with what is in it.
fn keyring() -> (Keyring, Vec<u8>) {
    seeded("keyring", || Keyring::create(&operator(0)).unwrap())
}

fn rows() -> (Rows, Tagger) {
    let (keyring, _) = keyring();
    let tagger = Tagger::new(&keyring.secrets.index_key);
    (Rows::new(keyring.store_id, keyring.secrets), tagger)
}

/// The user's header, with two sign-ins.
fn header() -> Header {
    Header {
        generation: Generation::filled(0xa1),
        account_key: AccountKey::init(|key| key.fill(0xa2)),
        sign_ins: [0xa3, 0xa4].map(SignInId::filled).to_vec(),
        other: None,
    }
}

fn user() -> AccountId {
    AccountId::new("login.example.com", "uid.utid").unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn subject() -> Subject {
    Subject::new("https://login.example.com", "sub").unwrap()
}

fn session() -> SessionId {
    SessionId::new("https://login.example.com", "sid").unwrap()
}

fn client() -> ClientId {
    ClientId::new("client").unwrap()
}

/// In the place of a service that wraps: not secure, but it repeats.
struct Service;

impl KeyProvider for Service {
    fn wrap(
        &self,
        key: &[u8; 32],
        _: &WrapContext<'_>,
    ) -> Result<WrappedKey, Box<dyn std::error::Error + Send + Sync>> {
        Ok(WrappedKey { key_id: *b"a service's key.", blob: key.map(|byte| !byte).to_vec() })
    }

    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        _: &WrapContext<'_>,
    ) -> Result<Option<zeroize::Zeroizing<[u8; 32]>>, Box<dyn std::error::Error + Send + Sync>>
    {
        let key: [u8; 32] = wrapped.blob.as_slice().try_into()?;
        Ok((wrapped.key_id == *b"a service's key.").then(|| key.map(|byte| !byte).into()))
    }
}

#[test]
fn golden_keyrings() {
    let (made, bytes) = keyring();
    let file = golden("keyring", &[&bytes]).remove(0);
    let two = seeded("two wraps", || {
        made.encode(&operator(1).also(KeySource::provider(Service))).unwrap()
    });
    let file_of_two = golden("keyring-two-wraps", &[&two]).remove(0);
    let opened = [
        (&file, operator(0)),
        (&file_of_two, operator(1)),
        (&file_of_two, operator(9).previous(KeySource::provider(Service))),
    ];
    for (file, source) in opened {
        let opened = Keyring::open(file, &source).unwrap();
        let (secrets, expected) = (&opened.secrets, &made.secrets);
        assert_eq!((opened.store_id, secrets.ledger_id), (made.store_id, expected.ledger_id));
        let keys = |secrets: &crate::crypto::KeyringSecrets| {
            let root = secrets.current_root().1;
            [*secrets.index_key.bytes(), *secrets.ledger_key.bytes(), *root.bytes()]
        };
        assert_eq!(
            (keys(secrets), secrets.current_root().0),
            (keys(expected), expected.current_root().0)
        );
        assert_eq!(secrets.old_end, Some(Position::ZERO));
    }
    // Of version 1: the same keys, and nothing is said of where its openings end.
    for (name, source) in [("keyring", operator(0)), ("keyring-two-wraps", operator(1))] {
        let old = Keyring::open(&of_version_1(name)[0], &source).unwrap();
        assert_eq!((old.store_id, old.secrets.old_end), (made.store_id, None));
        assert_eq!(old.secrets.index_key.bytes(), made.secrets.index_key.bytes());
    }
}

#[test]
fn golden_headers() {
    let (rows, tagger) = rows();
    let app = AccountId::app(tenant("contoso"), client());
    let accounts = [user(), AccountId::of_subject(subject()), app];
    let seal = |account: &AccountId| {
        let key = row_key::header(&tagger.account(account));
        let value = rows.seal_header(&key, &header(), account).unwrap();
        (key, value)
    };
    let made = seeded("headers", || accounts.each_ref().map(seal));
    for ((key, value), account) in golden_rows("header", &made).into_iter().zip(accounts) {
        let opened = rows.open_header(&key, &value).unwrap();
        assert_eq!(
            (opened.generation, &opened.sign_ins),
            (Generation::filled(0xa1), &header().sign_ins)
        );
        assert_eq!(opened.account_key.bytes(), &[0xa2; 32]);
        assert_eq!(rows.open_account(&key, &value, &opened).unwrap(), account);
    }
    // Version 1 had two kinds of users, and so two tags; which are of one account today.
    let [by_name, by_subject, of_app] = rows_of_version_1("header").try_into().unwrap();
    for ((key, value), account, tag) in [
        (by_name, user(), tagger.account(&user())),
        (
            by_subject,
            AccountId::of_subject(subject()),
            tagger.account_by_subject(subject().issuer(), subject().sub()),
        ),
        (
            of_app,
            AccountId::app(tenant("contoso"), client()),
            tagger.account(&AccountId::app(tenant("contoso"), client())),
        ),
    ] {
        assert_eq!(key, row_key::header(&tag));
        let opened = rows.open_header(&key, &value).unwrap();
        assert_eq!(rows.open_account(&key, &value, &opened).unwrap(), account);
    }
}

#[test]
fn golden_sign_ins() {
    let (rows, tagger) = rows();
    let least = SignInBody {
        tenant: tenant("contoso"),
        session: None,
        subject: None,
        aliases: Vec::new(),
        time: NOW,
        opening: Opening::filled(0xa5),
        as_of: Position::new(7),
    };
    let names = [(AliasKind::Email, "somebody@example.com"), (AliasKind::Opaque, "ümläut")];
    let aliases = names.map(|(kind, name)| Alias::new(kind, name).unwrap()).to_vec();
    let most = SignInBody {
        session: Some(session()),
        subject: Some(subject()),
        aliases,
        as_of: Position::MAX,
        ..least.clone()
    };
    let bodies = [least, most];
    let made = seeded("sign-ins", || {
        let seal = |number: usize| {
            let key = row_key::sign_in(&tagger.account(&user()), &header().sign_ins[number]);
            let value = rows.seal_sign_in(&key, &header(), &bodies[number]).unwrap();
            (key, value)
        };
        [seal(0), seal(1)]
    });
    for ((key, value), body) in golden_rows("sign-in", &made).iter().zip(&bodies) {
        assert!(rows.open_sign_in(key, value, &header()).unwrap() == *body);
    }
}

#[test]
fn golden_tokens() {
    let expires = from_millis(after(3_600_000));
    let least = AccessToken::new(client(), Scopes::default(), "an access token", expires);
    let most = AccessToken {
        tenant: Some(tenant("fabrikam")),
        resource: Some("https://api.example.com".into()),
        scopes: Scopes::parse("user.read mail.read").unwrap(),
        token_type: "DPoP".into(),
        refresh_at: Some(from_millis(after(1_800_000))),
        extended_expires_at: Some(expires + Duration::from_secs(3600)),
        partition: Partition::on_behalf_of_hash([0xa6; 32]),
        extra: b"extra".to_vec(),
        ..least.clone()
    };
    let refresh = RefreshToken::new(client(), "a refresh token");
    let family =
        RefreshToken { family_id: Some("1".into()), expires_at: Some(expires), ..refresh.clone() };
    let id = IdToken { tenant: Some(tenant("fabrikam")), ..IdToken::new(client(), "an ID token") };
    let all: [Token; 5] =
        [least.clone().into(), most.into(), refresh.into(), family.into(), id.into()];
    old_tokens_are_read("token", &all);
    let lasting = AccessToken { lifetime: Some(Duration::from_secs(3600)), ..least.clone() };
    let endless = AccessToken { expires_at: None, ..least };
    tokens_are_golden("token", &[all.as_slice(), &[lasting.into(), endless.into()]].concat());
}

/// What version 1 wrote of these tokens says the same, and not when it was.
fn old_tokens_are_read(name: &str, tokens: &[Token]) {
    let (rows, _) = rows();
    let mut found = rows_of_version_1(name).into_iter().peekable();
    for token in tokens {
        let count = crate::rows::cipher::parts_of(&found.peek().unwrap().1);
        let parts = found.by_ref().take(count.into()).collect();
        let stored = rows.open_token(parts, &header()).unwrap().unwrap();
        assert!((&stored.token, stored.put) == (token, None));
    }
    assert!(found.next().is_none());
}

#[test]
fn golden_known_time() {
    let (rows, _) = rows();
    let known = Known { known: EARLIER, shown: NOW };
    let made = seeded("known-time", || rows.seal_known(KNOWN, &known).unwrap());
    let found = golden_rows("known-time", &[(KNOWN.to_vec(), made)]);
    assert_eq!(rows.open_known(KNOWN, &found[0].1), Some(known));
    assert_eq!(rows.open_known(CHECKPOINT, &found[0].1), None);
}

#[test]
fn golden_fresh_engine() {
    let (rows, _) = rows();
    let fresh = Fresh { live_bytes: 0x0102_0304_0506_0708, engine_bytes: 0x1112_1314_1516_1718 };
    let made = seeded("fresh-engine", || rows.seal_fresh(FRESH, &fresh).unwrap());
    let found = golden_rows("fresh-engine", &[(FRESH.to_vec(), made)]);
    assert_eq!(rows.open_fresh(FRESH, &found[0].1), Some(fresh));
    assert_eq!(
        (rows.open_fresh(KNOWN, &found[0].1), rows.open_known(FRESH, &found[0].1)),
        (None, None)
    );
}

#[test]
fn golden_token_of_several_parts() {
    let long: String =
        (0..12_500_u32).map(|at| char::from(b'a' + u8::try_from(at * at % 26).unwrap())).collect();
    let token = Token::from(RefreshToken::new(client(), long));
    old_tokens_are_read("token-of-three-parts", std::slice::from_ref(&token));
    let made = tokens_are_golden("token-of-three-parts", &[token]);
    assert_eq!(made, 3);
}

/// Seals each token and opens the known answer; how many rows that were.
fn tokens_are_golden(name: &str, tokens: &[Token]) -> usize {
    let (rows, tagger) = rows();
    let account = tagger.account(&user());
    let made: Vec<Vec<Row>> = seeded(name, || {
        let seal = |token: &Token| {
            let tenant = tagger.tenant(token.tenant().unwrap_or(&tenant("contoso")));
            let slot = token.slot(&tagger, &account);
            let key = |part| row_key::token(&account, &header().sign_ins[0], &tenant, &slot, part);
            rows.seal_token(key, &header(), token, Some(&PUT)).unwrap()
        };
        tokens.iter().map(seal).collect()
    });
    let mut found = golden_rows(name, &made.concat()).into_iter();
    for (token, made) in tokens.iter().zip(&made) {
        let parts = found.by_ref().take(made.len()).collect();
        let stored = rows.open_token(parts, &header()).unwrap().unwrap();
        assert!((&stored.token, stored.put) == (token, Some(PUT)));
    }
    made.concat().len()
}

#[test]
fn golden_checkpoint() {
    let ((rows, _), position) = (rows(), Position::new(0x0102_0304_0506_0708));
    let made = seeded("checkpoint", || rows.seal_checkpoint(CHECKPOINT, position).unwrap());
    let found = golden_rows("checkpoint", &[(CHECKPOINT.to_vec(), made)]);
    assert_eq!(rows.open_checkpoint(CHECKPOINT, &found[0].1).unwrap(), position);
}

/// Who is signed out in the known ledgers.
fn scopes() -> [TaggedScope; 4] {
    let (_, tagger) = rows();
    [
        TaggedScope::Tenant(tagger.tenant(&tenant("contoso"))),
        TaggedScope::Account(tagger.account(&user())),
        TaggedScope::Session(tagger.session(&session())),
        TaggedScope::Subject(tagger.subject(&subject())),
    ]
}

/// A ledger in this file, or a new one.
fn ledger(machine: &Machine, file: Option<Vec<u8>>) -> Ledger {
    let secrets = keyring().0.secrets;
    match file {
        Some(file) => machine.set_files([(Ledger::file_name(&secrets.ledger_id), file)].into()),
        None => Ledger::create(
            &*machine.disk().unwrap(),
            secrets.ledger_id,
            &secrets.ledger_key,
            GROWTH,
            NOW,
        )
        .unwrap(),
    }
    Ledger::read(machine.disk().unwrap(), secrets.ledger_id, &secrets.ledger_key, GROWTH)
        .unwrap()
        .settle()
        .unwrap()
}

fn file_of(machine: &Machine) -> Vec<u8> {
    machine.files().remove(&Ledger::file_name(&keyring().0.secrets.ledger_id)).unwrap()
}

/// So many milliseconds after [`NOW`].
fn after(millis: u64) -> Millis {
    NOW.saturating_add(Interval::new(millis))
}

fn sign_out(ledger: &Ledger, scopes: &[TaggedScope], cutoff: Millis, time: Millis) {
    ledger.wait(ledger.stand(scopes, cutoff, time).unwrap().last).unwrap();
}

/// Records of every kind: two openings, a call of four sign-outs with a cutoff, a torn call that
/// was voided, everybody.
#[test]
fn golden_ledger() {
    let made = seeded("ledger", || {
        let machine = Machine::new();
        let first = ledger(&machine, None);
        sign_out(&first, &scopes(), EARLIER, after(1));
        let before = file_of(&machine);
        sign_out(
            &first,
            &[
                TaggedScope::Account(AccountTag::filled(1)),
                TaggedScope::Account(AccountTag::filled(2)),
            ],
            NO_CUTOFF,
            after(2),
        );
        // Of the last call only the first record came to the disk, in slot 5.
        let torn = [&file_of(&machine)[..512 + 6 * 64], &before[512 + 6 * 64..]].concat();
        let second = ledger(&machine, Some(torn));
        sign_out(&second, &[TaggedScope::Everybody], NO_CUTOFF, after(3));
        file_of(&machine)
    });
    let found = ledger(&Machine::new(), Some(golden("ledger", &[&made]).remove(0)));
    assert_eq!((found.synced(), found.horizon()), (Position::new(8), (Position::ZERO, NOW)));
    let last = |scope| found.fences().last(scope);
    for (scope, position) in scopes().into_iter().zip((2..).map(Position::new)) {
        assert_eq!(last(scope), Some(Fence { position, cutoff: EARLIER, time: after(1) }));
    }
    assert_eq!(
        last(TaggedScope::Everybody),
        Some(Fence { position: Position::new(8), cutoff: NO_CUTOFF, time: after(3) })
    );
    assert!(
        last(TaggedScope::Account(AccountTag::filled(1))).is_none()
            && last(TaggedScope::Account(AccountTag::filled(2))).is_none()
    );
    assert_eq!(
        found.fences().openings().iter().map(|(position, ..)| *position).collect::<Vec<_>>(),
        [1, 7].map(Position::new)
    );
}

/// A ledger that was compacted: with a floor, kept records, and one behind them.
#[test]
fn golden_compacted_ledger() {
    let made = seeded("compacted ledger", || {
        let machine = Machine::new();
        let ledger = ledger(&machine, None);
        sign_out(&ledger, &[TaggedScope::Account(AccountTag::filled(1))], NO_CUTOFF, after(1));
        for time in 2..20 {
            sign_out(&ledger, &scopes()[..2], NO_CUTOFF, after(time));
        }
        assert!(ledger.compact(after(2)).unwrap());
        sign_out(&ledger, &[TaggedScope::Account(AccountTag::filled(2))], NO_CUTOFF, after(20));
        file_of(&machine)
    });
    let found = ledger(&Machine::new(), Some(golden("ledger-compacted", &[&made]).remove(0)));
    assert_eq!(
        (found.synced(), found.horizon()),
        (Position::new(39), (Position::new(2), after(1)))
    );
    let last = |scope| found.fences().last(scope).map(|fence| (fence.position.get(), fence.time));
    assert_eq!(
        [last(scopes()[0]), last(scopes()[1])],
        [Some((37, after(19))), Some((38, after(19)))]
    );
    assert_eq!(
        [last(TaggedScope::Everybody), last(TaggedScope::Account(AccountTag::filled(2)))],
        [Some((2, after(1))), Some((39, after(20)))]
    );
    assert_eq!(last(TaggedScope::Account(AccountTag::filled(1))), None);
}
