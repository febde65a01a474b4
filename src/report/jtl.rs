//! What JMeter's own record says beside the capture: who sent the refused ones, what it lost, where both differ.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use serde_json::{Value, json};

use crate::import::{Jtl, Role, join::Joined, statistics::Figures};

use super::count;

/// A JTL laid beside a capture.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The file.
    pub path: String,
    /// Its rows.
    pub jtl: Jtl,
    /// Which is which exchange.
    pub joined: Joined,
    /// The dashboard's figures.
    pub figures: Vec<Figures>,
    /// The refused exchanges with their rows.
    pub lost: Vec<Lost>,
}

/// A refused exchange with its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// `x345`
    pub exchange: String,
    /// JMeter's thread.
    pub thread: String,
    /// The sampler's name.
    pub sampler: String,
    /// Its line in the file.
    pub line: u64,
    /// The code that JMeter noted.
    pub code: String,
    /// What the server said and JMeter did not keep; for the first of them.
    pub body: Option<String>,
}

const LISTED: usize = 6;
const LABELS: usize = 20;

impl Beside {
    /// As scripts see it.
    pub fn to_json(&self) -> Value {
        let row = |at: &usize| {
            let row = self.jtl.rows.get(*at);
            row.map(|row| json!({"line": row.line, "thread": row.thread, "sampler": row.label, "code": row.code, "message": row.message}))
        };
        let rows = |all: &[usize]| all.iter().filter_map(row).collect::<Vec<_>>();
        json!({
            "file": self.path,
            "rows": self.jtl.rows.len(),
            "joined": self.joined.pairs.len(),
            "pairs": self.joined.pairs.iter().map(|(at, id)| json!({
                "line": self.jtl.rows.get(*at).map(|row| row.line), "exchange": format!("x{id}"),
            })).collect::<Vec<_>>(),
            "transactions": self.of(Role::Transaction),
            "parents": self.of(Role::Parent),
            "on_sockets": self.joined.on_sockets.len(),
            "never_sent": rows(&self.joined.never_sent),
            "not_found": rows(&self.joined.not_found),
            "without_row": self.joined.without_row.iter().map(|id| format!("x{id}")).collect::<Vec<_>>(),
            "differing": self.joined.differing.iter().filter_map(|(at, id)| {
                let mut one = row(at)?;
                one.as_object_mut()?.insert("exchange".into(), format!("x{id}").into());
                Some(one)
            }).collect::<Vec<_>>(),
            "refused": self.lost,
            "malformed": self.jtl.malformed.iter().map(|one| json!({"line": one.line, "why": one.why})).collect::<Vec<_>>(),
            "malformed_more": self.jtl.malformed_more,
            "zoned": self.jtl.zoned,
            "statistics": self.figures,
        })
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}: {} rows beside the wire", self.path, count(self.jtl.rows.len() as u64));
        for (number, what) in self.counts() {
            let _ = writeln!(text, "  {:>9}  {what}", count(number));
        }
        if !self.jtl.zoned {
            let _ =
                writeln!(text, "  its times bear no zone: they were moved by whole quarter-hours to meet the capture");
        }
        self.who(&mut text);
        self.reasons(&mut text);
        self.table(&mut text);
        text
    }

    /// The lines for the end of a run: where the file and the wire do not say the same.
    pub fn to_short_text(&self) -> String {
        let mut text = String::new();
        let joined = count(self.joined.pairs.len() as u64);
        let _ = writeln!(
            text,
            "{}: {joined} of {} rows joined with the wire",
            self.path,
            count(self.jtl.rows.len() as u64)
        );
        for (number, what) in self.counts().into_iter().skip(1).filter(|(number, _)| *number > 0) {
            let _ = writeln!(text, "  {:>9}  {what}", count(number));
        }
        self.who(&mut text);
        text
    }

    fn counts(&self) -> Vec<(u64, &'static str)> {
        let joined = &self.joined;
        let all = [
            (joined.pairs.len(), "requests, each with its exchange"),
            (joined.on_sockets.len(), "on sockets: writes, reads and closes"),
            (self.of(Role::Transaction), "sums of transaction controllers, no requests"),
            (self.of(Role::Parent), "sums of redirects or embedded parts, which have rows of their own"),
            (joined.never_sent.len(), "never reached the network, by JMeter's own word"),
            (joined.not_found.len(), "not found on the wire"),
            (joined.differing.len(), "of those joined say another code than the wire"),
            (joined.without_row.len(), "exchanges that no row is about"),
            (self.jtl.malformed.len() + self.jtl.malformed_more, "lines that are no rows"),
        ];
        let shown = all.into_iter().enumerate().filter(|(at, (number, _))| *at == 0 || *number > 0);
        shown.map(|(_, (number, what))| (number as u64, what)).collect()
    }

    fn of(&self, role: Role) -> usize {
        self.jtl.rows.iter().filter(|row| row.role == role).count()
    }

    /// Threads and samplers of the refused ones, and what the server said.
    fn who(&self, text: &mut String) {
        if self.lost.is_empty() {
            return;
        }
        let mut samplers: BTreeMap<&str, (u64, BTreeMap<&str, u64>)> = BTreeMap::new();
        for lost in &self.lost {
            let (number, threads) = samplers.entry(&lost.sampler).or_default();
            *number += 1;
            *threads.entry(&lost.thread).or_default() += 1;
        }
        let _ = writeln!(text, "\nrefused, by sampler");
        for (sampler, (number, threads)) in samplers.iter().take(LABELS) {
            let of = count(threads.len() as u64);
            let _ = writeln!(text, "  {:>9}  {} in {of} threads", count(*number), plain(sampler));
        }
        let _ = writeln!(text, "\nthe first of them, with what the server said");
        for lost in self.lost.iter().take(LISTED) {
            let _ = writeln!(
                text,
                "  {} {}  {} in {}",
                lost.code,
                lost.exchange,
                plain(&lost.sampler),
                plain(&lost.thread)
            );
            if let Some(body) = &lost.body {
                let _ = writeln!(text, "      {}", plain(&body.chars().take(200).collect::<String>()));
            }
        }
    }

    /// Why rows are not on the wire.
    fn reasons(&self, text: &mut String) {
        for (title, rows) in
            [("never reached the network", &self.joined.never_sent), ("not found on the wire", &self.joined.not_found)]
        {
            let mut reasons: BTreeMap<(&str, String), (u64, u64)> = BTreeMap::new();
            for row in rows.iter().filter_map(|at| self.jtl.rows.get(*at)) {
                let why = format!("{}: {}", row.code, row.message);
                reasons.entry((&row.label, why)).or_insert((0, row.line)).0 += 1;
            }
            if !reasons.is_empty() {
                let _ = writeln!(text, "\n{title}");
            }
            for ((label, why), (number, line)) in reasons.iter().take(LABELS) {
                let why: String = why.chars().take(150).collect();
                let _ = writeln!(text, "  {:>9}  {}, line {line}: {}", count(*number), plain(label), plain(&why));
            }
        }
        if !self.joined.differing.is_empty() {
            let _ = writeln!(text, "\nanother code than the wire");
            for (at, id) in self.joined.differing.iter().take(LISTED) {
                if let Some(row) = self.jtl.rows.get(*at) {
                    let _ = writeln!(
                        text,
                        "  line {}: {} of {}, on the wire x{id}",
                        row.line,
                        plain(&row.code),
                        plain(&row.label)
                    );
                }
            }
        }
        if !self.jtl.malformed.is_empty() {
            let _ = writeln!(text, "\nlines that are no rows");
            for one in self.jtl.malformed.iter().take(LISTED) {
                let _ = writeln!(text, "  line {}: {}", one.line, plain(&one.why));
            }
        }
    }

    fn table(&self, text: &mut String) {
        if self.figures.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "\n{:<26}{:>8}{:>8}{:>8}{:>8}{:>7}{:>7}{:>7}",
            "as JMeter's dashboard has", "count", "errors", "mean", "median", "90 %", "95 %", "99 %"
        );
        for figures in self.figures.iter().take(LABELS).chain(self.figures.iter().skip(LABELS.max(1)).next_back()) {
            let _ = writeln!(
                text,
                "{:<26}{:>8}{:>8}{:>8.1}{:>8.1}{:>7.0}{:>7.0}{:>7.0}",
                plain(&figures.transaction).chars().take(25).collect::<String>(),
                count(figures.sample_count),
                count(figures.error_count),
                figures.mean_res_time,
                figures.median_res_time,
                figures.pct1_res_time,
                figures.pct2_res_time,
                figures.pct3_res_time
            );
        }
    }
}

/// Text of a file for a terminal: one line, no control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
