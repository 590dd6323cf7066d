//! The provider's process: `provider.mjs`, as `run` has put it beside its packages.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The provider while it runs.
pub(crate) struct Node {
    pub(crate) issuer: String,
    told: Value,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// What it said beside what was waited for.
    aside: Vec<Value>,
}

impl Node {
    /// For an app at this URL; another one, at `other`, is known to it too. For clients with a key
    /// set in `encryption` it encrypts.
    pub(crate) async fn start(app: &str, other: &str, state: &Path, encryption: Value) -> Self {
        Self::run(json!({"app": app, "other": other, "port": 0, "keys": 1, "state": state,
            "encryption": encryption}))
        .await
    }

    /// Ends it and starts it again, at the same place, with as many keys more.
    pub(crate) async fn restart(self, more_keys: u64) -> Self {
        let mut told = self.told.clone();
        told["keys"] = (told["keys"].as_u64().unwrap() + more_keys).into();
        self.stop().await;
        Self::run(told).await
    }

    /// Ends it: all that it said and nobody has asked for.
    pub(crate) async fn stop(self) -> Vec<Value> {
        let Self { mut child, input, mut output, mut aside, .. } = self;
        drop(input);
        while let Some(line) = within("the provider's end", output.next_line()).await.unwrap() {
            aside.extend(read(&line));
        }
        assert!(within("the provider's end", child.wait()).await.unwrap().success());
        aside
    }

    /// The next client that it has told of a sign-out; and what it found wrong with the answer.
    pub(crate) async fn notified(&mut self) -> (String, Option<String>) {
        let said = self.said("notified").await;
        let text = |name: &str| said[name].as_str().map(str::to_owned);
        (text("notified").unwrap(), text("error"))
    }

    /// How often its keys have been fetched, of what it said so far.
    pub(crate) fn fetches_of_keys(&self) -> usize {
        self.aside.iter().filter(|said| said["asked"] == "/jwks").count()
    }

    async fn run(mut told: Value) -> Self {
        let folder =
            std::env::var_os("OIDC_PROVIDER").expect("start it with tests/e2e/oidc_provider/run");
        let mut command = Command::new("node");
        command.arg("provider.mjs").current_dir(PathBuf::from(folder)).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(format!("{told}\n").as_bytes()).await.unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut node = Self {
            issuer: String::new(),
            told: Value::Null,
            child,
            input,
            output,
            aside: Vec::new(),
        };
        told["port"] = node.said("port").await["port"].clone();
        node.issuer = format!("http://127.0.0.1:{}", told["port"]);
        node.told = told;
        node
    }

    async fn said(&mut self, what: &str) -> Value {
        loop {
            let line = within(what, self.output.next_line())
                .await
                .unwrap()
                .expect("the provider has ended");
            match read(&line) {
                Some(said) if !said[what].is_null() => return said,
                other => self.aside.extend(other),
            }
        }
    }
}

/// The package has notices of its own among what it says.
fn read(line: &str) -> Option<Value> {
    line.starts_with('{').then(|| serde_json::from_str(line).unwrap())
}

/// Waits for what must come: a minute is only so that a test which fails ends.
pub(crate) async fn within<F: Future>(what: &str, coming: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), coming)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"))
}
