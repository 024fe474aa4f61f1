use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Bookinfo, Layout};

/// One answer: status, head in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

fn send(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("bookinfo listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a positive timeout");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    Answer {
        status: head[9..12].parse().expect("a status"),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

fn get(address: SocketAddr, path: &str, headers: &str) -> Answer {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: bookinfo\r\nconnection: close\r\n{headers}\r\n"),
    )
}

fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    let length = body.len();
    send(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: bookinfo\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        ),
    )
}

/// A server that answers every request with the given JSON and tells what it was sent.
fn echo(body: &'static str) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (heads, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(answer.as_bytes()).is_err()
                || heads
                    .send(String::from_utf8_lossy(&head).into_owned())
                    .is_err()
            {
                return;
            }
        }
    });
    (address, received)
}

/// An address where nobody listens: bound once, and closed again.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.17:0").expect("a free port");
    listener.local_addr().expect("bound")
}

#[test]
fn the_page_shows_the_book_and_all_three_kinds_of_stars() {
    let bookinfo = Bookinfo::start().expect("starts");
    let address = bookinfo.layout().productpage;
    let mut seen = [false; 3];
    for _ in 0..3 {
        let page = get(address, "/productpage", "");
        assert_eq!(page.status, 200, "{}", page.head);
        assert!(
            page.head.contains("content-type: text/html"),
            "{}",
            page.head
        );
        for text in [
            "The Comedy of Errors",
            "Book Details",
            "paperback",
            "Book Reviews",
            "Reviewer1",
            "Reviewer2",
        ] {
            assert!(page.body.contains(text), "{text} in {}", page.body);
        }
        let black = page.body.contains("stars black");
        let red = page.body.contains("stars red");
        seen[usize::from(black) + 2 * usize::from(red)] = true;
        let version =
            ["reviews-v1", "reviews-v2", "reviews-v3"][usize::from(black) + 2 * usize::from(red)];
        assert!(page.body.contains(version), "{version} in {}", page.body);
        if black || red {
            assert!(page.body.contains("★★★★★") && page.body.contains("★★★★☆"));
        }
    }
    assert_eq!(seen, [true; 3]);
}

#[test]
fn the_api_answers_in_the_samples_shapes() {
    let bookinfo = Bookinfo::start().expect("starts");
    let layout = *bookinfo.layout();
    let products = get(layout.productpage, "/api/v1/products", "").json();
    assert_eq!(products[0]["id"], 0);
    assert_eq!(products[0]["title"], "The Comedy of Errors");
    assert!(products[0]["descriptionHtml"].is_string());

    let details = get(layout.productpage, "/api/v1/products/0", "");
    assert_eq!(details.json()["ISBN-10"], "1234567890");
    assert_eq!(details.body, get(layout.details, "/details/0", "").body);
    let keys: Vec<&str> = details
        .body
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|key| details.body.contains(&format!("\"{key}\":")))
        .collect();
    assert_eq!(
        keys,
        [
            "id",
            "author",
            "year",
            "type",
            "pages",
            "publisher",
            "language",
            "ISBN-10",
            "ISBN-13"
        ]
    );

    let ratings = get(layout.productpage, "/api/v1/products/0/ratings", "").json();
    assert_eq!(
        ratings,
        json!({"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}})
    );

    let [v1, v2, v3] = layout.reviews.map(|at| get(at, "/reviews/0", "").json());
    assert_eq!(v1["id"], "0");
    assert!(v1["reviews"][0].get("rating").is_none());
    assert_eq!(
        v2["reviews"][0]["rating"],
        json!({"stars": 5, "color": "black"})
    );
    assert_eq!(
        v3["reviews"][1]["rating"],
        json!({"stars": 4, "color": "red"})
    );
    let reviews = get(layout.productpage, "/api/v1/products/0/reviews", "").json();
    assert_eq!(reviews["reviews"][0]["reviewer"], "Reviewer1");
}

#[test]
fn health_and_errors() {
    let bookinfo = Bookinfo::start().expect("starts");
    let layout = *bookinfo.layout();
    for workload in layout.workloads() {
        let health = get(workload.address, "/health", "");
        assert_eq!(health.status, 200);
        assert!(health.body.contains("healthy"), "{}", health.body);
        assert_eq!(get(workload.address, "/nowhere", "").status, 404);
    }
    for (address, path) in [
        (layout.details, "/details/x"),
        (layout.details, "/details/+1"),
        (layout.reviews[0], "/reviews/99999999999"),
        (layout.ratings, "/ratings/"),
    ] {
        assert_eq!(get(address, path, "").status, 400, "{path}");
    }
    assert_eq!(get(layout.productpage, "/login", "").status, 405);
    assert_eq!(post(layout.productpage, "/productpage", "").status, 405);
    let long = "a".repeat(17 * 1024);
    assert_eq!(post(layout.productpage, "/login", &long).status, 413);
}

#[test]
fn ratings_can_be_replaced() {
    let bookinfo = Bookinfo::start().expect("starts");
    let layout = *bookinfo.layout();
    let posted = post(
        layout.ratings,
        "/ratings/0",
        r#"{"Reviewer1": 1, "Reviewer2": 2}"#,
    );
    assert_eq!(posted.status, 200);
    let red = get(layout.reviews[2], "/reviews/0", "").json();
    assert_eq!(red["reviews"][0]["rating"]["stars"], 1);
    assert_eq!(
        get(layout.ratings, "/ratings/1", "").json()["ratings"]["Reviewer1"],
        5
    );
    for bad in ["", "[]", "{\"a\": -1}", "{\"a\": 6}", "{\"a\": \"5\"}"] {
        assert_eq!(post(layout.ratings, "/ratings/0", bad).status, 400, "{bad}");
    }
}

#[test]
fn a_user_signs_in_and_out() {
    let bookinfo = Bookinfo::start().expect("starts");
    let address = bookinfo.layout().productpage;
    let login = post(address, "/login", "username=jason&passwd=x");
    assert_eq!(login.status, 302);
    assert!(
        login.head.contains("location: /productpage"),
        "{}",
        login.head
    );
    assert!(
        login.head.contains("set-cookie: session=jason;"),
        "{}",
        login.head
    );

    let page = get(address, "/productpage", "cookie: a=b; session=jason\r\n");
    assert!(page.body.contains("jason") && page.body.contains("Sign out"));
    let page = get(address, "/productpage", "cookie: session=<b>\r\n");
    assert!(!page.body.contains("<b>William</b>") && page.body.contains("Sign in"));

    let logout = get(address, "/logout", "cookie: session=jason\r\n");
    assert_eq!(logout.status, 302);
    assert!(logout.head.contains("max-age=0"), "{}", logout.head);
    for name in ["", "a%0d%0ab", "%3Cscript%3E", "a;b", &"x".repeat(65)] {
        let answer = post(address, "/login", &format!("username={name}"));
        assert_eq!(answer.status, 400, "{name}");
        assert!(!answer.head.contains("set-cookie"), "{}", answer.head);
    }
}

#[test]
fn tracing_and_user_headers_travel_on() {
    let (details, details_heads) = echo("{}");
    let (ratings, ratings_heads) = echo(r#"{"id": 0, "ratings": {}}"#);
    // The page and the reviews ask servers that record what they are asked.
    let bookinfo = Bookinfo::start_calling(Layout::loopback(), |bound| Layout {
        details,
        ratings,
        ..bound
    })
    .expect("starts");
    let headers = "cookie: session=jason\r\nx-request-id: 0123\r\nb3: 0\r\n\
                   traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
                   user-agent: tester\r\nx-other: stays\r\nend-user: forged\r\n";
    for _ in 0..3 {
        get(bookinfo.layout().productpage, "/productpage", headers);
    }
    let deadline = Duration::from_secs(10);
    for heads in [details_heads, ratings_heads] {
        let head = heads.recv_timeout(deadline).expect("it was asked");
        for line in [
            "x-request-id: 0123",
            "b3: 0",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "user-agent: tester",
            "end-user: jason",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
        assert!(
            !head.contains("x-other") && !head.contains("forged"),
            "{head}"
        );
    }
}

#[test]
fn the_page_says_sorry_when_a_service_is_away() {
    let bookinfo = Bookinfo::start_calling(Layout::loopback(), |bound| Layout {
        details: nobody(),
        reviews: [nobody(), nobody(), nobody()],
        ..bound
    })
    .expect("starts");
    let address = bookinfo.layout().productpage;
    let page = get(address, "/productpage", "");
    assert_eq!(page.status, 200);
    for sorry in [
        "Sorry, product details are currently unavailable for this book.",
        "Sorry, product reviews are currently unavailable for this book.",
    ] {
        assert!(page.body.contains(sorry), "{}", page.body);
    }
    assert_eq!(get(address, "/api/v1/products/0/reviews", "").status, 500);
}

#[test]
fn reviews_come_without_stars_when_ratings_are_away() {
    let bookinfo = Bookinfo::start_calling(Layout::loopback(), |bound| Layout {
        ratings: nobody(),
        ..bound
    })
    .expect("starts");
    let reviews = get(bookinfo.layout().reviews[1], "/reviews/0", "").json();
    assert_eq!(
        reviews["reviews"][0]["rating"]["error"],
        "Ratings service is currently unavailable"
    );
}

#[test]
fn what_other_services_say_is_escaped() {
    let (reviews, _heads) = echo(
        r#"{"id": "0", "podname": "<script>", "clustername": "\"'&", "reviews":
            [{"reviewer": "<i>", "text": "</p>", "rating": {"stars": 9, "color": "\"><b>"}}]}"#,
    );
    let bookinfo = Bookinfo::start_calling(Layout::loopback(), |bound| Layout {
        reviews: [reviews; 3],
        ..bound
    })
    .expect("starts");
    let page = get(bookinfo.layout().productpage, "/productpage", "").body;
    assert!(
        page.contains("&lt;script&gt;") && page.contains("&quot;&#39;&amp;"),
        "{page}"
    );
    assert!(
        !page.contains("<script>") && !page.contains("<i>"),
        "{page}"
    );
    assert!(
        page.contains("★★★★★") && page.contains("stars black"),
        "{page}"
    );
}

#[test]
fn two_run_at_once_and_shutdown_frees_the_ports() {
    let one = Bookinfo::start().expect("starts");
    let two = Bookinfo::start().expect("starts beside the first");
    assert_ne!(one.layout().productpage, two.layout().productpage);
    let layout = *one.layout();
    one.shutdown();
    assert_eq!(get(two.layout().productpage, "/health", "").status, 200);
    for workload in layout.workloads() {
        TcpListener::bind(workload.address).expect("free again");
    }
    // The same places again, as `start_at` is told.
    let again = Bookinfo::start_at(layout).expect("starts where it was");
    assert_eq!(*again.layout(), layout);
}

#[test]
fn a_place_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let layout = Layout {
        ratings: taken.local_addr().expect("bound"),
        ..Layout::loopback()
    };
    let error = Bookinfo::start_at(layout)
        .expect_err("it is taken")
        .to_string();
    assert!(
        error.contains("ratings-v1") && error.contains(&layout.ratings.to_string()),
        "{error}"
    );
}
