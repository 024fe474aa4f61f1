//! Certificates that openssl makes, in a folder of their own.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// For a server called `$1` that has signed its own.
const SELF_SIGNED: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout server.key -out server.crt -days 30 -subj /CN=$1 -addext subjectAltName=DNS:$1";

/// A folder of certificates; removed when dropped.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// One for a server of this name that has signed its own: `server.crt`, which clients are to
    /// trust, and `server.key`.
    ///
    /// # Panics
    ///
    /// Without openssl.
    pub fn self_signed(name: &str) -> Self {
        let certificates = Self::none();
        certificates.run(SELF_SIGNED, &[name]);
        certificates
    }

    /// Those that lines of bash make in the folder.
    ///
    /// # Panics
    ///
    /// When one of the lines fails.
    pub fn made_by(lines: &str) -> Self {
        let certificates = Self::none();
        certificates.run(lines, &[]);
        certificates
    }

    fn none() -> Self {
        let folder = tempfile::Builder::new().prefix("gatehouse-e2e-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        Self { folder }
    }

    /// Runs further lines of bash in the folder; `arguments` are `$1` and so on.
    ///
    /// # Panics
    ///
    /// When one of them fails.
    pub fn run(&self, lines: &str, arguments: &[&str]) {
        let output = Command::new("bash")
            .args(["-e", "-c", lines, "bash"])
            .args(arguments)
            .current_dir(self.path())
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "openssl made no certificate: {said}"
        );
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in it.
    ///
    /// # Panics
    ///
    /// When the folder's name is no text.
    pub fn file(&self, name: &str) -> String {
        let path = self.path().join(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}
