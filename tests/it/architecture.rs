//! The layout of ARCHITECTURE.md, enforced: who may import whom, what is pure, how large a file may be.
//!
//! A failure names the file, the line and the row of the table that it breaks. Change the code, or the table and
//! ARCHITECTURE.md together.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// One module at the crate's root.
struct Row {
    name: &'static str,
    stratum: u8,
    pure: bool,
}

const fn row(name: &'static str, stratum: u8) -> Row {
    Row { name, stratum, pure: false }
}

const fn pure(name: &'static str, stratum: u8) -> Row {
    Row { name, stratum, pure: true }
}

/// A module imports from lower strata only, never sideways; a pure one imports pure ones only.
const TABLE: &[Row] = &[
    row("app", 7),
    row("cli", 7),
    row("config", 7),
    row("report", 6),
    row("api", 6),
    pure("diagnose", 5),
    row("export", 5),
    row("replay", 5),
    row("lab", 5),
    row("query", 4),
    row("import", 4),
    row("proxy", 4),
    row("record", 3),
    pure("inspect", 2),
    pure("rules", 2),
    pure("decode", 1),
    pure("profile", 1),
    pure("redact", 1),
    pure("stats", 1),
    row("ca", 1),
    row("store", 1),
    pure("model", 0),
    row("clock", 0),
    row("shutdown", 0),
];

/// Imports within one stratum that are meant: the ground rests on the model, and the edge is composed of three parts.
const SIDEWAYS: &[(&str, &str)] =
    &[("clock", "model"), ("shutdown", "model"), ("cli", "app"), ("cli", "config"), ("app", "config")];

/// Crates that only these files or folders may name, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "sled",
        &["src/store/catalogue.rs", "src/store/catalogue/"],
        "the catalogue is its only user: all in it can be rebuilt",
    ),
    ("parquet", &["src/store/"], "tables are the store's"),
    ("jsonschema", &["src/profile/schema.rs"], "schemas are compiled where profiles are read"),
    ("rcgen", &["src/ca/"], "certificates are the CA's"),
    ("p12_keystore", &["src/ca/"], "truststores are the CA's"),
    ("clap", &["src/cli/"], "only the command line reads arguments"),
    ("indicatif", &["src/cli/"], "only the command line draws"),
    ("anyhow", &["src/app.rs", "src/cli/"], "modules have errors of their own"),
    ("tracing_subscriber", &["src/cli/"], "where logs go is decided at the edge"),
    ("hyper", &["src/api/", "src/query/"], "it normalises heads: never in the data path"),
    ("hyper_util", &["src/api/", "src/query/"], "it normalises heads: never in the data path"),
    (
        "tokio_rustls",
        &["src/replay/driver/", "src/lab/"],
        "it ends TLS and TCP together: the proxy drives rustls itself",
    ),
    (
        "tokio_tungstenite",
        &["src/api/", "src/query/", "src/lab/"],
        "it answers pings by itself: never in the data path",
    ),
];

/// Parts of modules that are not pure which are all the same: no IO, no clock, no async.
const PURE_PARTS: &[&str] = &[
    "src/lab/agent.rs",
    "src/lab/api/",
    "src/lab/causes/",
    "src/lab/evaluate/",
    "src/lab/random.rs",
    "src/lab/request.rs",
    "src/lab/scenario.rs",
    "src/lab/surface.rs",
    "src/lab/world/",
    "src/replay/changes.rs",
    "src/replay/compare.rs",
    "src/replay/conversation.rs",
    "src/replay/edit.rs",
    "src/replay/experiment.rs",
    "src/replay/fix_json.rs",
    "src/replay/plan",
    "src/replay/script.rs",
    "src/replay/values.rs",
];

/// What a pure module must not name, outside its tests.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "IO"),
    ("std::env", "IO"),
    ("std::process", "IO"),
    ("std::thread", "threads"),
    ("std::os", "IO"),
    ("TcpStream", "IO"),
    ("TcpListener", "IO"),
    ("UdpSocket", "IO"),
    ("UnixStream", "IO"),
    ("ToSocketAddrs", "IO"),
    ("stdin()", "IO"),
    ("stdout()", "IO"),
    ("stderr()", "IO"),
    ("println!", "IO"),
    ("eprintln!", "IO"),
    ("Instant::", "a clock"),
    ("SystemTime", "a clock"),
    ("tokio", "async"),
    ("async fn", "async"),
    (".await", "async"),
    ("tracing", "a log"),
    ("static mut", "a global"),
    ("thread_local!", "a global"),
    ("Mutex", "shared state"),
    ("RwLock", "shared state"),
    ("Atomic", "shared state"),
    ("OnceLock", "a global"),
    ("LazyLock", "a global"),
];

const MAX_LINES: usize = 800;

#[test]
fn modules_import_only_what_lies_below_them() {
    let mut broken = Broken::default();
    for file in sources() {
        let Some(own) = broken.row_of(&file) else { continue };
        for (line, name) in file.crate_paths() {
            // What the crate's root re-exports has no row; `crate::Thing` would be such.
            let Some(other) = TABLE.iter().find(|row| row.name == name) else {
                broken.say(&file, line, &format!("crate::{name} has no row in the table"));
                continue;
            };
            let allowed = own.name == other.name || SIDEWAYS.contains(&(own.name, other.name));
            if !allowed && other.stratum >= own.stratum {
                let rule = format!(
                    "{} (stratum {}) imports {} (stratum {}): only lower strata may be imported",
                    own.name, own.stratum, other.name, other.stratum
                );
                broken.say(&file, line, &rule);
            }
            if own.pure && !other.pure {
                broken.say(&file, line, &format!("{} is pure and imports {}, which is not", own.name, other.name));
            }
        }
        for (line, what) in file.ways_out() {
            broken.say(&file, line, what);
        }
    }
    broken.assert_none();
}

#[test]
fn pure_modules_do_nothing_but_compute() {
    let mut broken = Broken::default();
    for file in sources() {
        let is_part = PURE_PARTS.iter().any(|part| file.path.starts_with(part));
        if !is_part && !broken.row_of(&file).is_some_and(|row| row.pure) {
            continue;
        }
        for (number, text) in file.code_lines().filter(|(number, _)| !file.in_tests(*number)) {
            for (word, what) in IMPURE {
                if names(text, word) {
                    broken.say(&file, number, &format!("a pure module names {word}: {what}"));
                }
            }
        }
    }
    broken.assert_none();
}

#[test]
fn reserved_crates_stay_where_they_belong() {
    let mut broken = Broken::default();
    for file in sources() {
        for (number, text) in file.code_lines().filter(|(number, _)| !file.in_tests(*number)) {
            for (name, places, why) in RESERVED {
                if names(text, &format!("{name}::")) && !places.iter().any(|place| file.path.starts_with(place)) {
                    broken.say(&file, number, &format!("{name} belongs to {}: {why}", places[0]));
                }
            }
        }
    }
    broken.assert_none();
}

#[test]
fn files_say_what_they_are_for_and_stay_small() {
    let mut broken = Broken::default();
    for file in sources() {
        if !file.text.starts_with("//! ") {
            broken.say(&file, 1, "the first line is not a //! header that says what the file is for");
        }
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            broken.say(&file, lines, &format!("{lines} lines: more than {MAX_LINES}, split it by concept"));
        }
    }
    broken.assert_none();
}

#[test]
fn the_map_in_lib_rs_names_every_module() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(declared.len() > 10, "lib.rs declares its modules one a line: {declared:?}");
    for name in declared {
        assert!(lib.contains(&format!("[`{name}`]")), "the table that opens lib.rs lacks {name}");
        assert!(TABLE.iter().any(|row| row.name == name), "{name} has no row in tests/it/architecture.rs");
    }
}

/// The scanner itself must see what it is to refuse.
#[test]
fn the_scanner_sees_imports_in_every_spelling() {
    let file = Source::new(
        "src/model/x.rs",
        "//! crate::doc is a comment\nuse crate::{\n    api::Server, // crate::no\n    config::{self, file},\n};\nlet x = \
         crate::proxy::run(\"crate::text\");\nlet raw = r#\"crate::raw \" crate::raw\"#; let c = '\"'; crate::query::q();\n\
         use super::super::deep;\n",
    );
    let found: Vec<(usize, String)> = file.crate_paths();
    let expected = [(3, "api"), (4, "config"), (6, "proxy"), (7, "query")];
    assert_eq!(found, expected.map(|(line, name)| (line, name.to_owned())));
    assert_eq!(file.ways_out().len(), 1);
    let root_module = Source::new("src/model/mod.rs", "//! x\nuse super::api;\nmod tests {\n    use super::*;\n}\n");
    assert_eq!(root_module.ways_out(), [(2, "super:: leaves the module here: write crate::")]);
    assert!(names("let now = Instant::now();", "Instant::"));
    assert!(!names("let x = mytokio::y;", "tokio"));
    assert!(names("x.await?", ".await") && !names("self.awaiting", ".await"));
}

#[derive(Default)]
struct Broken(String);

impl Broken {
    fn say(&mut self, file: &Source, line: usize, rule: &str) {
        let _ = writeln!(self.0, "{}:{line}: {rule}", file.path);
    }

    /// The row of the file's module; the crate's two roots have none. A module that the table lacks is a failure.
    fn row_of(&mut self, file: &Source) -> Option<&'static Row> {
        if matches!(file.path.as_str(), "src/lib.rs" | "src/main.rs") {
            return None;
        }
        let row = TABLE.iter().find(|row| row.name == file.module());
        if row.is_none() {
            self.say(file, 1, &format!("module {} has no row in the table", file.module()));
        }
        row
    }

    fn assert_none(self) {
        assert!(self.0.is_empty(), "the layout is broken:\n{}", self.0);
    }
}

/// One source file: its text, and the same with comments and literals blanked out, line by line.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank_comments_and_literals(text) }
    }

    /// `proxy` for `src/proxy/relay.rs`, `app` for `src/app.rs`.
    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap();
        inside.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Line numbers count from 1.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether the line lies in a file of tests, or behind the file's `#[cfg(test)] mod …`, which is its last item.
    fn in_tests(&self, number: usize) -> bool {
        if self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs") {
            return true;
        }
        let begin = self.text.lines().position(|line| line == "#[cfg(test)]");
        begin.is_some_and(|index| number > index)
    }

    /// Every module that is named through `crate::`, with its line.
    fn crate_paths(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let before = self.code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = at + "crate::".len();
            if self.code[rest..].starts_with('{') {
                found.extend(self.group(rest + 1));
            } else {
                found.extend(self.word(rest));
            }
        }
        found
    }

    /// The first words of a brace group's members.
    fn group(&self, from: usize) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut depth = 0;
        let mut fresh = true;
        for (offset, c) in self.code[from..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => fresh = true,
                c if fresh && !c.is_whitespace() => {
                    fresh = false;
                    found.extend(self.word(from + offset));
                }
                _ => {}
            }
        }
        found
    }

    fn word(&self, at: usize) -> Option<(usize, String)> {
        let word: String = self.code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let line = self.code[..at].matches('\n').count() + 1;
        (!word.is_empty()).then_some((line, word))
    }

    /// `super` that leaves the module: twice, or once in the module's own root file.
    fn ways_out(&self) -> Vec<(usize, &'static str)> {
        let is_root = self.path.matches('/').count() == 1 || self.path == format!("src/{}/mod.rs", self.module());
        let mut inline = false;
        let mut found = Vec::new();
        for (number, line) in self.code_lines() {
            if line.trim_start_matches("pub ").starts_with("mod ") && line.ends_with('{') {
                inline = true;
            } else if line == "}" {
                inline = false;
            }
            if line.contains("super::super") {
                found.push((number, "super::super is refused: write crate::"));
            } else if is_root && !inline && names(line, "super::") {
                found.push((number, "super:: leaves the module here: write crate::"));
            }
        }
        found
    }
}

/// Whether `text` holds `word` with no identifier's letter before it, and none behind it where it is a keyword.
fn names(text: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        if word.starts_with('.') {
            return !text[at + word.len()..].chars().next().is_some_and(letter);
        }
        !text[..at].chars().next_back().is_some_and(letter)
    })
}

/// Keeps line ends and everything else's length.
fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = end_of_blank(text, at);
        if end > at {
            code.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            let c = text[at..].chars().next().unwrap();
            code.push(c);
            at += c.len_utf8();
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself where none does.
fn end_of_blank(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let until = |skip: usize, end: &str| rest[skip..].find(end).map_or(text.len(), |n| at + skip + n + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').map_or(text.len(), |n| at + n);
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    let after_word = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with('r') && (!after_word || text[..at].ends_with('b')) {
        let hashes = rest[1..].bytes().take_while(|b| *b == b'#').count();
        if rest[1 + hashes..].starts_with('"') {
            return until(2 + hashes, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    let quoted = |quote: u8| {
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|b| {
            let ends = b == quote && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        });
        end.map_or(text.len(), |n| at + n + 2)
    };
    if rest.starts_with('"') {
        return quoted(b'"');
    }
    // A character, and not a lifetime: 'x' or '\…'.
    let mut chars = rest.chars();
    let character = chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\''));
    if character { quoted(b'\'') } else { at }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(entry.path()).unwrap();
                found.push(Source::new(path.to_str().expect("source names are ASCII"), &text));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "found only {} sources", found.len());
    found
}

/// A rule is shown only what it says it hears. What it looks for in `observe` and what it says must be the same: too few
/// would make it deaf, too many would only cost.
#[test]
fn rules_hear_exactly_what_they_look_for() {
    let mut judged = 0;
    for source in sources() {
        let code = source.code.split("#[cfg(test)]").next().unwrap_or_default();
        if !source.path.starts_with("src/rules/") || !code.contains("impl Rule for ") {
            continue;
        }
        let named = |prefix: &str| {
            let names = code.split(prefix).skip(1);
            let mut names: Vec<&str> =
                names.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap()).collect();
            names.retain(|name| name.starts_with(char::is_uppercase));
            names.sort_unstable();
            names.dedup();
            names
        };
        assert_eq!(named("Heard::"), named("What::"), "{}", source.path);
        judged += 1;
    }
    assert!(judged >= 38, "{judged}");
}
