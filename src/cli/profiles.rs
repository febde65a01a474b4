//! `profiles`: what is known of APIs, built in or in files; nothing is started.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::json;

use super::{
    Globals, Output, exit_code,
    output::{Usage, say},
};
use crate::{app, profile::Profile};

/// Lists, shows, checks and begins profiles: what is known of an API
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists the built-in profiles
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Shows a profile as it is in force, with what it leaves to the defaults
    Show {
        /// A built-in profile's name, or a file
        #[arg(value_name = "NAME|FILE")]
        name: String,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Says whether a profile can be used, and if not, in which line it is wrong (exit code 2)
    Check {
        /// A TOML file, or a built-in profile's name
        #[arg(value_name = "FILE|NAME")]
        file: PathBuf,
    },
    /// Writes a profile to begin with: every key with its meaning
    New {
        /// The new profile's name: lower-case letters, digits and `-`
        name: String,
        /// The built-in profile to begin with
        #[arg(long, value_name = "NAME", default_value = "generic")]
        from: String,
        /// The file to write; one that exists is left alone [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Runs it.
pub(super) fn run(args: Args, _: &Globals) -> anyhow::Result<ExitCode> {
    let mut out = Output::stdout();
    match args.what {
        What::List { json } => list(json, &mut out)?,
        What::Show { name, json } => {
            let profile = app::profile::find(&name).map_err(Usage)?;
            if json {
                out.json_line(&profile)?;
            } else {
                out.write_all(profile.to_toml()?.as_bytes())?;
            }
        }
        What::Check { file } => {
            // A file of that name comes first: it is what people check.
            let profile = match file.to_str().filter(|_| !file.exists()) {
                Some(name) => app::profile::find(name).map_err(Usage)?,
                None => app::profile::from_file(&file).map_err(Usage)?,
            };
            app::profile::check(&profile).map_err(|why| Usage(format!("{}: {why}", file.display())))?;
            writeln!(out, "{}: ok: {}", file.display(), contents(&profile))?;
        }
        What::New { name, from, output } => {
            let text = begin(&name, &from)?;
            match output {
                None => out.write_all(text.as_bytes())?,
                Some(path) => create(&path, &text)?,
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::from(exit_code::DONE))
}

fn list(as_json: bool, out: &mut Output) -> anyhow::Result<()> {
    let width = Profile::names().map(str::len).max().unwrap_or(0);
    for name in Profile::names() {
        let summary = Profile::named(name)?.summary;
        if as_json {
            out.json_line(&json!({"name": name, "summary": summary}))?;
        } else {
            writeln!(out, "{name:width$}  {summary}")?;
        }
    }
    Ok(())
}

/// `genesys-cloud, 24 routes, 3 sockets, 65 claims`: what there is of it, at a glance.
fn contents(profile: &Profile) -> String {
    let counts = [
        ("host pattern", profile.hosts.patterns.len()),
        ("route", profile.routes.iter().len()),
        ("socket", profile.sockets.iter().len()),
        ("session key", profile.session_keys.len()),
        ("limit", profile.limits.len()),
        ("claim", profile.claims.len()),
    ];
    let mut text = profile.name.clone();
    for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        text.push_str(&format!(", {count} {what}{}", if count == 1 { "" } else { "s" }));
    }
    text
}

/// A built-in profile's text, comments and all, under another name.
fn begin(name: &str, from: &str) -> anyhow::Result<String> {
    let text = Profile::text_of(from).map_err(|error| Usage(error.to_string()))?;
    if Profile::names().any(|known| known == name) {
        let hint = "built-in profiles keep their names: choose another one";
        return Err(Usage(format!("there is a profile {name:?} already (hint: {hint})")).into());
    }
    let renamed = |line: &str| match line.split(" = ").next() {
        Some("name") => format!("name = {name:?}\n"),
        Some("summary") => "summary = \"say in one line what it is for\"\n".to_owned(),
        _ => format!("{line}\n"),
    };
    // Both stand before the first table.
    let tables = text.find("\n[").unwrap_or(text.len());
    let (head, rest) = text.split_at(tables);
    let text = head.lines().map(renamed).collect::<String>() + rest;
    Profile::parse("the new profile", &text).map_err(|error| Usage(error.to_string()))?;
    Ok(text)
}

fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = path.display();
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let hint = "choose another name, or move it away";
            return Err(Usage(format!("{shown} exists and is left as it is (hint: {hint})")).into());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write {shown}")),
    };
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {shown}"))?;
    say(&format!("wrote {shown}; `firstframe profiles check {shown}` tells whether it can be used"));
    Ok(())
}
