//! Nothing that tells who a user is, what a token is or what it is for can be read in any file, in
//! any `Debug` or `Display`, or in any error: not raw, not as hex, not as base64.

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs;
use std::time::Duration;

use base64ct::Encoding;
use oubliette::*;
use oubliette_testkit::accounts::now;
use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::*;

/// Texts that are nowhere else in the world, one for each thing that must not be seen.
struct Needles(Vec<String>);

impl Needles {
    fn new() -> Self {
        let mut chance = Chance(0x0b11_e77e);
        let letters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
        let mut needle = || -> String {
            (0..24).map(|_| letters[usize::try_from(chance.below(62)).unwrap()]).collect()
        };
        Self((0..40).map(|_| needle()).collect())
    }

    fn get(&self, number: usize) -> String {
        self.0[number].clone()
    }
}

/// Eight bytes of anything that must not be seen, in every encoding.
struct Forbidden(HashSet<[u8; 8]>);

impl Forbidden {
    fn new(secrets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut windows = HashSet::new();
        for secret in secrets {
            let hex = base16ct::lower::encode_string(&secret);
            let mut forms = vec![secret.clone(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
            for before in 0..3 {
                let shifted = [vec![0; before], secret.clone()].concat();
                let plain = base64ct::Base64Unpadded::encode_string(&shifted);
                let url = base64ct::Base64UrlUnpadded::encode_string(&shifted);
                // The first and the last characters hold bits of the neighbours too.
                forms.extend([plain, url].map(|text| {
                    text.as_bytes()[if before == 0 { 0 } else { 4 }..text.len() - 4].to_vec()
                }));
            }
            for form in forms {
                windows.extend(form.windows(8).map(|window| <[u8; 8]>::try_from(window).unwrap()));
            }
        }
        Self(windows)
    }

    /// Where in the bytes something is that must not be seen.
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        bytes.windows(8).position(|window| self.0.contains(window))
    }
}

/// Everything that the tests put in, in places where it can be recognised.
fn everything(needles: &Needles) -> (SignIn, Vec<Token>) {
    let n = |number| needles.get(number);
    let client = ClientId::new(n(0)).unwrap();
    let tenant = TenantId::new(n(1)).unwrap();
    let sign_in = SignIn::new(AccountId::new(n(2), n(3)).unwrap(), tenant)
        .session(SessionId::new(n(4), n(5)).unwrap())
        .subject(Subject::new(n(6), n(7)).unwrap())
        .alias(Alias::new(AliasKind::Opaque, n(8)).unwrap())
        .alias(
            Alias::new(AliasKind::Email, format!("{}@example.com", n(9).to_lowercase())).unwrap(),
        );
    let scopes = Scopes::new([n(10), n(11)]).unwrap();
    let mut access =
        AccessToken::new(client.clone(), scopes, n(12), now() + Duration::from_secs(3600));
    access.resource = Some(n(13));
    access.token_type = n(14);
    access.extra = n(15).into_bytes();
    let guest = AccessToken {
        tenant: Some(TenantId::new(n(16)).unwrap()),
        secret: n(17).into(),
        ..access.clone()
    };
    let large = AccessToken {
        scopes: Scopes::new([n(18)]).unwrap(),
        secret: n(19).repeat(2000).into(),
        ..access.clone()
    };
    let behalf = AccessToken {
        partition: Partition::on_behalf_of(&n(20)),
        secret: n(21).into(),
        ..access.clone()
    };
    let refresh =
        RefreshToken { extra: n(22).into_bytes(), ..RefreshToken::new(client.clone(), n(23)) };
    let family =
        RefreshToken { family_id: Some(n(24)), ..RefreshToken::new(client.clone(), n(25)) };
    let id = IdToken { extra: n(26).into_bytes(), ..IdToken::new(client, n(27)) };
    (
        sign_in,
        vec![
            access.into(),
            guest.into(),
            large.into(),
            behalf.into(),
            refresh.into(),
            family.into(),
            id.into(),
        ],
    )
}

/// The needles, what [`everything`] makes lower case of them, and the operator's key.
fn forbidden(needles: &Needles) -> Forbidden {
    let texts = needles
        .0
        .iter()
        .flat_map(|needle| [needle.clone().into_bytes(), needle.to_lowercase().into_bytes()]);
    Forbidden::new(texts.chain([operators_key().to_vec()]))
}

fn operators_key() -> [u8; 32] {
    std::array::from_fn(|place| u8::try_from(place * 7 + 3).unwrap())
}

fn open(home: &Home) -> TokenStore {
    home.builder().key(KeySource::bytes(operators_key())).open().unwrap()
}

#[test]
fn the_scanner_sees_what_it_looks_for() {
    let needles = Needles::new();
    let forbidden = forbidden(&needles);
    let secret = needles.get(12);
    for before in 0..3 {
        let text = [&b"xyz"[..before], secret.as_bytes(), b"tail"].concat();
        let hex = base16ct::lower::encode_string(&text);
        let forms = [
            text.clone(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
            base64ct::Base64::encode_string(&text).into_bytes(),
            base64ct::Base64UrlUnpadded::encode_string(&text).into_bytes(),
        ];
        for form in forms {
            assert!(forbidden.find(&[vec![0xee; 100], form, vec![0xee; 9]].concat()).is_some());
        }
    }
    assert!(forbidden.find(&secret.as_bytes()[5..14]).is_some(), "a part is enough");
    assert_eq!(
        forbidden
            .find(b"Damaged { part: Keyring, problem: \"it is missing beside existing data\" }"),
        None
    );
}

#[test]
fn no_file_shows_anything() {
    let needles = Needles::new();
    let forbidden = forbidden(&needles);
    let home = Home::new();
    let scan = |when: &str| {
        let files = contents(home.path().parent().unwrap());
        assert!(files.len() > 6, "{:?}", files.keys());
        for (name, bytes) in files {
            assert_eq!(
                forbidden.find(name.as_os_str().as_encoded_bytes()),
                None,
                "{when}: the name {name:?}"
            );
            let found = bytes.and_then(|bytes| forbidden.find(&bytes));
            assert_eq!(found, None, "{when}: {name:?}");
        }
    };
    let (sign_in, tokens) = everything(&needles);
    let account = sign_in.account().clone();
    let store = open(&home);
    let live = store.sign_in(sign_in.clone()).unwrap();
    live.put(tokens.clone()).unwrap();
    store.wait_reclaimed().unwrap();
    scan("serving");
    store.close().unwrap();
    scan("closed");
    let store = open(&home);
    assert_eq!(store.account(&account).unwrap().len(), 1);
    store
        .sign_out(SignOut::session(&SessionId::new(needles.get(4), needles.get(5)).unwrap()))
        .unwrap();
    store.sign_out(SignOut::tenant(sign_in.tenant())).unwrap();
    store
        .sign_out(SignOut::subject(&Subject::new(needles.get(6), needles.get(7)).unwrap()))
        .unwrap();
    store.wait_reclaimed().unwrap();
    scan("signed out");
    let live = store.sign_in(sign_in).unwrap();
    live.put(tokens).unwrap();
    store.sweep(1000).unwrap();
    drop((store, live));
    scan("dropped");
}

/// What a value shows of itself.
struct Shown(Vec<String>);

impl Shown {
    fn debug(&mut self, value: &impl Debug) {
        self.0.push(format!("{value:?} {value:#?}"));
    }

    fn error<T: Debug>(&mut self, result: Result<T>) {
        let error = result.unwrap_err();
        self.debug(&error);
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = next {
            self.0.push(format!("{error} {error:?}"));
            next = error.source();
        }
    }

    fn assert_nothing_of(&self, forbidden: &Forbidden) {
        for text in &self.0 {
            assert_eq!(forbidden.find(text.as_bytes()), None, "{text}");
        }
    }
}

#[test]
fn no_value_shows_anything() {
    let needles = Needles::new();
    let home = Home::new();
    let mut shown = Shown(Vec::new());
    let (sign_in, tokens) = everything(&needles);
    let builder =
        home.builder().key(KeySource::bytes(operators_key()).previous(KeySource::bytes([9; 32])));
    shown.debug(&builder);
    let store = builder.open().unwrap();
    let live = store.sign_in(sign_in.clone()).unwrap();
    shown.debug(&live.put(tokens.clone()).unwrap());
    let n = |number| needles.get(number);
    let (client, session) = (ClientId::new(n(0)).unwrap(), SessionId::new(n(4), n(5)).unwrap());
    let access = AccessQuery::new(client.clone())
        .scopes(Scopes::new([n(10)]).unwrap())
        .resource(n(13))
        .token_type(n(14));
    let found = live.access_token(&access).unwrap();
    assert_eq!(found.as_ref().unwrap().secret.expose(), n(12));
    shown.debug(&(&store, &live, &sign_in, &tokens, Tokens::from(tokens.clone()), &access, found));
    shown.debug(&(
        RefreshQuery::client(client.clone()),
        IdQuery::client(client.clone()).tenant(TenantId::new(n(16)).unwrap()),
    ));
    shown.debug(&RefreshQuery::family(n(24)).partition(Partition::on_behalf_of(&n(20))));
    shown.debug(&(live.refresh_token(&client).unwrap(), live.id_token(&client).unwrap()));
    shown.debug(&(
        live.account(),
        live.tenant(),
        live.session(),
        live.subject(),
        live.aliases(),
        &client,
    ));
    shown.debug(&(
        Secret::new(n(12)),
        Scopes::parse(&n(10)).unwrap(),
        Partition::on_behalf_of(&n(20)),
    ));
    shown.debug(&(
        AccountId::app(sign_in.tenant().clone(), client),
        KeySource::bytes(operators_key()),
    ));
    let page = store.accounts(Page::first(1)).unwrap();
    assert_eq!(page.accounts.len(), 1);
    shown.debug(&(store.account(sign_in.account()).unwrap(), page, store.stats().unwrap()));
    let scopes = [
        SignOutScope::Account(sign_in.account().clone()),
        SignOutScope::Session(session.clone()),
        SignOutScope::Subject(Subject::new(n(6), n(7)).unwrap()),
        SignOutScope::Tenant(sign_in.tenant().clone()),
    ];
    let request = SignOut::session(&session).taking_refresh_tokens();
    shown.debug(&request);
    let receipt = store.sign_out(request).unwrap();
    assert_eq!(receipt.refresh_tokens.len(), 2);
    shown.debug(&receipt);
    for scope in scopes {
        shown.debug(&(store.last_sign_out(&scope).unwrap(), SignOut::of(scope)));
    }
    shown.debug(&(store.wait_reclaimed().unwrap(), store.sweep(10).unwrap()));
    assert!(shown.0.len() > 12);
    shown.assert_nothing_of(&forbidden(&needles));
}

#[test]
fn no_error_shows_anything() {
    let needles = Needles::new();
    let home = Home::new();
    let mut shown = Shown(Vec::new());
    let (sign_in, tokens) = everything(&needles);
    let long = |number| needles.get(number).repeat(100);
    let bad = |number| format!("{}\u{7}", needles.get(number));
    shown.error(TenantId::new(long(1)));
    shown.error(AccountId::new(needles.get(2), bad(3)));
    shown.error(SessionId::new(long(4), needles.get(5)));
    shown.error(Subject::new(needles.get(6), bad(7)));
    shown.error(Alias::new(AliasKind::Email, bad(9)));
    shown.error(ClientId::new(bad(0)));
    shown.error(Scopes::new([format!("{}\"", needles.get(10))]));
    // A key in the wrong form, or in the wrong place.
    let file = home.beside("key");
    fs::write(&file, format!("hex:{}", needles.get(30))).unwrap();
    shown.error(home.builder().key(KeySource::file(&file).allow_readable_by_others()).open());
    let hex = format!("hex:{}", base16ct::lower::encode_string(&operators_key()));
    shown.error(home.builder().key(KeySource::file(&hex)).open());
    shown.error(home.builder().key(KeySource::env(hex)).open());
    let store = open(&home);
    let live = store.sign_in(sign_in.clone()).unwrap();
    live.put(tokens.clone()).unwrap();
    shown.error(home.builder().open());
    shown.error(live.put(RefreshToken::new(ClientId::new("c").unwrap(), bad(23))));
    shown.error(
        live.put(RefreshToken::new(ClientId::new("c").unwrap(), needles.get(23).repeat(4000))),
    );
    shown.error(store.sign_out(SignOut::tenant(sign_in.tenant()).taking_refresh_tokens()));
    store.sign_out(SignOut::account(sign_in.account())).unwrap();
    shown.error(live.put(tokens));
    store.close().unwrap();
    shown.error(live.is_live());
    shown.error(home.builder().key(KeySource::bytes([9; 32])).open());
    let keyring = home.path().join("keyring");
    let good = fs::read(&keyring).unwrap();
    fs::write(&keyring, &good[..100]).unwrap();
    shown.error(home.builder().open());
    fs::write(&keyring, good).unwrap();
    fs::write(entry(&home.path(), "ledger-"), needles.get(31)).unwrap();
    shown.error(home.builder().key(KeySource::bytes(operators_key())).open());
    assert!(shown.0.len() > 30);
    shown.assert_nothing_of(&forbidden(&needles));
}

const LOOSE: &str = "OUBLIETTE_TEST_LOOSE";

/// Not a test but a child, whose `umask` forbids nothing.
#[test]
fn loose_child() {
    if let Ok(path) = std::env::var(LOOSE) {
        let path = std::path::Path::new(&path);
        let store = builder_at(path).ledger_dir(path.with_extension("ledgers")).open().unwrap();
        store.sign_in(oubliette_testkit::accounts::sign_in(1)).unwrap();
        store.sign_out(SignOut::everybody()).unwrap();
        store.close().unwrap();
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_enter_the_folders_and_read_our_files() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let command = format!(
        "umask 000; exec {:?} privacy::loose_child --exact --test-threads=1",
        std::env::current_exe().unwrap()
    );
    let mut child = std::process::Command::new("sh");
    child.args(["-c", &command]).env(LOOSE, home.path()).stdout(std::process::Stdio::null());
    assert!(child.status().unwrap().success());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let ledgers = home.path().with_extension("ledgers");
    for folder in [home.path(), entry(&home.path(), "engine-"), ledgers.clone()] {
        assert_eq!(mode(&folder), 0o700, "{folder:?}");
    }
    let files = ["keyring", "lock"]
        .map(|name| home.path().join(name))
        .into_iter()
        .chain(fs::read_dir(&ledgers).unwrap().map(|entry| entry.unwrap().path()));
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}
