//! **Demonstration.** The app in a process of its own, which the page can have killed; or in several
//! (`workers.rs`).
//!
//! This process keeps the app's address, its provider, the other app and the API. It starts its
//! program once more for the app, passes connections on to that, and starts it again when it dies
//! by a signal, whoever sent it. So a `kill -9` of the app is a real one, and a browser only waits.
//!
//! The child's standard input brings what it has to know, and ends when it is to end. On its
//! standard output it says where it serves, and that it asks to be killed.

mod child;
mod front;
#[cfg(unix)]
mod workers;

use std::net::Ipv4Addr;
use std::process::{Command, ExitStatus, Stdio};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::provider::Provider;
use super::site::Told;
use super::surroundings::{Surroundings, url_of};
use super::{Fault, Options, Urls};
pub(crate) use child::{Kill, is_child, serve};
#[cfg(unix)]
pub(crate) use workers::Workers;

/// What the child gets as the first line of its input.
#[derive(Serialize, Deserialize)]
struct Begin {
    told: Told,
    role: Role,
}

/// What the child is.
#[derive(Serialize, Deserialize)]
enum Role {
    /// The only process of the app, behind so many that have died before it.
    Only { deaths: u32 },
    /// One of several, which listen at this port.
    #[cfg(unix)]
    Worker { port: u16 },
}

/// What the child says, each on a line of its own.
enum Said {
    /// It serves the app at this port.
    Serves(u16),
    Kill,
}

/// In front of what the child says: other things can stand in its output.
const MARK: &str = "web_app says: ";

impl Said {
    fn line(&self) -> String {
        match self {
            Self::Serves(port) => format!("{MARK}serves {port}\n"),
            Self::Kill => format!("{MARK}kill\n"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let said = line.split_once(MARK)?.1.trim_end();
        match said.split_once(' ') {
            Some(("serves", port)) => port.parse().ok().map(Self::Serves),
            None if said == "kill" => Some(Self::Kill),
            _ => None,
        }
    }
}

/// Where the app serves now, if it does, and after how many deaths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) port: Option<u16>,
    pub(crate) deaths: u32,
}

/// All that was started, the app under supervision.
pub(crate) struct Supervised {
    pub(crate) urls: Urls,
    /// Ours, if it is.
    pub(crate) provider: Option<Provider>,
    life: watch::Receiver<Life>,
    end: oneshot::Sender<()>,
    lives: JoinHandle<Result<(), Fault>>,
    front: JoinHandle<()>,
}

impl Supervised {
    /// Starts everything. `again` makes a command for this program, which calls [`serve`] where
    /// [`is_child`] says so.
    pub(crate) async fn start<A>(options: Options, again: A) -> Result<Self, Fault>
    where
        A: Fn() -> std::io::Result<Command> + Send + 'static,
    {
        let [port, others @ ..] = options.ports;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let around = Surroundings::start(url_of(&listener)?, others, &options).await?;
        let told = Told::new(options, &around);
        let (shown, life) = watch::channel(Life::default());
        let (end, ended) = oneshot::channel();
        let front = tokio::spawn(front::pass_on(listener, life.clone()));
        let lives = tokio::spawn(lives(told, again, shown, ended));
        let mut supervised =
            Self { urls: around.urls, provider: around.provider, life, end, lives, front };
        supervised.serves_after(0).await?;
        Ok(supervised)
    }

    /// Waits until the app serves, and at least so many of its processes have died.
    ///
    /// # Errors
    /// It does not serve any more: [`stop`](Self::stop) says why.
    pub(crate) async fn serves_after(&mut self, deaths: u32) -> Result<(), Fault> {
        let serves = |life: &Life| life.port.is_some() && life.deaths >= deaths;
        if self.life.wait_for(serves).await.is_err() {
            return Err("the app's process has ended".into());
        }
        Ok(())
    }

    /// Waits until the app has ended in order, or cannot be started any more.
    pub(crate) async fn has_ended(&mut self) {
        while self.life.changed().await.is_ok() {}
    }

    /// Has the app end in order.
    pub(crate) async fn stop(self) -> Result<(), Fault> {
        self.front.abort();
        drop(self.end);
        self.lives.await??;
        if let Some(provider) = self.provider {
            provider.stop();
        }
        Ok(())
    }
}

/// One process of the app after another, until it ends in order.
async fn lives(
    told: Told,
    again: impl Fn() -> std::io::Result<Command>,
    shown: watch::Sender<Life>,
    mut end: oneshot::Receiver<()>,
) -> Result<(), Fault> {
    let mut deaths = 0;
    loop {
        let begin = Begin { told: told.clone(), role: Role::Only { deaths } };
        let mut process = Process::start(again()?, &begin).await?;
        let status = process.runs(deaths, &shown, &mut end).await?;
        let served = shown.borrow().port.is_some();
        shown.send_replace(Life { port: None, deaths });
        if process.input.is_none() || status.success() {
            return Ok(());
        }
        // One that dies before it serves would do so again.
        if !served || !(process.was_killed || status.code().is_none()) {
            return Err(format!("the app's process has failed: {status}").into());
        }
        deaths += 1;
    }
}

/// A process of the app. Dropping it kills it.
struct Process {
    child: Child,
    /// Until it is to end.
    input: Option<tokio::process::ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    was_killed: bool,
}

impl Process {
    async fn start(mut command: Command, begin: &Begin) -> Result<Self, Fault> {
        command.env(child::VARIABLE, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(mut input), Some(output)) = (input, output) else { return Err("no pipe".into()) };
        let mut line = serde_json::to_string(begin)?;
        line.push('\n');
        input.write_all(line.as_bytes()).await?;
        let output = BufReader::new(output).lines();
        Ok(Self { child, input: Some(input), output, was_killed: false })
    }

    /// Waits until it serves.
    #[cfg(unix)]
    async fn serves(&mut self) -> Result<(), Fault> {
        while let Some(line) = self.output.next_line().await? {
            if let Some(Said::Serves(_)) = Said::parse(&line) {
                return Ok(());
            }
        }
        Err(format!("the app's process has failed: {}", self.child.wait().await?).into())
    }

    /// Does what it asks for, until it is dead.
    async fn runs(
        &mut self,
        deaths: u32,
        shown: &watch::Sender<Life>,
        end: &mut oneshot::Receiver<()>,
    ) -> Result<ExitStatus, Fault> {
        loop {
            let line = tokio::select! {
                line = self.output.next_line() => line?,
                _ = &mut *end, if self.input.is_some() => {
                    self.input = None; // which closes it
                    continue;
                }
            };
            match line.as_deref().map(Said::parse) {
                Some(Some(Said::Serves(port))) => {
                    shown.send_replace(Life { port: Some(port), deaths });
                }
                // SIGKILL on Unix, TerminateProcess on Windows: it can do nothing about it.
                Some(Some(Said::Kill)) => {
                    self.was_killed = true;
                    self.child.start_kill()?;
                }
                Some(None) => {}
                None => return Ok(self.child.wait().await?),
            }
        }
    }
}
