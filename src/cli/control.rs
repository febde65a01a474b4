//! `run --control`: the same command once more through plain tunnels, so that it can be said whether looking inside moves
//! the refusals. What the wire tells is not seen then: JMeter's own record tells both times, else the command's code.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    config::Settings,
    import::{self, Jtl},
    profile::Refused,
    report::{count, percent},
    stats::interval::newcombe,
};

/// How one of the two runs ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The command's code.
    pub(super) code: u8,
    /// Refused and judged requests, where a JTL tells.
    pub(super) refused: Option<(u64, u64)>,
}

impl Outcome {
    /// Of a command that ended with `code` and wrote that JTL from its line on.
    pub(super) fn of(code: u8, jtl: Option<&Path>, since_ms: i64, refused: &Refused) -> Self {
        let jtl = jtl.and_then(|path| import::read(path).ok());
        Self { code, refused: jtl.map(|jtl| tally(&jtl, since_ms, refused)).filter(|(_, all)| *all > 0) }
    }
}

/// Rows that an earlier run left in the file are older than this one.
fn tally(jtl: &Jtl, since_ms: i64, refused: &Refused) -> (u64, u64) {
    let mut tally = (0, 0);
    for row in jtl.rows.iter().filter(|row| row.is_request() && (row.start_ms >= since_ms || !jtl.zoned)) {
        let Ok(status) = row.code.parse::<u16>() else { continue };
        if refused.contains(status) {
            tally.0 += 1;
            tally.1 += 1;
        } else if status < 400 {
            tally.1 += 1;
        }
    }
    tally
}

/// The settings of the second run: nothing is decrypted, and its capture has a name of its own.
pub(super) fn settings(of: &Settings) -> Settings {
    let mut settings = of.clone();
    settings.proxy.decrypt = false;
    settings.name = settings.name.map(|name| format!("{name}-control"));
    settings
}

/// The command of the second run: its JTL goes beside the first.
pub(super) fn command(of: &[OsString], jtl: Option<&Path>) -> (Vec<OsString>, Option<PathBuf>) {
    let Some(path) = jtl else { return (of.to_vec(), None) };
    let beside = path.with_extension("control.jtl");
    let (old, new) = (path.to_string_lossy().into_owned(), beside.to_string_lossy().into_owned());
    let replaced = of.iter().map(|argument| match argument.to_str() {
        Some(text) if text == old => OsString::from(&new),
        Some(text) if text == format!("-l{old}") => OsString::from(format!("-l{new}")),
        Some(text) if text == format!("--logfile={old}") => OsString::from(format!("--logfile={new}")),
        _ => argument.clone(),
    });
    (replaced.collect(), Some(beside))
}

/// What both say together.
pub(super) fn text(first: &Outcome, second: &Outcome) -> String {
    let (Some(seen), Some(plain)) = (first.refused, second.refused) else {
        let same = if first.code == second.code { "as before" } else { "unlike before" };
        return format!(
            "control: through plain tunnels the command ended with {}, {same} ({}); without a JTL (`-l FILE`) nothing tells \
             how many were refused then\n",
            second.code, first.code
        );
    };
    let (difference, low, high) = newcombe(seen, plain);
    let [difference, low, high] = [difference, low, high].map(|share| share * 100.0);
    let verdict = if low > 0.0 {
        "more were refused while the proxy looked inside: it moves the refusals, or the load was another"
    } else if high < 0.0 {
        "fewer were refused while the proxy looked inside: it moves the refusals, or the load was another"
    } else {
        "the proxy does not move the refusals, as far as one repetition can tell"
    };
    format!(
        "control: {verdict}\n  decrypted      {} of {} refused ({})\n  plain tunnels  {} of {} refused ({})\n  difference     {difference:+.1} \
         points ({low:+.1} to {high:+.1}), as if requests were independent\n",
        count(seen.0),
        count(seen.1),
        percent(seen.0, seen.1),
        count(plain.0),
        count(plain.1),
        percent(plain.0, plain.1),
    )
}

/// The same for scripts.
pub(super) fn event(first: &Outcome, second: &Outcome) -> Value {
    let side = |outcome: &Outcome| {
        json!({
            "code": outcome.code,
            "refused": outcome.refused.map(|(refused, _)| refused),
            "total": outcome.refused.map(|(_, total)| total),
        })
    };
    let effect = first.refused.zip(second.refused).map(|(a, b)| {
        let (difference, low, high) = newcombe(a, b);
        json!({"difference": difference, "low": low, "high": high})
    });
    json!({"event": "control", "decrypted": side(first), "plain": side(second), "effect": effect})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_jtl_lies_beside_the_first() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let (command, jtl) = command(&words("jmeter -n -t a.jmx -l out/x.jtl"), Some(Path::new("out/x.jtl")));
        assert_eq!(command, words("jmeter -n -t a.jmx -l out/x.control.jtl"));
        assert_eq!(jtl, Some(PathBuf::from("out/x.control.jtl")));
    }

    #[test]
    fn equal_rates_clear_the_proxy_and_unequal_ones_do_not() {
        let outcome = |refused, total| Outcome { code: 0, refused: Some((refused, total)) };
        assert!(text(&outcome(100, 1000), &outcome(103, 1000)).contains("does not move"));
        assert!(text(&outcome(300, 1000), &outcome(100, 1000)).contains("more were refused"));
        let codes = text(&Outcome { code: 0, refused: None }, &Outcome { code: 1, refused: None });
        assert!(codes.contains("unlike before"), "{codes}");
    }
}
