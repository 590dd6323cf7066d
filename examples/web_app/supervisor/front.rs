//! **Demonstration.** The app's address, which outlives the app's processes: each connection is
//! passed on to the process that serves, or waits for the next one.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Life;

/// Accepts connections from this machine alone.
pub(super) async fn pass_on(listener: TcpListener, life: watch::Receiver<Life>) {
    loop {
        match listener.accept().await {
            Ok((outer, peer)) if peer.ip().is_loopback() => {
                tokio::spawn(pass(outer, life.clone()));
            }
            Ok(_) => {}
            // No more files, for example: a moment later there may be.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn pass(mut outer: TcpStream, mut life: watch::Receiver<Life>) {
    let Some(mut inner) = connect(&mut life).await else { return };
    // Both ends speak in small pieces.
    _ = (outer.set_nodelay(true), inner.set_nodelay(true));
    _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
}

/// Nothing, once there is no supervisor any more.
async fn connect(life: &mut watch::Receiver<Life>) -> Option<TcpStream> {
    loop {
        let port = life.wait_for(|life| life.port.is_some()).await.ok()?.port?;
        if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            return Some(stream);
        }
        // It has died just now, and the supervisor will know in a moment.
        life.changed().await.ok()?;
    }
}
