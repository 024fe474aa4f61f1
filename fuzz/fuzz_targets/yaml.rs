//! `cargo +nightly fuzz run yaml`: whatever a file says, reading it ends, without a panic (also of
//! the scanner, which is caught and shows as a finding) and within its limits.
#![no_main]

use gatehouse_config::source::decode::decode_text;
use gatehouse_config::source::yaml::Limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let file = decode_text(&"fuzz.yaml".into(), text, &Limits::default());
    for finding in &file.findings {
        assert!(!finding.message.contains("the YAML reader failed"));
    }
});
