//! Rows: any bytes; changed bytes of valid rows, every one of which must be noticed; any text behind the AEAD, sealed with the right
//! key, so that the decoders are met; and tokens of any fields, which must come back as they were.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use arbitrary::{Arbitrary, Unstructured};
use oubliette::fuzzing::{Body, PART_BYTES, Rows, SignInBody, index_key, is_refusal, reread_key};
use oubliette::*;

use crate::bounds::within;
use crate::edit::Edit;
use crate::input::Encode;

crate::plans! {
    /// What the rest of a run's bytes is.
    pub enum Plan {
        /// A row's value.
        Raw { kind: Kind },
        /// Changes of a valid row.
        Changed { kind: Kind, which: u8, part: u8 },
        /// The text of a sealed body; framed as the codec does, or as it is.
        Text { kind: Kind, framed: bool, sign_ins: u8, parts: u8, count: Option<u8> },
        /// Two writes of one token, of which these parts are read together.
        Mixed { which: u8, taken: u16, parts: u8 },
        /// The fields of a token.
        Token { kind: u8, tenant: bool, optional: u8, scopes: u8, times: Vec<u64>, secret: u16, extra: u16 },
        /// A row's key.
        Key {},
    }
}

crate::plans! {
    /// A kind of row.
    pub enum Kind {
        Header {},
        SignIn {},
        Token {},
        Checkpoint {},
    }
}

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

/// What a row says.
#[derive(Debug, PartialEq)]
enum Said {
    Header(Vec<[u8; 16]>, Option<AccountId>),
    SignIn(SignInBody),
    Token(Option<Token>),
    Checkpoint(u64),
}

static ROWS: LazyLock<Rows> = LazyLock::new(Rows::fixed);
static VALID: LazyLock<Vec<(Kind, Vec<Vec<u8>>)>> = LazyLock::new(valid);

fn key(kind: &Kind, part: u8) -> Vec<u8> {
    match kind {
        Kind::Header {} => [b"A".as_slice(), &[1; 16], &[0]].concat(),
        Kind::SignIn {} => [b"A".as_slice(), &[1; 16], &[8], &[2; 16]].concat(),
        Kind::Token {} => {
            [b"A".as_slice(), &[1; 16], &[16], &[2; 16], &[3; 16], &[4; 16], &[part]].concat()
        }
        Kind::Checkpoint {} => b"C".to_vec(),
    }
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    match plan {
        Plan::Raw { kind } => {
            let row = data.take_rest();
            let _ = Rows::parts_of(row);
            let said = read(&kind, vec![row.to_vec()]);
            said.into_iter().for_each(|said| again(&kind, &said));
        }
        Plan::Changed { kind, which, part } => {
            let rows: Vec<_> = VALID.iter().filter(|(of, _)| *of == kind).collect();
            let (_, valid) = rows[usize::from(which) % rows.len()];
            let mut changed = valid.clone();
            let part = usize::from(part) % valid.len();
            while let Ok(edit) = Edit::arbitrary(&mut data) {
                edit.apply(&mut changed[part]);
                if data.is_empty() {
                    break;
                }
            }
            let said = read(&kind, changed.clone());
            if changed == *valid {
                assert_eq!(said, read(&kind, valid.clone()));
                assert!(
                    !matches!(said, None | Some(Said::Token(None))),
                    "a valid row does not open"
                );
            } else if kind == (Kind::Header {}) {
                // Its list of sign-ins is behind one seal, the account's id behind another.
                let valid = read(&kind, valid.clone());
                let list = |said: &Option<Said>| {
                    if let Some(Said::Header(list, _)) = said { Some(list.clone()) } else { None }
                };
                assert!(
                    list(&said).is_none() || list(&said) == list(&valid),
                    "a changed list of sign-ins opens"
                );
                assert!(!matches!(said, Some(Said::Header(_, Some(_)))), "a changed account opens");
            } else {
                assert!(matches!(said, None | Some(Said::Token(None))), "a changed row opens");
            }
        }
        Plan::Text { kind, framed, sign_ins, parts, count } => {
            let text = if framed { frame(data.take_rest()) } else { data.take_rest().to_vec() };
            let values = sealed(&kind, &text, sign_ins, parts, count);
            if let Some(said) = read(&kind, values) {
                again(&kind, &said);
                if let Said::Checkpoint(position) = said {
                    assert_eq!(text, position.to_be_bytes());
                }
            }
        }
        Plan::Mixed { which, taken, parts } => {
            let secret = "s".repeat(usize::from(which) * 200 + 1);
            let token = |extra: u8| RefreshToken {
                extra: vec![extra; 9000],
                ..RefreshToken::new(client(), secret.as_str())
            };
            let write = |extra| {
                ROWS.seal_token(|part| key(&Kind::Token {}, part), &token(extra).into())
                    .expect("a token")
            };
            let (one, other) = (write(1), write(2));
            assert_eq!(one.len(), other.len());
            let mixed = one
                .iter()
                .zip(&other)
                .enumerate()
                .map(|(i, (a, b))| if taken >> (i % 16) & 1 == 0 { a } else { b });
            let mixed: Vec<_> =
                mixed.take(usize::from(parts).clamp(1, one.len())).cloned().collect();
            let found = ROWS.open_token(mixed.clone()).expect("every part opens by itself");
            let expected = [(&one, 1), (&other, 2)]
                .into_iter()
                .find(|(write, _)| **write == mixed)
                .map(|(_, extra)| token(extra));
            assert_eq!(found, expected.map(Into::into), "a token of two writes");
        }
        Plan::Token { .. } => made(&plan, data.take_rest()),
        Plan::Key {} => {
            let key = data.take_rest();
            assert!(reread_key(key).is_none_or(|again| again == key), "two keys are read as one");
            if let Some((tag, account)) = index_key(key) {
                assert_eq!([&key[..1], &tag, &account].concat(), key);
            }
        }
    }
}

/// Opens rows of one kind; `None` if they are refused.
fn read(kind: &Kind, values: Vec<Vec<u8>>) -> Option<Said> {
    let length: usize = values.iter().map(Vec::len).sum();
    let rows: Vec<_> = (0..).zip(values).map(|(part, value)| (key(kind, part), value)).collect();
    // bincode takes a list's length at its word up to 1 MiB.
    let result = within((2 << 20) + 16 * length, || {
        let (key, value) =
            rows.first().map(|(key, value)| (key.as_slice(), value.as_slice())).unwrap_or_default();
        Ok(match kind {
            Kind::Header {} => {
                Said::Header(ROWS.open_header(key, value)?, ROWS.open_account(key, value).ok())
            }
            Kind::SignIn {} => Said::SignIn(ROWS.open_sign_in(key, value)?),
            Kind::Token {} => Said::Token(ROWS.open_token(rows.clone())?),
            Kind::Checkpoint {} => Said::Checkpoint(ROWS.open_checkpoint(key, value)?),
        })
    });
    result.map_err(|error: Error| assert!(is_refusal(&error), "{error:?}")).ok()
}

/// What was read can be written and read again (if it is not too long, or has what the store does not take).
fn again(kind: &Kind, said: &Said) {
    let key = |part| key(kind, part);
    let rows = match said {
        Said::Header(sign_ins, Some(account)) => {
            ROWS.seal_header(&key(0), sign_ins, account).map(|row| vec![row])
        }
        Said::SignIn(body) => ROWS.seal_sign_in(&key(0), body).map(|row| vec![row]),
        Said::Token(Some(token)) => {
            let rows = ROWS.seal_token(key, token);
            rows.map(|rows| rows.into_iter().map(|(_, value)| value).collect())
        }
        Said::Checkpoint(position) => ROWS.seal_checkpoint(&key(0), *position).map(|row| vec![row]),
        Said::Header(_, None) | Said::Token(None) => return,
    };
    match rows {
        Ok(rows) => {
            assert_eq!(read(kind, rows).as_ref(), Some(said), "it comes back as something else")
        }
        Err(Error::InvalidInput { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
}

/// `length4 | fields | zeros`, to a multiple of 256.
pub fn frame(fields: &[u8]) -> Vec<u8> {
    let mut body = [(fields.len() as u32).to_be_bytes().as_slice(), fields].concat();
    body.resize(body.len().next_multiple_of(256), 0);
    body
}

fn sealed(kind: &Kind, text: &[u8], sign_ins: u8, parts: u8, count: Option<u8>) -> Vec<Vec<u8>> {
    let key = |part| key(kind, part);
    let rows = match kind {
        Kind::Header {} => {
            let sign_ins: Vec<[u8; 16]> = (0..sign_ins).map(|id| [id; 16]).collect();
            ROWS.seal_account_text(&key(0), &sign_ins, text).map(|row| vec![row])
        }
        Kind::SignIn {} => {
            let front = [1 + (text.len() as u8 & 1), b'S'];
            ROWS.seal_text(Body::SignIn, &key(0), &front, text).map(|row| vec![row])
        }
        Kind::Checkpoint {} => {
            ROWS.seal_text(Body::Checkpoint, &key(0), &[1, b'C'], text).map(|row| vec![row])
        }
        Kind::Token {} => {
            let size = text.len().div_ceil(usize::from(parts % 8).max(1)).clamp(1, PART_BYTES);
            let texts: Vec<&[u8]> =
                if text.is_empty() { vec![text] } else { text.chunks(size).take(255).collect() };
            let count = count.unwrap_or(texts.len() as u8);
            // Of either version.
            let front = [[1 + (parts >> 3 & 1), b'T', count].as_slice(), &[5; 16]].concat();
            (0..)
                .zip(texts)
                .map(|(part, text)| ROWS.seal_text(Body::Token, &key(part), &front, text))
                .collect()
        }
    };
    rows.expect("a text is not too long to seal")
}

/// A token of these fields, with what text there is: stored as it is, or refused.
fn made(plan: &Plan, text: &[u8]) {
    let Plan::Token { kind, tenant, optional, scopes, times, secret, extra } = plan else { return };
    let text = String::from_utf8_lossy(text);
    let mut words = text.split('\n');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let at = |number: usize| {
        SystemTime::UNIX_EPOCH
            + Duration::from_millis(times.get(number).copied().unwrap_or(0) >> 12)
    };
    let is = |bit: u8| optional >> bit & 1 == 1;
    let Ok(client) = ClientId::new(word()) else { return };
    let tenant = tenant.then(|| TenantId::new(word()));
    let Ok(tenant) = tenant.transpose() else { return };
    let Ok(scopes) = Scopes::new((0..*scopes % 8).map(|_| word())) else { return };
    let padded = |word: String| format!("{word}{}", "x".repeat(usize::from(*secret)));
    let partition = if is(0) { Partition::on_behalf_of(&word()) } else { Partition::user() };
    let extra = vec![7; usize::from(*extra) % (MAX_EXTRA_BYTES + 2)];
    let token: Token = match kind % 3 {
        0 => {
            let token = AccessToken::new(client, scopes, padded(word()), at(0));
            let resource = is(1).then(&mut word);
            let token_type = if is(2) { word() } else { "Bearer".into() };
            let (refresh_at, extended_expires_at) = (is(3).then(|| at(1)), is(4).then(|| at(2)));
            let (expires_at, lifetime) = (
                token.expires_at.filter(|_| !is(5)),
                is(6).then(|| Duration::from_millis(times.len() as u64)),
            );
            AccessToken {
                tenant,
                resource,
                token_type,
                expires_at,
                lifetime,
                refresh_at,
                extended_expires_at,
                partition,
                extra,
                ..token
            }
            .into()
        }
        1 => {
            let token = RefreshToken::new(client, padded(word()));
            RefreshToken {
                family_id: is(1).then(&mut word),
                expires_at: is(3).then(|| at(1)),
                partition,
                extra,
                ..token
            }
            .into()
        }
        _ => IdToken { tenant, partition, extra, ..IdToken::new(client, padded(word())) }.into(),
    };
    let kind = Kind::Token {};
    match ROWS.seal_token(|part| key(&kind, part), &token) {
        Ok(rows) => {
            assert!(
                rows.iter().all(|(_, value)| value.len() <= PART_BYTES + 128),
                "a row is too long"
            );
            assert!(rows.iter().all(|(_, value)| usize::from(Rows::parts_of(value)) == rows.len()));
            assert_eq!(
                ROWS.open_token(rows).expect("it opens"),
                Some(token),
                "it comes back as another"
            );
        }
        Err(Error::InvalidInput { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
}

fn client() -> ClientId {
    ClientId::new("client").expect("a client")
}

/// Rows as the store writes them: sealed under the same keys in each process, with other nonces.
pub fn valid() -> Vec<(Kind, Vec<Vec<u8>>)> {
    let new = |name: &str| TenantId::new(name).unwrap();
    let subject = Subject::new("https://idp.example.com", "sub").unwrap();
    let session = SessionId::new("https://idp.example.com", "sid").unwrap();
    let alias = Alias::new(AliasKind::Email, "a@example.com").unwrap();
    let mut rows = Vec::new();
    let accounts = [
        AccountId::new("login.example.com", "uid.utid").unwrap(),
        AccountId::of_subject(subject.clone()),
        AccountId::app(new("tenant"), client()),
    ];
    for (count, account) in (0u8..).zip(&accounts) {
        let sign_ins: Vec<[u8; 16]> = (0..count * 3).map(|id| [id; 16]).collect();
        rows.push((
            Kind::Header {},
            vec![ROWS.seal_header(&key(&Kind::Header {}, 0), &sign_ins, account).unwrap()],
        ));
    }
    let bodies = [
        SignInBody::new(new("tenant"), None, None, Vec::new(), (0, [0; 16], 0)),
        SignInBody::new(
            new("t"),
            Some(session),
            Some(subject),
            vec![alias; 3],
            (1_800_000_000_000, [9; 16], u64::MAX),
        )
        .named(Some("label".into()), Some(86_400_000)),
    ];
    for body in &bodies {
        rows.push((
            Kind::SignIn {},
            vec![ROWS.seal_sign_in(&key(&Kind::SignIn {}, 0), body).unwrap()],
        ));
    }
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let access =
        AccessToken::new(client(), Scopes::parse("mail.read user.read").unwrap(), "eyJ0", at);
    let tokens: [Token; 4] = [
        access.clone().into(),
        AccessToken {
            tenant: Some(new("guest")),
            resource: Some("https://api".into()),
            extra: vec![1; 9000],
            ..access
        }
        .into(),
        RefreshToken {
            family_id: Some("1".into()),
            ..RefreshToken::new(client(), "r".repeat(20_000))
        }
        .into(),
        IdToken::new(client(), "id").into(),
    ];
    for token in &tokens {
        let parts = ROWS.seal_token(|part| key(&Kind::Token {}, part), token).unwrap();
        rows.push((Kind::Token {}, parts.into_iter().map(|(_, value)| value).collect()));
    }
    for position in [0, 1, u64::MAX] {
        rows.push((Kind::Checkpoint {}, vec![ROWS.seal_checkpoint(b"C", position).unwrap()]));
    }
    rows
}
