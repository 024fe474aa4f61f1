//! The HTTP/1.1 codec against hyper. Run with `cargo +nightly fuzz run http1`.
#![no_main]

#[path = "../../gateway/tests/http1/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::check(bytes);
});
