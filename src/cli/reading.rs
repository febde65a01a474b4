//! What the subcommands that read a capture share: finding and opening it, its notes, its heading.

use std::io::{self, Write};

use crate::{
    query::{Capture, Filter, Secrets},
    record::Inspection,
    store::CaptureDir,
};

use super::{
    Globals,
    output::{Usage, say},
    render::style::{Ink, Look},
};

/// Opens the capture that `--capture` names, or the newest, and says on standard error what is special about it.
pub(super) fn open(globals: &Globals) -> anyhow::Result<Capture> {
    let (dir, inspection) = find(globals)?;
    let capture = Capture::open_dir(dir, inspection)?;
    if !globals.quiet {
        capture.notes().iter().for_each(|note| say(&format!("note: {note}")));
    }
    Ok(capture)
}

/// Finds the capture that `--capture` names, or the newest, without opening it further.
pub(super) fn find(globals: &Globals) -> anyhow::Result<(CaptureDir, Inspection)> {
    let settings = globals.settings()?;
    let which = match globals.capture.as_slice() {
        [] => None,
        [one] => {
            Some(one.to_str().ok_or_else(|| Usage(format!("--capture {}: expected a name in UTF-8", one.display())))?)
        }
        _ => return Err(Usage("--capture: this subcommand reads one capture at a time".to_owned()).into()),
    };
    let dir = CaptureDir::resolve(&settings.captures, which)?;
    let inspection = crate::app::inspection_of(&dir, &settings)?;
    Ok((dir, inspection))
}

/// Opens all captures that `--capture` names, or the newest. What is special about them is the caller's to say.
pub(super) fn open_all(globals: &Globals) -> anyhow::Result<Vec<Capture>> {
    let one = |which: &[std::path::PathBuf]| open(&Globals { capture: which.to_vec(), quiet: true, ..globals.clone() });
    if globals.capture.is_empty() {
        return Ok(vec![one(&[])?]);
    }
    globals.capture.chunks(1).map(one).collect()
}

/// The options that lead to the same captures in the next command.
pub(super) fn selector(globals: &Globals) -> String {
    let mut selector = folder_selector(globals);
    for capture in &globals.capture {
        selector.push_str(&format!(" -c {}", quoted(&capture.to_string_lossy())));
    }
    selector
}

/// The options that lead to the first of these captures, whatever is recorded before they are used.
pub(super) fn lasting_selector(globals: &Globals, captures: &[Capture]) -> String {
    let typed = globals.capture.first().map(|capture| capture.to_string_lossy().into_owned());
    let name = typed.or_else(|| captures.first().map(|capture| capture.dir().name())).unwrap_or_default();
    format!("{} -c {}", folder_selector(globals), quoted(&name))
}

/// The options that lead to the same folder of captures.
fn folder_selector(globals: &Globals) -> String {
    let mut selector = String::new();
    let mut push = |option: &str, value: &std::path::Path| {
        selector.push_str(&format!(" {option} {}", quoted(&value.to_string_lossy())));
    };
    if let Some(captures) = &globals.captures {
        push("-w", captures);
    }
    if let Some(config) = &globals.config {
        push("--config", config);
    }
    selector
}

/// For a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A filter from its option. What is wrong with it is the command line's fault.
pub(super) fn filter(text: Option<&str>) -> Result<Option<Filter>, Usage> {
    text.map(Filter::parse).transpose().map_err(|error| Usage(format!("--filter: {error}")))
}

/// `--keep-secrets` as the reading side knows it.
pub(super) fn secrets(keep: bool) -> Secrets {
    if keep { Secrets::Kept } else { Secrets::Fingerprints }
}

/// The line above a list: which capture, when it began, how it stands.
pub(super) fn heading(capture: &Capture, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let meta = capture.dir().meta();
    let name = look.paint(Ink::Strong, &capture.dir().name());
    let rest = format!("began {}, {}", meta.started_at, capture.standing().as_str());
    writeln!(out, "{name}  {}", look.paint(Ink::Faint, &rest))
}
