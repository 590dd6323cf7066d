//! Tokens.

use std::time::Duration;

use super::*;
use crate::clock::lasting::Put;
use crate::model::scopes::{Partition, Scopes};
use crate::model::time::from_millis;
use crate::model::token::{AccessToken, IdToken, RefreshToken, Token};
use crate::rows::row_key;

/// When the tokens were stored.
const PUT: Put = Put { shown: NOW, passed: Interval::new(5_000), run: 0x0102_0304_0506_0708 };

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

#[test]
fn golden_token_of_several_parts() {
    let long: String =
        (0..12_500_u32).map(|at| char::from(b'a' + u8::try_from(at * at % 26).unwrap())).collect();
    let token = Token::from(RefreshToken::new(client(), long));
    old_tokens_are_read("token-of-three-parts", std::slice::from_ref(&token));
    let made = tokens_are_golden("token-of-three-parts", &[token]);
    assert_eq!(made, 3);
}

/// Seals each token and opens the known answer. Says how many rows that were.
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

/// What version 1 wrote of these tokens says the same, but not when they were stored.
fn old_tokens_are_read(name: &str, tokens: &[Token]) {
    let (rows, _) = rows();
    let mut found = rows_of_version_1(name).into_iter().peekable();
    for token in tokens {
        let count = crate::rows::parts::parts_of(&found.peek().unwrap().1);
        let parts = found.by_ref().take(count.into()).collect();
        let stored = rows.open_token(parts, &header()).unwrap().unwrap();
        assert!((&stored.token, stored.put) == (token, None));
    }
    assert!(found.next().is_none());
}
