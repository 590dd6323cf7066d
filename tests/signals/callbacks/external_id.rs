//! Entra External ID: the authority has the tenant's name in its host, or its id; tokens always
//! have the id.

use oubliette::logout::{Algorithm, EndSession, Issuers};
use oubliette::openid::{Provider, ProviderIdTokenClaims};
use oubliette::*;
use oubliette_testkit::provider::{NOW, SigningProvider};
use serde_json::json;

use super::world::{CallbackFixture, OTHER, done, header, live};

const TENANT: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
const OID: &str = "11111111-0000-4000-8000-000000000001";
const BY_NAME: &str = "https://contoso.ciamlogin.com/AAAAAAAA-0000-4000-8000-00000000000A/v2.0";
const BY_ID: &str = "https://aaaaaaaa-0000-4000-8000-00000000000a.ciamlogin.com/aaaaaaaa-0000-4000-8000-00000000000a/v2.0";
const CLOUD: &str = "https://aaaaaaaa-0000-4000-8000-00000000000a.ciamlogin.com";

fn world(authority: &str) -> CallbackFixture {
    let stub = SigningProvider::at(Algorithm::EdDsa, Provider::entra(authority).unwrap(), BY_ID);
    let other = SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER);
    let issuers = Issuers::new([stub
        .issuer()
        .end_session_endpoint(format!("{CLOUD}/{TENANT}/oauth2/v2.0/logout"))])
    .unwrap();
    CallbackFixture::of(stub, other, issuers)
}

fn sign_in(world: &CallbackFixture, sid: &str) -> LiveSignIn {
    let claims = json!({"iss": BY_ID, "sub": "pairwise", "aud": "web", "exp": NOW + 300, "iat": NOW - 100, "oid": OID, "tid": TENANT, "sid": sid});
    let claims: ProviderIdTokenClaims = serde_json::from_value(claims).unwrap();
    world.store.sign_in(world.stub.provider.sign_in(&claims).unwrap()).unwrap()
}

#[tokio::test]
async fn the_front_channel_of_an_external_tenant_ends_its_session() {
    for (authority, ancestors) in
        [(BY_ID, CLOUD.to_owned()), (BY_NAME, format!("{CLOUD} https://contoso.ciamlogin.com"))]
    {
        // As Entra sends it, and as the specification has it.
        for query in ["sid=session-1".to_owned(), format!("sid=session-1&iss={BY_ID}")] {
            let world = world(authority);
            let jane = sign_in(&world, "session-1");
            assert_eq!(jane.session(), Some(&SessionId::new(CLOUD, "session-1").unwrap()));
            let answer = world.get(&query).await;
            let policy = format!("default-src 'none'; frame-ancestors {ancestors}");
            assert_eq!(
                (answer.status(), header(&answer, "content-security-policy")),
                (200, Some(policy.as_str()))
            );
            assert_eq!(live([&jane]), [false], "{authority} {query}");
        }
    }
}

#[tokio::test]
async fn a_logout_token_of_an_external_tenant_is_taken() {
    for authority in [BY_ID, BY_NAME] {
        let world = world(authority);
        let jane = sign_in(&world, "session-1");
        done(&world.post(&world.stub.claims().with("tid", TENANT).without("sub")).await);
        assert_eq!(live([&jane]), [false], "{authority}");
    }
}

#[tokio::test]
async fn who_signs_out_here_is_sent_to_the_external_tenant() {
    for authority in [BY_ID, BY_NAME] {
        let world = world(authority);
        let jane = sign_in(&world, "session-1");
        let ended = world.receiver.sign_out(&jane.into(), EndSession::new()).await.unwrap();
        assert_eq!(
            ended.url(),
            Some(format!("{CLOUD}/{TENANT}/oauth2/v2.0/logout?client_id=web").as_str())
        );
    }
}

/// MSAL libraries write the host that the app was configured with: each of them is the account that
/// the login makes, and has its session.
#[tokio::test]
async fn what_msal_wrote_under_either_host_is_the_same_account_and_session() {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let part =
        |value: serde_json::Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let claims = json!({"iss": BY_ID, "sub": "pairwise", "sid": "session-1", "tid": TENANT, "iat": NOW - 100});
    let id_token = format!("{}.{}.", part(json!({"alg": "none"})), part(claims));
    for host in ["contoso.ciamlogin.com".to_owned(), format!("{TENANT}.ciamlogin.com")] {
        let entry = |secret: &str| json!({"home_account_id": format!("{OID}.{TENANT}"), "environment": host, "client_id": "web", "realm": TENANT, "secret": secret});
        let cache = json!({"Account": {"a": {"home_account_id": format!("{OID}.{TENANT}"), "environment": host, "realm": TENANT,
            "local_account_id": OID, "username": "jane", "authority_type": "MSSTS"}},
            "IdToken": {"i": entry(&id_token)}, "RefreshToken": {"r": entry("rt")}});
        let cache = msal::MsalCache::read(cache.to_string().as_bytes()).unwrap();
        let world = world(BY_NAME);
        let jane = sign_in(&world, "session-1");
        let imported =
            world.store.sign_in(cache.sign_ins.into_iter().next().unwrap().sign_in).unwrap();
        assert_eq!(
            (imported.account(), imported.session()),
            (jane.account(), jane.session()),
            "{host}"
        );
    }
}
