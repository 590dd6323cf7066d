//! The operator's key, from wherever it comes; as text too, as it stands in files and variables.

use std::fs;
use std::path::Path;

use super::canary::{self, Kind};
use super::{clean_after, operator_key};
use base64ct::{Base64, Encoding};
use oubliette::*;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn every_source() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (mut hex, mut base64) = ([0; 68], [0; 51]);
    hex[..4].copy_from_slice(b"hex:");
    base16ct::lower::encode(&operator_key(5), &mut hex[4..]).unwrap();
    base64[..7].copy_from_slice(b"base64:");
    Base64::encode(&operator_key(5), &mut base64[7..]).unwrap();
    for text in [&hex[4..], &base64[7..]] {
        canary::note(Kind::Key, std::array::from_fn(|at| !text[at]));
    }
    write(&at("hex"), &hex);
    write(&at("base64"), &base64);
    // Not a key: a digit is missing.
    write(&at("short"), &hex[..67]);
    canary::pause(|| {
        // SAFETY: nobody else in this process reads or writes the environment now: the stores are
        // closed.
        unsafe {
            std::env::set_var("OUBLIETTE_MEMORY_KEY", std::str::from_utf8(&hex).unwrap());
            std::env::set_var("OUBLIETTE_MEMORY_BAD", std::str::from_utf8(&base64[..50]).unwrap());
            std::env::set_var("OUBLIETTE_MEMORY_AT_FILE", at("base64"));
            std::env::set_var("CREDENTIALS_DIRECTORY", folder.path());
        }
    });
    let machine = Machine::new();
    let sources = [
        ("bytes", KeySource::bytes(operator_key(5))),
        ("a file in hex", KeySource::file(at("hex"))),
        ("a file in base64", KeySource::file(at("base64"))),
        ("a variable", KeySource::env("OUBLIETTE_MEMORY_KEY")),
        ("a variable with a file's name", KeySource::env("OUBLIETTE_MEMORY_AT")),
        ("a credential", KeySource::systemd("hex")),
    ];
    for (name, source) in sources {
        machine.builder().key(source).open().unwrap().close().unwrap();
        clean_after(name);
    }
    let wrong = [
        KeySource::file(at("short")),
        KeySource::env("OUBLIETTE_MEMORY_BAD"),
        KeySource::bytes(operator_key(6)).previous(KeySource::file(at("short"))),
    ];
    for source in wrong {
        assert!(matches!(machine.builder().key(source).open(), Err(Error::KeyUnavailable { .. })));
        clean_after("a source that is no key");
    }
    let machine = Machine::new();
    for _ in 0..2 {
        machine.builder().key(KeySource::provider(Service)).open().unwrap().close().unwrap();
        clean_after("a provider");
    }
    assert!(matches!(
        machine.builder().key(KeySource::bytes(operator_key(5))).open(),
        Err(Error::KeyRejected)
    ));
    clean_after("a store of another source");
}

fn write(path: &Path, text: &[u8]) {
    fs::write(path, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
}

/// In the place of a service that wraps.
struct Service;

impl KeyProvider for Service {
    fn wrap(&self, mount_key: &[u8; 32], _: &WrapContext<'_>) -> Result<WrappedKey, BoxError> {
        Ok(WrappedKey { key_id: [1; 16], blob: mount_key.map(|byte| byte ^ 0x55).to_vec() })
    }

    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        _: &WrapContext<'_>,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, BoxError> {
        let mut key = Zeroizing::new([0; 32]);
        key.iter_mut().zip(&wrapped.blob).for_each(|(to, from)| *to = from ^ 0x55);
        Ok(Some(key))
    }
}
