//! The header off a connection, and not one byte more: what follows stays in the socket, so that
//! whoever serves the connection reads, splices or hands it on as any other.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::{Ends, Malformed, Parsed, decode};

/// How much is looked at in one go: every header without long extensions.
const LOOK: usize = 256;

/// Why a connection has no header.
#[derive(Debug, Error)]
pub enum Refused {
    /// What came is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It did not come in time.
    #[error("its PROXY header is not complete after {0:?}")]
    TimedOut(Duration),
    /// The connection ended before it was complete.
    #[error("it ended within its PROXY header")]
    Ended,
    /// The connection is lost.
    #[error("it was lost: {0}")]
    Io(#[from] io::Error),
}

/// Takes the header off `stream`.
///
/// # Errors
///
/// When what comes is no header, or does not come within `limit`; the stream is good for nothing
/// then but being closed.
pub async fn read(stream: &mut TcpStream, limit: Duration) -> Result<Ends, Refused> {
    #[expect(
        clippy::disallowed_methods,
        reason = "once per connection, where a proxy in front says who the client is"
    )]
    let read = tokio::time::timeout(limit, take(stream)).await;
    read.map_err(|_| Refused::TimedOut(limit))?
}

async fn take(stream: &mut TcpStream) -> Result<Ends, Refused> {
    let mut taken = Vec::new();
    let mut look = [0_u8; LOOK];
    loop {
        let seen = stream.peek(&mut look).await?;
        if seen == 0 {
            return Err(Refused::Ended);
        }
        let before = taken.len();
        taken.extend_from_slice(look.get(..seen).unwrap_or_default());
        let parsed = decode(&taken)?;
        // An incomplete header is all that was seen: it is taken out, so that the next look waits
        // for more.
        let of_header = match parsed {
            Parsed::Incomplete => seen,
            Parsed::Header { length, .. } => length.saturating_sub(before),
        };
        let header = look.get_mut(..of_header).unwrap_or_default();
        stream.read_exact(header).await?;
        if let Parsed::Header { ends, .. } = parsed {
            return Ok(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        client.set_nodelay(true).unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_follows_the_header_stays_in_the_socket() {
        let (mut client, mut server) = pair().await;
        let sent = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /";
        client.write_all(sent).await.unwrap();
        let ends = read(&mut server, LIMIT).await.unwrap();
        assert_eq!(ends.unwrap().0, "192.0.2.1:1".parse().unwrap());
        let mut rest = [0; 5];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"GET /");
    }

    #[tokio::test]
    async fn a_header_may_come_byte_by_byte() {
        let (mut client, mut server) = pair().await;
        let header =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\0\x02\x01\xc0\0\x02\x02\0\x01\0\x02!";
        let sending = async {
            for byte in header {
                client.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (ends, ()) = tokio::join!(read(&mut server, LIMIT), sending);
        assert_eq!(ends.unwrap().unwrap().1, "192.0.2.2:2".parse().unwrap());
        let mut rest = [0; 1];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"!");
    }

    #[tokio::test]
    async fn silence_and_an_early_end_are_told_apart() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"PROXY TCP4 ").await.unwrap();
        let short = Duration::from_millis(20);
        let refused = read(&mut server, short).await.unwrap_err();
        assert!(matches!(refused, Refused::TimedOut(_)), "{refused}");
        drop(client);
        let refused = read(&mut server, LIMIT).await.unwrap_err();
        assert!(matches!(refused, Refused::Ended), "{refused}");
    }
}
