//! The composition root: settings to a running proxy with its recorder, and its end.

use crate::config::Settings;

/// Whether a recording could be set up from these settings, as far as that can be told without starting it.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(_settings: &Settings) -> anyhow::Result<()> {
    Ok(())
}
