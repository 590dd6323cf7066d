//! What is no cache is told apart from a cache without users, and says what it looks to be.

use super::*;

fn error(bytes: &[u8]) -> MsalError {
    let error = MsalCache::read(bytes).map(|cache| format!("{cache:?}")).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("needle") && !text.contains("FAKE"), "{text}");
    error
}

/// That which it looks to be, and what to do.
macro_rules! is {
    ($variant:pat, $says:literal, $bytes:expr) => {
        let content = $bytes;
        let bytes: &[u8] = content.as_ref();
        let error = error(bytes);
        assert!(matches!(error, $variant), "{error:?}: {}", String::from_utf8_lossy(bytes));
        assert!(error.to_string().contains($says), "{error}");
    };
}

#[test]
fn a_cache_without_users_is_one() {
    for empty in [
        "",
        " \r\n\t",
        "\u{feff}",
        "\u{feff} ",
        "{}",
        " { } ",
        r#"{"AccessToken": null, "Account": {}}"#,
        r#"{"AppMetadata": {}}"#,
        r#"{"Unknown": {"needle": 1}, "RefreshToken": {}}"#,
        r#"{"AccessToken": {}, "msal.token.keys.web": "x"}"#,
    ] {
        let cache = read(empty);
        assert!(
            cache.sign_ins.is_empty() && cache.problems.is_empty() && cache.signed_out == 0,
            "{empty:?}"
        );
    }
}

#[test]
fn a_browsers_storage() {
    let entry = json!({"credentialType": "RefreshToken", "homeAccountId": "needle.utid", "environment": "login.windows.net",
        "clientId": "web", "secret": "FAKE-RT"});
    // Flat, with entries as texts or as objects; alone; in a list of names and values; beside what
    // else an app keeps there.
    for flat in [
        json!({"needle.utid-login.windows.net-refreshtoken-web----": entry.to_string()}),
        json!({"needle.utid-login.windows.net-refreshtoken-web----": entry}),
        entry.clone(),
        json!([{"name": "needle.utid-login.windows.net-refreshtoken-web----", "value": entry.to_string()}]),
        json!({"theme": "dark", "x": 1, "msal.account.keys": "[\"needle\"]"}),
        json!({"localStorage": {"msal.3|needle|web": entry.to_string()}}),
        json!({"msal.3|needle|web": {"id": "1", "nonce": "FAKE", "data": "FAKE"}, "other": entry}),
    ] {
        is!(MsalError::Browser, "sign in at the server", flat.to_string());
    }
    let sealed =
        json!({"id": "0195", "nonce": "FAKE", "data": "FAKE", "lastUpdatedAt": "1795132800000"});
    for encrypted in [
        json!({"needle.utid-login.windows.net-refreshtoken-web----": sealed.to_string(), "msal.version": "4.9.0"}),
        json!({"msal.3|needle|web": sealed}),
        sealed.clone(),
    ] {
        is!(MsalError::EncryptedBrowser, "only that browser can read it", encrypted.to_string());
    }
    is!(MsalError::Browser, "msal-browser", r#"{"msal.account.keys": "needle",}"#);
}

#[test]
fn a_list_of_adals() {
    let entry = json!({"tokenType": "Bearer", "expiresIn": 3599, "expiresOn": "2026-11-20 01:00:00", "resource": "https://needle",
        "accessToken": "FAKE", "refreshToken": "FAKE", "isMRRT": true, "userId": "needle", "_clientId": "web",
        "_authority": "https://login.microsoftonline.com/needle"});
    is!(MsalError::Adal, "ADAL", json!([entry]).to_string());
    is!(MsalError::Adal, "redeem its refresh tokens", format!("\u{feff}[{entry},]"));
}

#[test]
fn wide_characters() {
    let text =
        with_accounts(json!({"RefreshToken": {"k": whole("RefreshToken", USER)}})).to_string();
    for text in [text.as_str(), "{}", "[1]", "\"x\"", " {}", "\r\n{}"] {
        let units = || text.encode_utf16();
        let wide = text.chars().map(u32::from);
        let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        let wider: [Vec<u8>; 2] = [
            wide.clone().flat_map(u32::to_le_bytes).collect(),
            wide.flat_map(u32::to_be_bytes).collect(),
        ];
        for (mark, text) in [("\u{feff}", little), ("", big)] {
            is!(MsalError::Utf16, "save it as UTF-8", &text);
            let marked: Vec<u8> =
                mark.encode_utf16().flat_map(u16::to_le_bytes).chain(text).collect();
            is!(MsalError::Utf16, "UTF-16", marked);
        }
        for text in wider {
            is!(MsalError::Utf16, "UTF-32", text);
        }
        let big = std::iter::once(0xfeff)
            .chain(text.encode_utf16())
            .flat_map(u16::to_be_bytes)
            .collect::<Vec<u8>>();
        is!(MsalError::Utf16, "UTF-16", big);
    }
    is!(MsalError::Utf16, "UTF-16", b"\xff\xfe");
}

#[test]
fn what_is_protected() {
    is!(
        MsalError::DataProtection,
        "ASP.NET Core Data Protection",
        b"\x09\xf0\xc9\xf0\x80\x9c\x81\x0c needle"
    );
    is!(
        MsalError::DataProtection,
        "with its keys and purpose",
        b"CfDJ8ICcgQwZZhlAlTZT-OKr_ needle"
    );
    is!(MsalError::DataProtection, "import the JSON inside", b"\r\n CfDJ8ICcgQwZZhlAlTZT");
    let blob = b"\x01\0\0\0\xd0\x8c\x9d\xdf\x01\x15\xd1\x11\x8c\x7a\x00\xc0\x4f\xc2\x97\xeb\x01\0\0\0needle";
    is!(MsalError::Dpapi, "Windows' DPAPI", blob);
    is!(
        MsalError::Dpapi,
        "as the user who protected it",
        b"AQAAANCMnd8BFdERjHoAwE/Cl+sBAAAAneedle"
    );
    // What only begins as one does, or encrypts otherwise, is no JSON.
    is!(MsalError::NotJson { .. }, "in the clear", b"\x01\0\0\0\xd0\x8c needle");
    is!(MsalError::NotJson { .. }, "if it is encrypted", b"\x8f\x03\xcc needle");
}

#[test]
fn content_without_a_section() {
    for other in [
        json!({"needle": {}}),
        json!({"access_token": "FAKE", "refresh_token": "FAKE", "expires_in": 3600}),
        json!({"accesstoken": {}, "account": {}}),
        json!({"cache": with_accounts(json!({"RefreshToken": {"k": whole("RefreshToken", USER)}}))}),
        json!({"id": "needle", "nonce": "needle"}),
        json!({"": null}),
    ] {
        is!(MsalError::NoSection, "AccessToken", other.to_string());
    }
    is!(MsalError::NoSection, "as it is", r#"{"needle": [1, 2,],}"#);
    for other in [
        "[]",
        "[1]",
        "null",
        "7",
        "-7",
        "1.5",
        "true",
        "\"needle\"",
        r#"[{"Key": "access_tokens", "Value": ["needle"]}]"#,
    ] {
        is!(MsalError::NotAnObject, "not an object", other);
    }
}

#[test]
fn what_is_no_json_is_an_error_that_quotes_nothing() {
    for bad in ["{needle", r#"{"needle": needle}"#, r#"{"Account": "\ud800"}"#, "{} needle", "{,,}"]
    {
        is!(MsalError::NotJson { .. }, "not JSON", bad);
    }
    let cut = crate::samples::DOTNET.split("FAKE-RT-1").next().unwrap();
    is!(MsalError::NotJson { line: 34, .. }, "line 34", cut);
    let deep =
        format!("{{\"Account\": {{}}, \"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    is!(MsalError::NotJson { .. }, "not JSON", deep);
}

#[test]
fn a_huge_file_is_refused() {
    is!(MsalError::TooLarge, "256 MiB", vec![b' '; 256 * 1024 * 1024 + 1]);
}
