//! **Demonstration.** The app in several processes, which have one store and one address: `--workers`.
//!
//! Each listens at the app's port by itself, with `SO_REUSEPORT`, and the kernel gives each
//! connection to one of them. So a page, the way back from a login, and a sign-out from the provider
//! come to any of them, whichever has served the browser before.
//!
//! They end when this process does, however that ends: it holds their input. One that dies is not
//! started again; the others serve what would have come to it.

use std::io;
use std::net::Ipv4Addr;
use std::process::Command;

use tokio::net::{TcpListener, TcpSocket};

use super::super::provider::Provider;
use super::super::site::{self, Told};
use super::super::surroundings::Surroundings;
use super::super::{Fault, Options, Urls};
use super::{Begin, Process, Role};

/// How many connections wait until a process takes them.
const WAITING: u32 = 1024;

/// All that was started.
pub(crate) struct Workers {
    pub(crate) urls: Urls,
    /// Ours, if it is.
    pub(crate) provider: Option<Provider>,
    processes: Vec<Process>,
    /// It does not listen, and gets no connections. It keeps the port for the workers.
    _port: TcpSocket,
}

impl Workers {
    /// Starts everything. `again` as for [`Supervised::start`](super::Supervised::start).
    pub(crate) async fn start(
        options: Options,
        again: impl Fn() -> io::Result<Command>,
    ) -> Result<Self, Fault> {
        let [port, others @ ..] = options.ports;
        let socket = bind(port)?;
        let address = socket.local_addr()?;
        let around = Surroundings::start(format!("http://{address}"), others, &options).await?;
        let count = options.workers;
        let told = Told::new(options, &around);
        // Here, as each worker would make one.
        site::key_file(&told.folder)?;
        let begin = Begin { told, role: Role::Worker { port: address.port() } };
        let mut processes = Vec::new();
        for _ in 0..count {
            processes.push(Process::start(again()?, &begin).await?);
        }
        for process in &mut processes {
            process.serves().await?;
        }
        Ok(Self { urls: around.urls, provider: around.provider, processes, _port: socket })
    }

    /// Waits until none of them is there any more.
    pub(crate) async fn have_ended(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.wait().await;
        }
    }

    /// Kills the worker with this number, and returns when it is gone.
    #[allow(dead_code, reason = "for tests")]
    pub(crate) async fn kill(&mut self, number: u32) -> Result<(), Fault> {
        let is_it = |process: &&mut Process| process.child.id() == Some(number);
        let process = self.processes.iter_mut().find(is_it).ok_or("there is no such worker")?;
        Ok(process.child.kill().await?)
    }

    /// Has them end in order.
    pub(crate) async fn stop(self) -> Result<(), Fault> {
        let mut children = Vec::new();
        for process in self.processes {
            drop(process.input);
            children.push((process.child, process.output));
        }
        for (mut child, _output) in children {
            let status = child.wait().await?;
            // (What was killed is no failure.)
            if status.code().is_some_and(|code| code != 0) {
                return Err(format!("a worker has failed: {status}").into());
            }
        }
        if let Some(provider) = self.provider {
            provider.stop();
        }
        Ok(())
    }
}

/// What a worker listens with.
pub(super) fn listen(port: u16) -> io::Result<TcpListener> {
    bind(port)?.listen(WAITING)
}

fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // (The first, as for any server that is started again at its port.)
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}
