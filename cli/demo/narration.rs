//! What the demo says: where to look, what to try, how to stop.
//!
//! It speaks when the page has answered through the gateway, and not before: what is printed is
//! true at that moment.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bookinfo::Workload;

/// How long the gateway may take to serve the page before the demo says that something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(3);

/// The facts that are told.
#[derive(Debug)]
pub(super) struct Narration {
    pub(super) page: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) config: PathBuf,
    /// How the user called this program.
    pub(super) program: String,
    pub(super) workloads: [Workload; 6],
    pub(super) started: Instant,
}

impl Narration {
    /// Waits for the page on a thread of its own, then prints.
    pub(super) fn print_when_served(self) {
        let spawned = std::thread::Builder::new()
            .name("demo-narration".into())
            .spawn(move || self.wait_and_print());
        if let Err(error) = spawned {
            tracing::warn!(%error, "the demo cannot tell when its page is served");
        }
    }

    fn wait_and_print(self) {
        let mut last;
        loop {
            last = look(self.page);
            match last {
                Ok(200) => break,
                _ if self.started.elapsed() > PATIENCE => break,
                _ => std::thread::sleep(PAUSE),
            }
        }
        let text = match last {
            Ok(200) => Told {
                after: self.started.elapsed(),
                facts: &self,
            }
            .to_string(),
            Ok(status) => format!(
                "The page http://{}/productpage answers {status} instead of 200; the lines above \
                 may say why.\n",
                self.page
            ),
            Err(error) => format!(
                "The page http://{}/productpage does not answer ({error}); the lines above may \
                 say why.\n",
                self.page
            ),
        };
        // A closed terminal is no reason to stop serving.
        let _ = io::stdout().lock().write_all(text.as_bytes());
    }
}

/// The status with which the page answers.
fn look(page: SocketAddr) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&page, LOOK)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(LOOK))?;
    write!(
        stream,
        "GET /productpage HTTP/1.1\r\nhost: {page}\r\nuser-agent: gatehouse-demo\r\n\
         connection: close\r\n\r\n"
    )?;
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    std::str::from_utf8(&line)
        .ok()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP status"))
}

/// The text for a page that is served.
struct Told<'a> {
    after: Duration,
    facts: &'a Narration,
}

impl Display for Told<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Narration {
            page,
            admin,
            config,
            program,
            workloads,
            started: _,
        } = self.facts;
        let config = config.display();
        let after = self.after.as_millis();
        write!(
            f,
            "\nBookinfo is served, {after} ms after the start.\n\n  \
             the page     http://{page}/productpage\n  \
             admin        http://{admin}/\n  \
             its files    {config}\n\nBehind the gateway:\n\n"
        )?;
        for workload in workloads {
            let Workload {
                app,
                version,
                address,
            } = workload;
            let name = format!("{app}-{version}");
            writeln!(f, "  {name:<15} http://{address}")?;
        }
        write!(
            f,
            "\nTry next, in another terminal:\n\n  \
             curl http://{page}/productpage\n      \
             again and again: no stars, black stars, red stars, as reviews v1, v2 and v3 take turns\n  \
             curl http://{page}/api/v1/products/0/reviews\n      \
             the same as JSON\n  \
             curl -i http://{page}/reviews/0\n      \
             404: no route leads there. Give it one; a changed file is served at once:\n  \
             mv {config}/reviews.yaml.off {config}/reviews.yaml\n  \
             curl -i http://{page}/reviews/0\n  \
             curl -i -H 'end-user: jason' http://{page}/reviews/0\n      \
             black stars for jason, for all others none or red\n  \
             curl -s http://{admin}/stats/prometheus | grep istio_requests_total\n      \
             what was asked, of whom, with which answer\n  \
             {program} get routes --admin {admin}\n      \
             every route, in the order in which they are tried\n\n\
             Ctrl-C stops everything and removes those files.\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::demo::bookinfo::{Bookinfo, Layout};

    #[test]
    fn every_place_is_told() {
        let facts = Narration {
            page: "127.0.0.1:8080".parse().expect("an address"),
            admin: "127.0.0.1:15000".parse().expect("an address"),
            config: PathBuf::from("/tmp/demo/config"),
            program: "gatehouse".to_owned(),
            workloads: Layout::loopback().workloads(),
            started: Instant::now(),
        };
        let told = Told {
            after: Duration::from_millis(41),
            facts: &facts,
        }
        .to_string();
        for part in [
            "http://127.0.0.1:8080/productpage",
            "http://127.0.0.1:15000/",
            "mv /tmp/demo/config/reviews.yaml.off /tmp/demo/config/reviews.yaml",
            "reviews-v3",
            "41 ms",
            "gatehouse get routes --admin 127.0.0.1:15000",
            "Ctrl-C",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(
            told.lines().all(|line| line.chars().count() <= 100),
            "{told}"
        );
    }

    #[test]
    fn a_look_sees_the_status() {
        let bookinfo = Bookinfo::start().expect("starts");
        assert_eq!(
            look(bookinfo.layout().productpage).expect("it answers"),
            200
        );
        assert_eq!(look(bookinfo.layout().details).expect("it answers"), 404);
        let listener = TcpListener::bind("127.0.0.19:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        look(address).expect_err("nobody is there");
    }
}
