//! Every code that the program ends with. Scripts rely on them: additions only.

/// Done.
pub const DONE: u8 = 0;
/// Failed: a port in use, a folder that cannot be written, a damaged capture. The message says what and what to do.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong; nothing was started.
pub const USAGE: u8 = 2;
/// `--fail-on` matched, or `compare` found a difference: all went as asked, and what was to be watched for happened.
pub const FAIL_ON: u8 = 3;
/// Not enough data to answer (`diagnose` alone, where there are refusals).
pub const NOT_ENOUGH_DATA: u8 = 4;
/// `run` could start its command no more than a shell could: not found (127, as in a shell).
pub const COMMAND_NOT_FOUND: u8 = 127;
/// Added to a signal's number where a signal ended `run`'s command, as shells do.
pub const SIGNAL_BASE: u8 = 128;
