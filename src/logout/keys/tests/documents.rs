//! What is taken from a provider's documents, and what it replaces.

use super::*;

const MOVED: &str = "https://op.example.com/new/jwks";

#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_where_the_newest_document_says() {
    let (old, new) = (Signer::new(1, "old"), Signer::new(2, "new"));
    let server = Server::with(&[&old]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &old.token()).await, Ok(()));
    let mut moved = document();
    moved["jwks_uri"] = json!(MOVED);
    moved["end_session_endpoint"] = json!("https://op.example.com/new/logout");
    server.json(DISCOVERY, &moved);
    server.json(MOVED, &jwks(&[&new]));
    assert_eq!(verify(&cache, &new.token()).await, Ok(()));
    assert_eq!((server.asked(JWKS).len(), server.asked(MOVED).len()), (1, 1));
    assert_eq!(
        cache.end_session_endpoint().await.unwrap().as_str(),
        "https://op.example.com/new/logout"
    );
}

/// It could name anybody's keys.
#[tokio::test(start_paused = true)]
async fn a_bad_document_never_replaces_a_good_one_and_the_keys_are_fetched_all_the_same() {
    let forged = Signer::new(9, "forged");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = document();
        document["jwks_uri"] = json!(MOVED);
        change(&mut document);
        Reply::Bytes(document.to_string().into_bytes())
    };
    let bad = [
        with(&|document| document["issuer"] = json!("https://other.example.com")),
        with(&|document| document["issuer"] = json!("https://op.example.com/")),
        with(&|document| document["issuer"] = json!(["https://op.example.com"])),
        with(&|document| drop(document.as_object_mut().unwrap().remove("issuer"))),
        with(&|document| drop(document.as_object_mut().unwrap().remove("jwks_uri"))),
        with(&|document| document["jwks_uri"] = json!("http://op.example.com/new/jwks")),
        with(&|document| document["jwks_uri"] = json!("http://localhost/new/jwks")),
        with(&|document| document["jwks_uri"] = json!("https://op.example.com/new/jwks#")),
        with(&|document| document["jwks_uri"] = json!("https://user@op.example.com/new/jwks")),
        with(&|document| document["jwks_uri"] = json!("file:///etc/passwd")),
        Reply::Bytes(b"[]".to_vec()),
        Reply::Bytes(Vec::new()),
        Reply::Status(302),
        // The keys must still come in the time that is left.
        Reply::Silence,
    ];
    for bad in bad {
        let (old, new) = (Signer::new(1, "old"), Signer::new(2, "new"));
        let server = Server::with(&[&old]);
        let cache = discovered(&server);
        assert_eq!(verify(&cache, &old.token()).await, Ok(()));
        server.serve(DISCOVERY, bad.clone());
        server.json(MOVED, &jwks(&[&forged]));
        server.serve(JWKS, Reply::Late(SECOND, jwks(&[&new]).to_string().into_bytes()));
        assert_eq!(verify(&cache, &forged.token()).await, Err(Rejected::UnknownKey));
        assert_eq!(verify(&cache, &new.token()).await, Ok(()));
        assert_eq!((server.asked(JWKS).len(), server.asked(MOVED).len()), (2, 0));
        assert_eq!(
            cache.end_session_endpoint().await.unwrap().as_str(),
            "https://op.example.com/logout"
        );

        // And as the first it gives nothing.
        let server = Server::with(&[&old]);
        server.serve(DISCOVERY, bad);
        assert_eq!(
            verify(&discovered(&server), &old.token()).await,
            Err(Rejected::KeysUnavailable)
        );
        assert_eq!(server.asked(JWKS).len() + server.asked(MOVED).len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_used_never_replace_those_that_can() {
    let ours = Signer::new(1, "a");
    let symmetric = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]});
    let for_encryption = {
        let mut keys = jwks(&[&ours]);
        keys["keys"][0]["use"] = json!("enc");
        keys
    };
    for useless in [json!({"keys": []}), json!({}), json!([]), symmetric, for_encryption] {
        let server = Server::with(&[&ours]);
        let cache = discovered(&server);
        assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
        server.json(JWKS, &useless);
        assert_eq!(verify(&cache, &Signer::new(2, "b").token()).await, Err(Rejected::UnknownKey));
        assert_eq!(server.asked(JWKS).len(), 2);
        assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    }
}

/// Hole: whoever may sign for one issuer of an app could have signed for all of them.
#[tokio::test(start_paused = true)]
async fn two_issuers_made_with_the_same_keys_share_none() {
    let (ours, theirs) = (Signer::new(1, "a"), Signer::new(2, "b"));
    let server = Server::with(&[&ours]);
    const OTHER: &str = "https://other.example.com";
    server.json(
        &format!("{OTHER}/.well-known/openid-configuration"),
        &json!({"issuer": OTHER, "jwks_uri": format!("{OTHER}/jwks")}),
    );
    server.json(&format!("{OTHER}/jwks"), &jwks(&[&theirs]));
    let recipe = Keys::discovered(server.clone());
    let (one, two) =
        (recipe.cache(&provider()), recipe.clone().cache(&Provider::generic(OTHER).unwrap()));
    for _ in 0..2 {
        assert_eq!(verify(&one, &ours.token()).await, Ok(()));
        assert_eq!(verify(&two, &theirs.token()).await, Ok(()));
        assert_eq!(verify(&one, &theirs.token()).await, Err(Rejected::UnknownKey));
        assert_eq!(verify(&two, &ours.token()).await, Err(Rejected::UnknownKey));
    }
    assert_eq!(
        (one.end_session_endpoint().await.is_some(), two.end_session_endpoint().await),
        (true, None)
    );
}

#[tokio::test(start_paused = true)]
async fn the_document_may_be_elsewhere_or_there_may_be_none() {
    let ours = Signer::new(1, "a");
    let server = Server::default();
    const ELSEWHERE: &str = "https://elsewhere.example.com/document?p=b2c_1_flow";
    server.json(ELSEWHERE, &document());
    server.json(JWKS, &jwks(&[&ours]));
    let cache = Keys::discovered_at(ELSEWHERE, server.clone()).unwrap().cache(&provider());
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    assert!(cache.end_session_endpoint().await.is_some());
    // It must be the provider's all the same.
    let other = Provider::generic("https://other.example.com").unwrap();
    let cache = Keys::discovered_at(ELSEWHERE, server.clone()).unwrap().cache(&other);
    assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));

    // Or say another name of it, whoever was told of that.
    let known = other.clone().also_known_as(ISSUER).unwrap();
    let cache = Keys::discovered_at(ELSEWHERE, server.clone()).unwrap().cache(&known);
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    let keys = Keys::discovered_at(ELSEWHERE, server.clone()).unwrap();
    let issuer =
        crate::logout::Issuer::new(other, crate::model::id::ClientId::new("web").unwrap(), keys)
            .also_known_as(ISSUER);
    assert_eq!(verify(issuer.cache(), &ours.token()).await, Ok(()));

    let cache = Keys::fetched(JWKS, server.clone()).unwrap().cache(&provider());
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    assert_eq!(cache.end_session_endpoint().await, None);
    assert_eq!(server.fetches(), 0);

    for wrong in [
        "http://op.example.com/jwks",
        "op.example.com",
        "https://a@op.example.com/",
        "https://op.example.com/#keys",
        "",
    ] {
        assert!(
            Keys::fetched(wrong, server.clone()).is_err()
                && Keys::discovered_at(wrong, server.clone()).is_err()
        );
    }
    assert!(Keys::fetched("http://127.0.0.1:8080/jwks", server).is_ok());
}

#[tokio::test(start_paused = true)]
async fn where_users_sign_out_is_asked_for_once_and_within_the_time_of_one_fetch() {
    let ours = Signer::new(1, "a");
    let server = Server::with(&[&ours]);
    let cache = discovered(&server);
    for _ in 0..3 {
        assert_eq!(
            cache.end_session_endpoint().await.unwrap().as_str(),
            "https://op.example.com/logout"
        );
    }
    assert_eq!(server.fetches(), 1);
    // It ages as the keys do.
    pass(SECOND * 3600).await;
    assert!(cache.end_session_endpoint().await.is_some());
    settle().await;
    assert_eq!(server.fetches(), 2);

    // The document is enough.
    server.serve(JWKS, Reply::Status(500));
    let cache = discovered(&server);
    assert!(cache.end_session_endpoint().await.is_some());
    assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));

    server.serve(DISCOVERY, Reply::Silence);
    let cache = discovered(&server);
    let begun = Instant::now();
    assert_eq!(cache.end_session_endpoint().await, None);
    assert_eq!(begun.elapsed(), SECOND * 5);

    // A stranger's token has had the document asked for just now, in vain.
    server.serve(DISCOVERY, Reply::Status(500));
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));
    pass(SECOND).await;
    server.json(DISCOVERY, &document());
    assert!(cache.end_session_endpoint().await.is_some());

    // And then the provider falls silent: the user does not wait for both.
    server.serve(DISCOVERY, Reply::Status(500));
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));
    pass(SECOND).await;
    server.serve(DISCOVERY, Reply::Silence);
    let begun = Instant::now();
    assert_eq!(cache.end_session_endpoint().await, None);
    assert_eq!(begun.elapsed(), SECOND * 5);
}

/// Else a mistake in what few use would cost the sign-outs of all.
#[tokio::test(start_paused = true)]
async fn a_document_whose_sign_out_page_is_wrong_still_gives_the_keys() {
    let ours = Signer::new(1, "a");
    for wrong in [
        json!("http://op.example.com/logout"),
        json!("/logout"),
        json!(7),
        json!(null),
        json!("javascript:alert(1)"),
    ] {
        let server = Server::with(&[&ours]);
        let mut document = document();
        document["end_session_endpoint"] = wrong;
        server.json(DISCOVERY, &document);
        let cache = discovered(&server);
        assert_eq!(cache.end_session_endpoint().await, None);
        assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    }
}

/// As in tests of apps: no TLS on one's own machine, and nowhere else.
#[tokio::test(start_paused = true)]
async fn a_provider_on_this_machine_may_do_without_tls_and_only_for_this_machine() {
    let ours = Signer::new(1, "a");
    const HERE: &str = "http://127.0.0.1:8080";
    for (address, expected) in [
        ("http://127.0.0.1:8080/jwks", Ok(())),
        ("http://localhost:8080/jwks", Ok(())),
        ("http://[::1]/jwks", Ok(())),
        ("https://keys.example.com/jwks", Ok(())),
        ("http://keys.example.com/jwks", Err(Rejected::KeysUnavailable)),
        ("http://127.0.0.1.example.com/jwks", Err(Rejected::KeysUnavailable)),
    ] {
        let server = Server::default();
        server.json(
            &format!("{HERE}/.well-known/openid-configuration"),
            &json!({"issuer": HERE, "jwks_uri": address}),
        );
        server.json(address, &jwks(&[&ours]));
        let cache = Keys::discovered(server).cache(&Provider::generic(HERE).unwrap());
        assert_eq!(verify(&cache, &ours.token()).await, expected, "{address}");
    }
}

#[test]
fn what_went_wrong_names_no_address() {
    let keys = Keys::discovered_at("https://op.example.com/x", Server::default()).unwrap();
    assert!(format!("{keys:?}").contains("https://op.example.com/x"));
    assert_eq!(format!("{:?}", keys.cache(&provider())), "KeySet(none yet)");
}
