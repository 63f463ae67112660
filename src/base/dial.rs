//! A TCP connection to whichever of several addresses answers first.
//!
//! The next one gets a chance when one refuses or hesitates, as browsers do (RFC 8305): an address
//! that swallows everything costs a moment and not the whole time there is.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long one address may hesitate before the next is tried beside it.
const HESITATION: Duration = Duration::from_millis(250);

/// Waits as long as one of them may still answer; the caller limits it.
pub(crate) async fn first_to_answer(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect(only).await;
    }
    let mut waiting = addresses.iter().copied();
    let mut trying = JoinSet::new();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "no address");
    loop {
        if let Some(address) = waiting.next() {
            trying.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            answer = trying.join_next() => match answer {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failed = error,
                Some(Err(error)) => failed = error.into(),
                None => return Err(failed),
            },
            () = tokio::time::sleep(HESITATION) => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address that swallows everything: a listener whose queue is full. Works while the second
    /// value lives.
    pub(crate) async fn black_hole() -> (SocketAddr, impl Sized) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        let quick = Duration::from_millis(100);
        while let Ok(Ok(next)) = tokio::time::timeout(quick, TcpStream::connect(address)).await {
            queue.push(next);
        }
        (address, (listener, queue))
    }

    #[tokio::test]
    async fn the_address_that_answers_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (hole, _hole) = black_hole().await;
        for addresses in [&[open][..], &[closed, open], &[open, closed], &[hole, closed, open]] {
            let answered = first_to_answer(addresses).await.unwrap();
            assert_eq!(answered.peer_addr().unwrap(), open);
        }
        for addresses in [&[closed][..], &[closed, closed]] {
            let refused = first_to_answer(addresses).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
        assert!(first_to_answer(&[]).await.is_err());
    }
}
