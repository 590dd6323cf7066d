//! **Demonstration.** In the app's own process: what it is told, and how the page has it killed.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::net::TcpListener;

use super::super::Fault;
use super::super::board::{self, Board};
use super::super::site::Site;
#[cfg(unix)]
use super::workers;
use super::{Begin, Role, Said};

/// Set for the app's process.
pub(super) const VARIABLE: &str = "WEB_APP_SUPERVISED";

/// How long the answer to the button has until the process is dead.
const ANSWER: Duration = Duration::from_millis(100);

/// Whether this process is one that a supervisor has started.
pub(crate) fn is_child() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Serves the app until the supervisor ends this process's input, or kills it.
pub(crate) async fn serve() -> Result<(), Fault> {
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let begin = input.next_line().await?.ok_or("the supervisor says nothing")?;
    let Begin { told, role } = serde_json::from_str(&begin)?;
    // A terminal sends its Ctrl-C here too: the supervisor gets it, and ends the input.
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let kill = match role {
        Role::Only { deaths } => Some(Kill::new(deaths)?),
        #[cfg(unix)]
        Role::Worker { .. } => None,
    };
    let site = Site::open(&told, Board::new(&told, kill)?).await?;
    let listener = match role {
        Role::Only { .. } => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        #[cfg(unix)]
        Role::Worker { port } => workers::listen(port)?,
    };
    let port = listener.local_addr()?.port();
    let serving = site.clone().serve(listener);
    say(&Said::Serves(port))?;
    ends(&mut input).await;
    serving.stop().await;
    site.close().await
}

/// Also if the supervisor is dead.
async fn ends(input: &mut Lines<BufReader<Stdin>>) {
    while let Ok(Some(_)) = input.next_line().await {}
}

fn say(said: &Said) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(said.line().as_bytes())?;
    output.flush()
}

/// The page's way to have its own process killed.
pub(crate) struct Kill {
    token: String,
    deaths: u32,
}

impl Kill {
    pub(crate) fn new(deaths: u32) -> Result<Self, Fault> {
        Ok(Self { token: board::random()?, deaths })
    }

    /// What the page's form has to bring along. Each process has another.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// How many processes have died before this one.
    pub(crate) fn deaths(&self) -> u32 {
        self.deaths
    }

    /// Whether this comes from a page of this process, and from this machine.
    pub(crate) fn may(&self, peer: SocketAddr, token: &str) -> bool {
        peer.ip().is_loopback() && token == self.token
    }

    /// Asks the supervisor for it, once there was time for an answer.
    pub(crate) fn now(&self) {
        tokio::spawn(async {
            tokio::time::sleep(ANSWER).await;
            if let Err(error) = say(&Said::Kill) {
                eprintln!("the supervisor does not hear: {error}");
            }
        });
    }
}
