//! Checks of the command that is to be run: JMeter with its Java and its WebSocket plugin, or whatever it is.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Check, Status};
use crate::cli::client::{self, Kind, look_up};

/// What the plugin's file begins with, in JMeter's `lib/ext`.
const PLUGIN: &str = "jmeter-websocket-samplers";

/// The checks for that command; without one, whether JMeter is here at all, as something to know.
pub(super) fn checks(command: &[OsString]) -> Vec<Check> {
    match (command.first(), client::kind(command)) {
        (None, _) => Vec::new(),
        (Some(program), Kind::Other) => {
            let is_node = Path::new(program).file_stem().is_some_and(|name| name == "node" || name == "nodejs");
            std::iter::once(found(program)).chain(is_node.then(|| node(program))).collect()
        }
        (Some(program), Kind::JMeter(at)) => {
            let mut checks = vec![found(program), java(program, at)];
            // `java -jar HOME/bin/ApacheJMeter.jar` names the jar, everything else the script.
            let named = command.get(at).and_then(|argument| look_up(argument)).or_else(|| look_up(program));
            checks.extend(named.as_deref().and_then(home).as_deref().map(plugin));
            checks
        }
    }
}

fn found(program: &OsStr) -> Check {
    match look_up(program) {
        Some(path) => Check::ok("command", path.display().to_string()),
        None => Check::fail(
            "command",
            format!("{} is not found", program.to_string_lossy()),
            "give its path, or put its folder into PATH",
        ),
    }
}

/// Whether that Node reads the variables that name the proxy.
fn node(program: &OsStr) -> Check {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    node_of(&text)
}

/// The same of what it says of itself, `v22.21.0`.
fn node_of(version: &str) -> Check {
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(22), Some(21..)) | (Some(24), Some(5..)) | (Some(25..), _) => Check::ok("node", version),
        (Some(_), _) => Check::warn(
            "node",
            format!("{version} does not read the variables that name the proxy (22.21 and 24.5 do)"),
            "use a newer one, an agent such as https-proxy-agent, or reverse mode; the `ws` package needs one of these anyway",
        ),
        (None, _) => Check::warn(
            "node",
            "its version is not known",
            "Node reads the variables that name the proxy from 22.21 and 24.5 on",
        ),
    }
}

/// The Java that the command would use.
fn java(program: &OsStr, jar_at: usize) -> Check {
    let in_home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let java = if jar_at > 0 { PathBuf::from(program) } else { in_home.unwrap_or_else(|| PathBuf::from("java")) };
    let output = Command::new(&java).arg("-version").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let line = text.lines().find(|line| line.contains("version")).unwrap_or("version not told").to_owned();
            Check::ok("java", line)
        }
        Ok(output) => Check::fail(
            "java",
            format!("{} -version ended with {}", java.display(), output.status),
            "repair or replace that Java: JMeter 5.6 needs version 8 or later",
        ),
        Err(error) => Check::fail(
            "java",
            format!("{} cannot be run: {error}", java.display()),
            "install Java 17 (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME",
        ),
    }
}

/// JMeter's version and its WebSocket plugin, by the files in its home.
fn plugin(home: &Path) -> Check {
    let ext = home.join("lib/ext");
    let names: Vec<String> = fs::read_dir(&ext)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let jar = |stem: &str| names.iter().find(|name| name.starts_with(stem) && name.ends_with(".jar"));
    let core =
        jar("ApacheJMeter_core").map_or_else(|| "JMeter".to_owned(), |name| name.trim_end_matches(".jar").into());
    match jar(PLUGIN) {
        Some(name) => Check::ok("plugin", format!("{core}, {name}")),
        None => Check {
            name: "plugin",
            status: Status::Warn,
            found: format!("{core} without the WebSocket Samplers in {}", ext.display()),
            advice: Some(
                "plans with WebSocket samplers will not load: install \"WebSocket Samplers by Peter Doornbosch\" 1.3.1"
                    .to_owned(),
            ),
        },
    }
}

/// JMeter's home: two folders above its script or jar, as far as it looks like one.
fn home(named: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(named).ok()?;
    let home = real.parent()?.parent()?;
    home.join("lib/ext").is_dir().then(|| home.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn the_plugin_is_found_by_its_file() {
        let home_dir = tempfile::tempdir().unwrap();
        let (bin, ext) = (home_dir.path().join("bin"), home_dir.path().join("lib/ext"));
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&ext).unwrap();
        fs::write(bin.join("jmeter"), "").unwrap();
        fs::write(ext.join("ApacheJMeter_core-5.6.3.jar"), "").unwrap();
        let home = home(&bin.join("jmeter")).unwrap();
        assert_eq!(plugin(&home).status, Status::Warn);
        fs::write(ext.join("jmeter-websocket-samplers-1.3.1.jar"), "").unwrap();
        let check = plugin(&home);
        assert_eq!(check.found, "ApacheJMeter_core-5.6.3, jmeter-websocket-samplers-1.3.1.jar");
        assert_eq!(check.status, Status::Ok);
    }

    #[test]
    fn node_is_told_by_its_version() {
        for (version, status) in [
            ("v20.20.0", Status::Warn),
            ("v22.20.0", Status::Warn),
            ("v22.21.0", Status::Ok),
            ("v23.11.0", Status::Warn),
            ("v24.4.1", Status::Warn),
            ("v24.5.0", Status::Ok),
            ("v25.0.0", Status::Ok),
            ("", Status::Warn),
        ] {
            assert_eq!(node_of(version).status, status, "{version}");
        }
    }

    #[test]
    fn a_missing_command_fails() {
        let checks = checks(&["/nowhere/at/all".into()]);
        assert_eq!(checks.iter().map(|check| check.status).collect::<Vec<_>>(), [Status::Fail]);
    }
}
