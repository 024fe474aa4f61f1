//! A client that sends exactly the bytes it is told to, and reads answers without mercy.
//!
//! Works on blocking sockets; on a [`Node`](crate::Node) of a LAN call it within
//! [`Node::enter`](crate::Node::enter).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::wait::DEADLINE;

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// An answer, its body whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The version as written.
    pub version: String,
    /// The status.
    pub status: u16,
    /// The fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its chunks.
    pub body: Vec<u8>,
    /// The trailers in order, names in lower case.
    pub trailers: Vec<(String, String)>,
}

/// One request on a connection of its own: `GET path`, with further header lines.
///
/// # Errors
///
/// When there is no connection or no whole answer within the deadline.
pub fn get(address: SocketAddr, host: &str, path: &str, headers: &[&str]) -> io::Result<Response> {
    request(address, "GET", host, path, headers)
}

/// One request without a body on a connection of its own.
///
/// # Errors
///
/// When there is no connection or no whole answer within the deadline.
pub fn request(
    address: SocketAddr,
    method: &str,
    host: &str,
    path: &str,
    headers: &[&str],
) -> io::Result<Response> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let mut client = Client::connect(address)?;
    client.send(head.as_bytes())?;
    client.response(method)
}

impl Client {
    /// Connects; reads and writes give up after [`DEADLINE`].
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the peer has closed.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// When the peer has gone.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown(Shutdown::Write)
    }

    /// The socket, for what is not HTTP (an upgraded connection).
    pub fn stream(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.stream
    }

    /// Everything until the peer closes; a reset after the last byte counts as closing.
    ///
    /// # Errors
    ///
    /// When the peer does not close within the deadline.
    pub fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            Ok(_) | Err(_) => Ok(all),
        }
    }

    /// The head of the next answer, interim ones included; its body is left on the wire.
    ///
    /// # Errors
    ///
    /// When the connection ends or what comes is no head.
    pub fn head(&mut self) -> io::Result<Response> {
        let line = self.line()?;
        let mut words = line.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        let status = words.next().and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| invalid(&format!("a status line: {line:?}")))?;
        let headers = self.fields()?;
        Ok(Response {
            version,
            status,
            headers,
            body: Vec::new(),
            trailers: Vec::new(),
        })
    }

    /// The next final answer to a request of `method`, whole; interim ones are passed over.
    ///
    /// # Errors
    ///
    /// When the connection ends early or the framing is wrong.
    pub fn response(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.head()?;
        while (100..200).contains(&response.status) && response.status != 101 {
            response = self.head()?;
        }
        // RFC 9112 §6.3.
        let bodiless = method == "HEAD" || matches!(response.status, 101 | 204 | 304);
        if bodiless {
            return Ok(response);
        }
        if response
            .header("transfer-encoding")
            .is_some_and(|value| value == "chunked")
        {
            self.chunks(&mut response)?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| invalid("a content-length"))?;
            let read = self
                .stream
                .by_ref()
                .take(length)
                .read_to_end(&mut response.body)?;
            if (read as u64) < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        } else {
            self.stream.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    fn chunks(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = u64::from_str_radix(&line, 16);
            let size = size.map_err(|_| invalid(&format!("a chunk size: {line:?}")))?;
            if size == 0 {
                response.trailers = self.fields()?;
                return Ok(());
            }
            let read = self
                .stream
                .by_ref()
                .take(size)
                .read_to_end(&mut response.body)?;
            if (read as u64) < size || !self.line()?.is_empty() {
                return Err(invalid("a whole chunk"));
            }
        }
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let field = line.split_once(':');
            let (name, value) = field.ok_or_else(|| invalid(&format!("a field: {line:?}")))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// A line that ends in CR LF, without that.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let line = match line.strip_suffix(b"\r\n") {
            Some(line) => String::from_utf8_lossy(line).into_owned(),
            None if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => return Err(invalid(&format!("a line that ends in CR LF: {line:?}"))),
        };
        Ok(line)
    }
}

impl Response {
    /// The first field of a name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(key, _)| key == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON: what the echo saw.
    ///
    /// # Panics
    ///
    /// When it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The value of a header that the echo saw.
    pub fn seen(&self, name: &str) -> Option<String> {
        let json = self.json();
        let pairs = json.get("headers")?.as_array()?;
        let pair = pairs
            .iter()
            .find(|pair| pair.get(0).is_some_and(|key| key == name))?;
        Some(pair.get(1)?.as_str()?.to_owned())
    }
}

fn invalid(expected: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected {expected}"))
}
