//! What a test needs of the machine, and what happens where it is missing.
//!
//! A skipped test says so on stderr past the capture of the test runner; with
//! `GATEHOUSE_REQUIRE_ALL=1`, as in CI, it fails instead.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Something that a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Root, with the right to make network namespaces.
    Root,
    /// A program on the PATH.
    Program(&'static str),
    /// A Python module, for the Python of [`python`].
    Python(&'static str),
    /// kube-apiserver and etcd, built, and kubectl.
    ApiServer,
}

/// The Python that has the packages of `tests/requirements.txt`: what `GATEHOUSE_PYTHON` names,
/// else `python3`.
pub fn python() -> Command {
    Command::new(env::var_os("GATEHOUSE_PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Whether everything is there; if not, says so, and the test returns.
///
/// # Panics
///
/// When something is missing and `GATEHOUSE_REQUIRE_ALL=1`.
pub fn satisfied(needs: &[Need]) -> bool {
    let missing: Vec<String> = needs.iter().filter_map(|need| need.missing()).collect();
    if missing.is_empty() {
        return true;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test");
    let missing = missing.join(", ");
    // Where there is no Go, no API server can be built: that much is never asked for.
    let cannot_be_had =
        needs.contains(&Need::ApiServer) && !crate::kubernetes::is_built() && !has_go();
    assert!(
        cannot_be_had || env::var_os("GATEHOUSE_REQUIRE_ALL").is_none_or(|value| value != "1"),
        "{test} may not be skipped (GATEHOUSE_REQUIRE_ALL=1), but {missing}"
    );
    // Not eprintln!, which the test runner swallows when a test passes.
    let line = format!("SKIPPED {test}: {missing}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr is open");
    false
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Self::Root if !rustix::process::geteuid().is_root() => {
                Some("needs root (network namespaces)".to_owned())
            }
            Self::Root if find_program("ip").is_none() => {
                Some("needs the program ip (package iproute2)".to_owned())
            }
            Self::Program(name) if find_program(name).is_none() => {
                Some(format!("needs the program {name}"))
            }
            Self::Python(module) if !has_module(module) => Some(format!(
                "needs the Python module {module} (tests/requirements.txt, GATEHOUSE_PYTHON)"
            )),
            Self::ApiServer if !crate::kubernetes::is_built() => Some(
                "needs kube-apiserver and etcd (tests/apiserver/build.sh; needs Go)".to_owned(),
            ),
            Self::ApiServer if !crate::kubernetes::has_kubectl() => {
                Some("needs kubectl (tests/requirements.txt, GATEHOUSE_PYTHON)".to_owned())
            }
            Self::Root | Self::Program(_) | Self::Python(_) | Self::ApiServer => None,
        }
    }
}

fn has_go() -> bool {
    find_program("go").is_some() || is_file(Path::new("/usr/local/go/bin/go"))
}

fn has_module(name: &str) -> bool {
    let mut command = python();
    command.args(["-c", &format!("import {name}")]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Where a program is; also looks where a user's PATH often does not reach.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| is_file(file))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file())
}
