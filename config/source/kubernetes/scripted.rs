//! An API server that answers as a test tells it, one connection after the other.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

/// How it behaves with its next connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// A list of one Secret, `a`, in this version, which is its label `version`, too.
    List(u32),
    /// The beginning of an answer, and nothing more.
    Begins,
    /// Nothing at all.
    Nothing,
    /// A status of this code, which says `told CODE`.
    Status(u16),
}

/// Answers connections as told, in turn; tells what was asked. Later ones are not answered.
pub(super) fn server(answers: Vec<Answer>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (asked, questions) = mpsc::channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let head = head_of(&mut stream);
            let line = head.lines().next().unwrap_or_default().to_owned();
            // Before it is answered, so that who has the answer finds it; the test may be over.
            let _ = asked.send(line);
            let answer = text(answers.next().unwrap_or(Answer::Nothing));
            let written = stream.write_all(answer.as_bytes());
            written.expect("the client reads");
            // A connection that is closed would say that something is wrong.
            if !answer.contains("connection: close") {
                open.push(stream);
            }
        }
    });
    (url, questions)
}

fn head_of(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).expect("a head is text")
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::List(version) => {
            let version = format!(r#""resourceVersion":"{version}""#);
            let labels = version.replace("resourceVersion", "version");
            let object = format!(
                r#"{{"metadata":{{"name":"a","namespace":"default","labels":{{{labels}}},{version}}}}}"#
            );
            let body = format!(
                r#"{{"kind":"SecretList","apiVersion":"v1","metadata":{{{version}}},"items":[{object}]}}"#
            );
            whole(200, &body)
        }
        Answer::Begins => format!("{}transfer-encoding: chunked\r\n\r\n", head(200)),
        Answer::Nothing => String::new(),
        Answer::Status(code) => {
            let body = format!(
                r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"told {code}","reason":"Told","code":{code}}}"#
            );
            whole(code, &body)
        }
    }
}

fn head(code: u16) -> String {
    format!("HTTP/1.1 {code} It\r\ncontent-type: application/json\r\n")
}

fn whole(code: u16, body: &str) -> String {
    let (head, length) = (head(code), body.len());
    format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}
