//! Istio's golden values (reference/istio.md §2.6), mode by mode.

use gatehouse_config::model::ConnectionSettings;

use super::*;

fn normalized(path: &str, mode: PathNormalization) -> String {
    let proxy = Proxy {
        path_normalization: mode,
        ..Proxy::default()
    };
    match normalize(path.as_bytes(), &proxy) {
        Ok(Normal::Path(path)) => String::from_utf8_lossy(&path).into_owned(),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn every_mode_gives_istios_golden_values() {
    // Path, BASE, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES; NONE leaves every path alone.
    for (path, base, merge, decode) in [
        ("/", "/", "/", "/"),
        ("/app/", "/app/", "/app/", "/app/"),
        ("/app/../admin", "/admin", "/admin", "/admin"),
        ("/app", "/app", "/app", "/app"),
        ("/app//", "/app//", "/app/", "/app/"),
        ("/app/%2f", "/app/%2f", "/app/%2f", "/app/"),
        ("/app%2f/", "/app%2f/", "/app%2f/", "/app/"),
        (
            "/xyz%30..//abc",
            "/xyz0..//abc",
            "/xyz0../abc",
            "/xyz0../abc",
        ),
        ("/app/%2E./admin", "/admin", "/admin", "/admin"),
        (r"/app\admin", "/app/admin", "/app/admin", "/app/admin"),
        (
            r"/app/\/\/\admin",
            "/app//////admin",
            "/app/admin",
            "/app/admin",
        ),
        (
            "/%2Fapp%5cadmin%5Cabc",
            "/%2Fapp%5cadmin%5Cabc",
            "/%2Fapp%5cadmin%5Cabc",
            "/app/admin/abc",
        ),
        (
            r"/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc",
            "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
            "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
            "/app/admin/abc",
        ),
        ("/app//../admin", "/app/admin", "/app/admin", "/app/admin"),
        ("/app//../../admin", "/admin", "/admin", "/admin"),
        ("/%c0%2fadmin", "/%c0%2fadmin", "/%c0%2fadmin", "/%c0/admin"),
        ("//", "//", "/", "/"),
        ("*", "*", "*", "*"),
    ] {
        assert_eq!(normalized(path, PathNormalization::None), path);
        assert_eq!(normalized(path, PathNormalization::Base), base, "{path}");
        assert_eq!(
            normalized(path, PathNormalization::MergeSlashes),
            merge,
            "{path}"
        );
        let decoded = normalized(path, PathNormalization::DecodeAndMergeSlashes);
        assert_eq!(decoded, decode, "{path}");
    }
}

#[test]
fn what_only_looks_like_a_dot_or_slash_stays() {
    for (path, want) in [
        ("/%c0%2e%c0%2e/admin", "/%c0.%c0./admin"),
        ("/0x2e0x2e0x2fadmin", "/0x2e0x2e0x2fadmin"),
        ("/%25c0%25ae/admin", "/%25c0%25ae/admin"),
        ("/%252e%252e%252fadmin", "/%252e%252e%252fadmin"),
        ("/%c0%ae%c0%ae/admin", "/%c0%ae%c0%ae/admin"),
        ("/.../admin", "/.../admin"),
        ("/..;/admin", "/..;/admin"),
        ("/admin;a=b/xyz", "/admin;a=b/xyz"),
        ("/Admin", "/Admin"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/..", "/"),
        ("/.well-known/x", "/.well-known/x"),
        ("/%7Euser/%41", "/~user/A"),
        ("/bad%zz%", "/bad%zz%"),
    ] {
        let got = normalized(path, PathNormalization::DecodeAndMergeSlashes);
        assert_eq!(got, want, "{path}");
    }
}

#[test]
fn exactly_the_unreserved_characters_are_decoded() {
    for byte in 1..=0xff_u8 {
        let path = format!("/admin%{byte:02x}");
        let want = match byte {
            b'/' | b'\\' => "/admin/".to_owned(),
            b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                format!("/admin{}", char::from(byte))
            }
            _ => path.clone(),
        };
        let got = normalized(&path, PathNormalization::DecodeAndMergeSlashes);
        assert_eq!(got, want);
    }
}

#[test]
fn an_escaped_nul_is_refused() {
    assert_eq!(normalize(b"/a%00b", &Proxy::default()), Err(BadPath::Nul));
}

#[test]
fn escaped_slashes_can_be_refused_or_sent_back() {
    let with = |escaped_slashes| Proxy {
        connections: ConnectionSettings {
            escaped_slashes,
            ..ConnectionSettings::default()
        },
        ..Proxy::default()
    };
    let path = b"/a%2Fb%5cc/../d";
    let reject = normalize(path, &with(EscapedSlashes::Reject));
    assert_eq!(reject, Err(BadPath::EscapedSlash));
    let redirect = normalize(path, &with(EscapedSlashes::Redirect));
    assert_eq!(redirect, Ok(Normal::Redirect(b"/a/b/d".to_vec())));
    let decode = normalize(path, &with(EscapedSlashes::Decode));
    assert_eq!(decode, Ok(Normal::Path(Cow::Owned(b"/a/b/d".to_vec()))));
    for escaped in [EscapedSlashes::Reject, EscapedSlashes::Redirect] {
        let plain = normalize(b"/a/b", &with(escaped));
        assert_eq!(plain, Ok(Normal::Path(Cow::Borrowed(b"/a/b"))));
    }
}
