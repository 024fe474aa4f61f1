//! Requests to the kernel by netlink. It may drop an answer when its buffers are full, so that none
//! is waited for without end.

use std::io;
use std::time::Duration;

use rtnetlink::Error;

/// The kernel answers within microseconds, or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits for the kernel's answer.
///
/// # Errors
/// The kernel refused, or did not answer in time; it may have done what was asked all the same.
pub async fn answered<T>(request: impl Future<Output = Result<T, Error>>) -> io::Result<T> {
    #[expect(clippy::disallowed_methods, reason = "not the data plane")]
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::NetlinkError(refusal))) => Err(refusal.to_io()),
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the kernel did not answer within {PATIENCE:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_not_waited_for_without_end() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let lost = std::future::pending::<Result<(), Error>>();
        let error = runtime.block_on(answered(lost)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "the kernel did not answer within 2s");
    }
}
