//! Redis with `appendfsync always`, on a Unix socket: a hash for each account, a set of accounts
//! for each tenant. A sign-out is `MULTI`, `UNLINK`, `SREM`, `EXEC`; the answer comes after the
//! append-only file is synced.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use peers_kit::{Peer, hex_name, tenant};
use redis::{Client, Connection, IntoConnectionInfo, RedisResult};

pub(crate) struct Redis {
    server: Child,
    socket: PathBuf,
    client: Client,
    free: Mutex<Vec<Connection>>,
}

fn accounts_of(tenant: u32) -> String {
    format!("t:{tenant}")
}

fn key(account: u64) -> String {
    format!("a:{}", hex_name(account))
}

impl Redis {
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> RedisResult<T>) -> T {
        let free = self.free.lock().unwrap().pop();
        let mut connection = free.unwrap_or_else(|| self.client.get_connection().unwrap());
        let done = work(&mut connection).unwrap();
        self.free.lock().unwrap().push(connection);
        done
    }
}

impl Peer for Redis {
    type Handle = String;

    /// Starts the server, and waits until it has read its file.
    fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        // A socket's path must be short.
        let short = std::env::temp_dir().join(format!("peers-redis-{}", std::process::id()));
        let socket = Some(folder.join("socket")).filter(|path| path.as_os_str().len() < 100).unwrap_or(short);
        let _ = std::fs::remove_file(&socket);
        let mut server = Command::new("redis-server");
        server.args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--daemonize",
            "no",
            "--unixsocket",
        ]);
        let server = server.arg(&socket).arg("--dir").arg(folder).stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        let client = Client::open(format!("redis+unix://{}", socket.display()).into_connection_info().unwrap()).unwrap();
        let connection = loop {
            let ready = client.get_connection().and_then(|mut it| redis::cmd("PING").query::<String>(&mut it).map(|_| it));
            match ready {
                Ok(connection) => break connection,
                Err(_) => std::thread::sleep(Duration::from_micros(500)),
            }
        };
        Self { server, socket, client, free: Mutex::new(vec![connection]) }
    }

    fn about(&self) -> String {
        let info: String = self.with(|it| redis::cmd("INFO").arg("server").query(it));
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        format!("Redis {}", version.unwrap().trim())
    }

    fn load(&self, accounts: &[(u64, Vec<Vec<u8>>)]) {
        let mut pipe = redis::pipe();
        for (account, texts) in accounts {
            pipe.sadd(accounts_of(tenant(*account)), hex_name(*account)).ignore();
            let fields: Vec<(u32, &Vec<u8>)> = (0..).zip(texts).collect();
            pipe.hset_multiple(key(*account), &fields).ignore();
        }
        self.with(|it| pipe.query::<()>(it));
    }

    fn handle(&self, account: u64) -> String {
        key(account)
    }

    fn put(&self, handle: &String, token: u32, text: Vec<u8>) {
        self.with(|it| redis::cmd("HSET").arg(handle).arg(token).arg(&text).query::<()>(it));
    }

    fn get(&self, handle: &String, token: u32) -> Option<Vec<u8>> {
        self.with(|it| redis::cmd("HGET").arg(handle).arg(token).query(it))
    }

    fn sign_out(&self, account: u64) {
        let mut pipe = redis::pipe();
        pipe.atomic().unlink(key(account)).ignore().srem(accounts_of(tenant(account)), hex_name(account)).ignore();
        self.with(|it| pipe.query::<()>(it));
    }

    fn sign_out_tenant(&self, tenant: u32) {
        let names: Vec<String> = self.with(|it| redis::cmd("SMEMBERS").arg(accounts_of(tenant)).query(it));
        let mut keys: Vec<String> = names.iter().map(|name| format!("a:{name}")).collect();
        keys.push(accounts_of(tenant));
        self.with(|it| redis::cmd("UNLINK").arg(keys).query::<()>(it));
    }

    fn close(mut self) {
        self.with(|it| {
            // The server ends the connection instead of answering.
            let _ = redis::cmd("SHUTDOWN").arg("NOSAVE").query::<()>(it);
            Ok(())
        });
        self.server.wait().unwrap();
        let _ = std::fs::remove_file(&self.socket);
    }

    fn servers(&self) -> Vec<u32> {
        vec![self.server.id()]
    }
}
