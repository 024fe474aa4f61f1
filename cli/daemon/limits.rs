//! Limits that the operating system sets, as high as the process may have them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Every connection is a file, and the usual soft limit of 1024 exists for programs that use
/// select(2); the hard limit is what the administrator allows.
pub fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        tracing::warn!(?current, ?maximum, %error, "the limit of open files stays low");
    }
}
