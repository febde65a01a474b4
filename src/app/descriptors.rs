//! Open files: as many as the system lets us have, and connections only as far as they leave some for the recorder. A
//! recorder that cannot open its next segment records no more, however few connections are served meanwhile.

/// What everything but the connections needs: segments, tables, catalogue, readers, name look-ups.
const OURS: u64 = 64;
/// A client's socket and its server's.
const PER_CONNECTION: u64 = 2;

/// How many connections there may be at once, of those that are `wished`. Raises the limit on open files first, as far
/// as that goes without privileges.
pub(super) fn connections(wished: usize) -> usize {
    let most = limit().map_or(u64::MAX, |limit| (limit.saturating_sub(OURS) / PER_CONNECTION).max(1));
    wished.min(usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(unix)]
fn limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Some(hard),
        Err(_) => Some(soft),
    }
}

#[cfg(not(unix))]
fn limit() -> Option<u64> {
    None
}
