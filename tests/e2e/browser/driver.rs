//! Chromium, driven over HTTP by `chromedriver`: what these tests need of [WebDriver](https://www.w3.org/TR/webdriver2/), and no more.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use openidconnect::reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// What must come does within this time: it is only so that a test which fails ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// The member in which an element's id comes (§12.3.1 of the standard).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The driver's process. Dropping it ends it, and its browsers.
pub(crate) struct Driver {
    port: u16,
    child: Child,
    /// Read no further, but open: else it would fail to write.
    _output: Lines<BufReader<ChildStdout>>,
}

/// How a browser is set up. All have a profile of their own, of a moment's life, and find no other machine than this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) javascript: bool,
    pub(crate) third_party_cookies: bool,
}

impl Kind {
    /// As browsers come nowadays, by and by: without third parties' cookies.
    pub(crate) const USUAL: Self = Self { javascript: true, third_party_cookies: false };
}

impl Driver {
    pub(crate) async fn start() -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("start these tests with tests/e2e/browser/run");
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) =
            tokio::time::timeout(PATIENCE, output.next_line()).await.unwrap().unwrap()
        {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                let port = port.trim_end_matches('.').parse().unwrap();
                return Self { port, child, _output: output };
            }
        }
        panic!("chromedriver has ended");
    }

    pub(crate) async fn browser(&self, kind: Kind) -> Browser {
        let preferences = json!({
            "profile.cookie_controls_mode": if kind.third_party_cookies { 0 } else { 1 },
            "profile.managed_default_content_settings.javascript": if kind.javascript { 1 } else { 2 },
        });
        // As root, as in a container, it has no sandbox. It opens nothing but pages of ours.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1280,900",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        ];
        let options = json!({"args": arguments, "prefs": preferences});
        let wanted = json!({"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let url = format!("http://127.0.0.1:{}/session", self.port);
        let mut browser = Browser { url, http };
        let made = browser
            .send(Method::POST, "", json!({"capabilities": {"alwaysMatch": wanted}}))
            .await
            .unwrap();
        browser.url = format!("{}/{}", browser.url, made["sessionId"].as_str().unwrap());
        browser
    }
}

impl Drop for Driver {
    /// Killed, it would leave its browsers behind.
    fn drop(&mut self) {
        let Ok(mut connection) = std::net::TcpStream::connect(("127.0.0.1", self.port)) else {
            return;
        };
        _ = connection.set_read_timeout(Some(Duration::from_secs(10)));
        _ = connection
            .write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        _ = connection.read_to_end(&mut Vec::new());
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One browser, with one page open.
#[derive(Clone)]
pub(crate) struct Browser {
    url: String,
    http: Client,
}

/// What the driver says that went wrong: its kind (`no such element`, ...), and its words.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) kind: String,
    pub(crate) words: String,
}

impl Browser {
    /// Opens a page, as who enters an address.
    pub(crate) async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    pub(crate) async fn address(&self) -> String {
        self.get("/url").await.as_str().unwrap().to_owned()
    }

    /// The document as it is now.
    pub(crate) async fn source(&self) -> String {
        self.get("/source").await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn has(&self, css: &str) -> bool {
        self.find(css).await.is_ok()
    }

    /// The text of the first such element, as it is seen. (In one step: pages change.)
    pub(crate) async fn text(&self, css: &str) -> String {
        let text = self
            .run("return document.querySelector(arguments[0])?.innerText ?? null", json!([css]))
            .await;
        text.as_str().unwrap_or_else(|| panic!("there is no {css}")).to_owned()
    }

    /// Clicks the first such element; where a page of the app is being replaced just now, the new one's.
    pub(crate) async fn click(&self, css: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let clicked = match self.find(css).await {
                Ok(element) => {
                    self.send(Method::POST, &format!("/element/{element}/click"), json!({})).await
                }
                Err(wrong) => Err(wrong),
            };
            match clicked {
                Ok(_) => return,
                Err(wrong)
                    if wrong.kind.starts_with("stale element") && Instant::now() < deadline => {}
                Err(wrong) => {
                    let (address, source) = (self.address().await, self.source().await);
                    panic!("{css} at {address}: {}: {}\n{source}", wrong.kind, wrong.words);
                }
            }
        }
    }

    /// Clicks, and waits until that has led to another page: a form or a link does not at once.
    pub(crate) async fn leaves_by(&self, css: &str) {
        self.run("document.documentElement.setAttribute('data-left', '')", json!([])).await;
        self.click(css).await;
        until(async || match self.is_gone("html[data-left]").await {
            true => Ok(()),
            false => Err(format!("{css} leads nowhere")),
        })
        .await;
    }

    /// Presses keys in whatever has the focus.
    pub(crate) async fn press(&self, keys: &str) {
        let strokes: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.post(
            "/actions",
            json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}),
        )
        .await;
    }

    /// What the script returns: works in browsers without JavaScript too, where it is the pages' own that do not run.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": arguments})).await
    }

    /// What the script gives to its last argument.
    pub(crate) async fn run_async(&self, script: &str, arguments: Value) -> Value {
        self.post("/execute/async", json!({"script": script, "args": arguments})).await
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn command(&self, name: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": name, "params": parameters})).await
    }

    /// What the pages had the browser complain of, since it was last asked: what a policy forbade, what was not found, errors of scripts.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"})).await;
        let grave = log
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG");
        grave.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn is_gone(&self, css: &str) -> bool {
        !self.has(css).await
    }

    async fn find(&self, css: &str) -> Result<String, Wrong> {
        let found = self
            .send(Method::POST, "/element", json!({"using": "css selector", "value": css}))
            .await?;
        Ok(found[ELEMENT].as_str().unwrap().to_owned())
    }

    async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, Value::Null)
            .await
            .unwrap_or_else(|wrong| panic!("{path}: {}: {}", wrong.kind, wrong.words))
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, body)
            .await
            .unwrap_or_else(|wrong| panic!("{path}: {}: {}", wrong.kind, wrong.words))
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, Wrong> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let is_well = response.status().is_success();
        let mut answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let value = answer["value"].take();
        if is_well {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(Wrong { kind: text("error"), words: text("message") })
    }
}

/// Asks again and again until it is so; or says what it was at last.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(found) => return found,
            Err(otherwise) => assert!(Instant::now() < deadline, "{otherwise}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
