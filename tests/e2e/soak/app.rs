//! The app in a process of its own, which can be killed: this test's program once more.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use oubliette::logout::Algorithm;
use oubliette_testkit::disk;
use tokio::io::AsyncReadExt as _;

use crate::examples::web_app::{Options, Outside, Tenant, start};

/// Set for the child: where it is to serve, and what it has to know.
const TOLD: &str = "OUBLIETTE_SOAK_APP";

/// What the child is told.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Told {
    pub(crate) folder: String,
    pub(crate) port: u16,
    pub(crate) issuer: String,
    pub(crate) secret: String,
    pub(crate) api: String,
}

/// Not a test but what the child does.
#[test]
fn app() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let told: Told = serde_json::from_str(&told).unwrap();
    let outside = Outside {
        issuer: told.issuer,
        client_id: super::CLIENT.into(),
        client_secret: told.secret,
        tenant: Tenant::Claim("tenant".into()),
        scopes: "openid offline_access api.read".into(),
        algorithms: vec![Algorithm::Rs256],
        without_expiry_for: None,
        skew: None,
        sid_is_sub: false,
        api: Some(told.api),
        has_other_app: false,
        sign_out_page: None,
    };
    let options = Options {
        ports: [told.port, 0, 0, 0],
        outside: Some(outside),
        ..Options::new(told.folder)
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let _running = start(options).await.unwrap();
        // Until it is killed; or, if the test is, its end of this pipe is closed.
        _ = tokio::io::stdin().read(&mut [0]).await;
    });
}

/// The process while it runs.
pub(crate) struct App(std::process::Child);

impl App {
    /// Starts it, and waits until it serves.
    pub(crate) async fn start(told: &Told) -> Self {
        let mut command = disk::again("soak::app::app");
        let told_as = serde_json::to_string(told).unwrap();
        let mut child = command.env(TOLD, told_as).stdin(Stdio::piped()).spawn().unwrap();
        while tokio::net::TcpStream::connect(("127.0.0.1", told.port)).await.is_err() {
            assert!(child.try_wait().unwrap().is_none(), "the app does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self(child)
    }

    /// As `kill -9`: whether it ran until then.
    pub(crate) fn kill(&mut self) -> bool {
        let was_alive = self.0.try_wait().unwrap().is_none();
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        was_alive
    }

    /// Its memory, resident, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a folder takes on the disk, in KiB.
pub(crate) fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len().div_ceil(1024),
            Err(_) => 0, // gone meanwhile
        })
        .sum()
}
