use super::*;

#[test]
fn a_url_is_taken_apart() {
    let question = Question::get("http://bookinfo.lan:8080/productpage?u=test#top").unwrap();
    assert_eq!(question.authority, "bookinfo.lan:8080");
    assert_eq!(question.target, "/productpage?u=test");
    assert_eq!(question.port(), Ok(8080));
    let question = Question::get("HTTP://[2001:db8::1]?q").unwrap();
    assert_eq!(question.target, "/?q");
    assert_eq!(question.port(), Ok(80));
    assert_eq!(question.address(), "2001:db8::1".parse().ok());
    assert_eq!(Question::get("https://a.lan").unwrap().port(), Ok(443));
    assert_eq!(Question::get("a.lan/x"), Err(BadQuestion::Scheme));
    assert_eq!(Question::get("http:///x"), Err(BadQuestion::Host));
    let port = Err(BadQuestion::Port("http".to_owned()));
    assert_eq!(Question::get("http://a.lan:http/"), port);
}
