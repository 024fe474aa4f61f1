//! Connections to ports that speak TLS: the hello, the chain, the handshake, and what comes out.
//!
//! Handshakes are bounded in number and time, and happen in a task of their own: a client that
//! stalls keeps nobody waiting.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::exchange::{Connection, HttpConnection};
use crate::http1::ReadBuffer;
use crate::http2;
use crate::net::Stream;
use crate::snapshot::Serves;
use crate::tls::client_hello::{self, ClientHello, FirstBytes, MAX_HELLO};
use crate::tls::{Ends, Session, TlsConnection};
use crate::worker::listener::Slot;
use crate::worker::refusal::Refusal;
use crate::worker::{Admitted, Worker};

/// Room for most hellos.
const HELLO: usize = 2048;

/// How long a client that is refused may take to hear why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A connection that is let in.
enum LetIn {
    /// TLS ended here.
    Ended(Box<Session>),
    /// It goes on as it came, with these bytes ahead.
    Carried(TcpStream, Vec<u8>),
}

/// A handshake that is counted.
struct Counted<'w>(&'w Worker);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let handshakes = &self.0.handshakes;
        handshakes.set(handshakes.get().saturating_sub(1));
    }
}

impl Worker {
    /// Serves a connection to a port that speaks TLS.
    pub(super) async fn serve_tls(
        self: Rc<Self>,
        slot: Rc<Slot>,
        stream: TcpStream,
        mut connection: Connection,
        admitted: Admitted,
    ) {
        let (started, peer) = (Instant::now(), connection.peer);
        let refused = |reason: &'static str, why: &dyn std::fmt::Display| {
            tracing::debug!(%peer, address = %slot.address, %why, "TLS connection refused");
            self.with_metrics(|metrics| metrics.refused(reason));
        };
        if self.handshakes.get() >= self.settings.max_handshakes {
            return self.with_metrics(|metrics| metrics.limit_reached("max_handshakes"));
        }
        self.handshakes.set(self.handshakes.get() + 1);
        let counted = Counted(&self);
        let let_in = self.let_in(&slot, stream);
        #[expect(clippy::disallowed_methods, reason = "once per connection")]
        let let_in = tokio::time::timeout(self.settings.handshake_timeout, let_in).await;
        drop(counted);
        let (name, let_in) = match let_in {
            Ok(Ok(let_in)) => let_in,
            Ok(Err((refusal, stream))) => {
                refused(refusal.reason(), &refusal);
                self.log_refusal(&refusal, started, &connection);
                if let Some(answer) = refusal.answer() {
                    tell(stream, &answer).await;
                }
                return;
            }
            Err(_) => return refused("tls_handshake_timeout", &"the handshake took too long"),
        };
        // The configuration may have changed meanwhile: what is in force now serves.
        let view = self.view();
        let Some(chain) = slot.chain(&view.snapshot, name.as_deref()) else {
            return refused("tls_unknown_name", &"its server is gone");
        };
        let server = chain.server;
        let is_tcp = view.snapshot.server(server).tcp.is_some();
        match (let_in, &chain.ends) {
            (LetIn::Carried(stream, ahead), Ends::AtEndpoint) => {
                connection.tls = Some(Rc::new(TlsConnection::unopened(name)));
                let serves = Serves::TcpServer(server);
                self.carry_tcp(&view, serves, stream.into(), ahead, connection)
                    .await;
            }
            (LetIn::Ended(session), Ends::Here(_)) => {
                let agreed = session.agreed();
                let speaks_http2 = agreed.alpn_protocol() == Some(b"h2");
                connection.tls = Some(Rc::new(TlsConnection::new(name, agreed)));
                let stream = Stream::Tls(session);
                if is_tcp {
                    let serves = Serves::TcpServer(server);
                    self.carry_tcp(&view, serves, stream, Vec::new(), connection)
                        .await;
                } else if speaks_http2 {
                    drop(view);
                    let (ahead, connection) = (ReadBuffer::new(), Rc::new(connection));
                    http2::server::serve(self, slot, stream, ahead, connection, "https").await;
                } else {
                    drop(view);
                    HttpConnection::new(self, slot, stream, connection, admitted)
                        .serve()
                        .await;
                }
            }
            (LetIn::Carried(..), _) | (LetIn::Ended(_), _) => {
                refused(
                    "tls_unknown_name",
                    &"its server changed during the handshake",
                );
            }
        }
    }

    /// Reads the hello and does what its chain says. Gives the stream back where that came to
    /// nothing.
    async fn let_in(
        &self,
        slot: &Slot,
        mut stream: TcpStream,
    ) -> Result<(Option<Box<str>>, LetIn), (Refusal, TcpStream)> {
        let refusal = match read_hello(&mut stream).await {
            Err(refusal) => refusal,
            Ok((bytes, hello)) => match self.ends(slot, hello.server_name.as_deref()) {
                Some(Ends::AtEndpoint) => {
                    return Ok((hello.server_name, LetIn::Carried(stream, bytes)));
                }
                Some(Ends::Here(server)) => {
                    let config = Arc::clone(server.config(&hello));
                    let session = Session::accept(config, &bytes, stream).await;
                    let session = session.map_err(|(e, stream)| (Refusal::Handshake(e), stream))?;
                    return Ok((hello.server_name, LetIn::Ended(Box::new(session))));
                }
                Some(Ends::Nowhere) => Refusal::NoCertificate(hello.server_name),
                None => Refusal::UnknownName(hello.server_name),
            },
        };
        Err((refusal, stream))
    }

    fn ends(&self, slot: &Slot, name: Option<&str>) -> Option<Ends> {
        let view = self.view();
        let chain = slot.chain(&view.snapshot, name)?;
        Some(chain.ends.clone())
    }
}

/// Reads until a whole hello is there. Cancellation loses what was read.
async fn read_hello(stream: &mut TcpStream) -> Result<(Vec<u8>, ClientHello), Refusal> {
    let mut bytes = Vec::with_capacity(HELLO);
    let mut enough = 1;
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(Refusal::Gone(std::io::ErrorKind::UnexpectedEof.into()));
        }
        if bytes.len() < enough {
            continue;
        }
        match client_hello::read(&bytes) {
            FirstBytes::Hello(hello) => return Ok((bytes, hello)),
            FirstBytes::Incomplete { needed } if needed <= MAX_HELLO => enough = needed,
            FirstBytes::Incomplete { .. } | FirstBytes::Malformed => {
                return Err(Refusal::Malformed);
            }
            FirstBytes::NotTls => {
                // Every method begins with a capital letter.
                let is_http = bytes.first().is_some_and(u8::is_ascii_uppercase);
                return Err(if is_http {
                    Refusal::PlainHttp
                } else {
                    Refusal::NotTls
                });
            }
        }
    }
}

/// Writes a last answer and lets the client read it: a close with unread bytes would be a reset,
/// which overtakes it.
async fn tell(mut stream: TcpStream, answer: &[u8]) {
    let told = async {
        if stream.write_all(answer).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut unread = [0; 1024];
        let mut left = MAX_HELLO;
        while let Ok(count @ 1..) = stream.read(&mut unread).await {
            match left.checked_sub(count) {
                Some(fewer) => left = fewer,
                None => return,
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "of connections that are refused")]
    let told = tokio::time::timeout(LAST_WORDS, told).await;
    // Whoever does not listen is not waited for.
    drop(told);
}
