//! The scores of many runs, added up: by question, and in all.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{LOADS, Question, Score, Share, ThresholdScore};

/// All scores of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct Table {
    scores: Vec<Score>,
}

/// What is counted of some scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    /// How many runs.
    pub runs: usize,
    /// How many were right.
    pub right: usize,
    /// By load.
    pub by_load: [(usize, usize); LOADS.len()],
    /// How many answers were that nothing can be said.
    pub silent: usize,
    /// Known thresholds that were found, those inside their interval, and how far off in the middle.
    pub thresholds: usize,
    /// See [`Self::thresholds`].
    pub inside: usize,
    /// See [`Self::thresholds`].
    pub median_error: Option<f64>,
    /// What was named first where that was wrong.
    pub wrong: BTreeMap<String, usize>,
}

impl Table {
    /// Takes a score.
    pub fn add(&mut self, score: Score) {
        self.scores.push(score);
    }

    /// All of them, by question, load and seed, whoever came first.
    pub fn scores(&mut self) -> &[Score] {
        self.scores.sort_by(|a, b| (&a.question, a.load, a.seed).cmp(&(&b.question, b.load, b.seed)));
        &self.scores
    }

    /// The sum over those that are taken.
    pub fn sum(&self, takes: impl Fn(&Score) -> bool) -> Sum {
        let mut sum = Sum::default();
        let mut errors = Vec::new();
        for score in self.scores.iter().filter(|score| takes(score)) {
            sum.runs += 1;
            sum.right += usize::from(score.is_right);
            if let Some((runs, right)) = sum.by_load.get_mut(score.load) {
                *runs += 1;
                *right += usize::from(score.is_right);
            }
            sum.silent += usize::from(score.is_silent);
            if !score.is_right {
                let named =
                    score.named.first().map_or(if score.is_silent { "(silent)" } else { "(none)" }, |name| name);
                *sum.wrong.entry(named.to_owned()).or_default() += 1;
            }
            if let Some(threshold) = score.threshold {
                sum.thresholds += 1;
                sum.inside += usize::from(threshold.is_inside());
                errors.push(threshold.error());
            }
        }
        errors.sort_by(f64::total_cmp);
        sum.median_error = errors.get(errors.len() / 2).copied();
        sum
    }

    /// Questions in the order in which they are documented, those that were asked.
    pub fn questions(&self) -> Vec<String> {
        let nulls = (0..10).filter_map(Question::null);
        let known = Question::singles().into_iter().chain(Question::pairs()).chain(nulls);
        let mut names: Vec<String> = known.map(|question| question.name()).collect();
        names.dedup();
        names.retain(|name| self.scores.iter().any(|score| score.question == *name));
        names
    }

    /// The whole table, as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let is_pair = |name: &str| name.contains(" + ");
        let is_null = |name: &str| name.starts_with("null: ");
        let questions = self.questions();
        let singles: Vec<&String> = questions.iter().filter(|name| !is_pair(name) && !is_null(name)).collect();
        if !singles.is_empty() {
            self.singles(&singles, &mut text);
        }
        for (title, second, takes) in [
            ("Pairs of causes", "both found, shares within 10 points", &is_pair as &dyn Fn(&str) -> bool),
            ("Nothing planted", "nothing wrong named", &is_null),
        ] {
            let names: Vec<&String> = questions.iter().filter(|name| takes(name)).collect();
            if names.is_empty() {
                continue;
            }
            let _ = writeln!(text, "## {title}\n\n| | {second} | else named first |\n|---|---|---|");
            for name in names {
                let sum = self.sum(|score| score.question == *name);
                let _ = writeln!(text, "| {name} | {} | {} |", ratio(sum.right, sum.runs), wrong(&sum));
            }
            let sum = self.sum(|score| takes(&score.question));
            let _ = writeln!(text, "| **all** | **{}** | |\n", ratio(sum.right, sum.runs));
        }
        self.misses(&mut text);
        text
    }

    /// Each wrong answer, and each threshold outside its interval, so that it can be made again.
    fn misses(&self, text: &mut String) {
        let mut lines: Vec<String> = Vec::new();
        for score in &self.scores {
            let load = LOADS.get(score.load).map_or("", |(name, _)| name);
            let run = format!("{}, {load}, seed {}", score.question, score.seed);
            let outside = score.threshold.filter(|threshold| !threshold.is_inside());
            if !score.is_right {
                let named = if score.named.is_empty() { "nothing".to_owned() } else { score.named.join(", ") };
                let shares: Vec<String> = score.shares.iter().map(|share| share_in_words(*share)).collect();
                lines.push(format!("- {run}: named {named}; shares {}", shares.join(", ")));
            } else if let Some(ThresholdScore { truth, value, low, high }) = outside {
                lines.push(format!("- {run}: the threshold is {truth}, said was {value} ({low} to {high})"));
            }
        }
        if !lines.is_empty() {
            lines.sort();
            let _ = writeln!(text, "## Misses\n\n{}", lines.join("\n"));
        }
    }

    fn singles(&self, names: &[&String], text: &mut String) {
        let loads: Vec<&str> = LOADS.iter().map(|(name, _)| *name).collect();
        let _ = writeln!(text, "## One cause\n");
        let head = "| | first cause right | {} | threshold in its interval | median error | else named first |";
        let _ = writeln!(text, "{}", head.replace("{}", &loads.join(" | ")));
        let _ = writeln!(text, "|---|---|{}---|---|---|", "---|".repeat(loads.len()));
        let row = |label: &str, sum: &Sum, text: &mut String| {
            let by_load: Vec<String> = sum.by_load.iter().map(|(runs, right)| format!("{right}/{runs}")).collect();
            let inside = if sum.thresholds == 0 { String::new() } else { ratio(sum.inside, sum.thresholds) };
            let error = sum.median_error.map(|error| format!("{:.1} %", 100.0 * error)).unwrap_or_default();
            let _ = writeln!(
                text,
                "| {label} | {} | {} | {inside} | {error} | {} |",
                ratio(sum.right, sum.runs),
                by_load.join(" | "),
                wrong(sum)
            );
        };
        for name in names {
            row(name, &self.sum(|score| score.question == **name), text);
        }
        let mut all = self.sum(|score| names.contains(&&score.question));
        all.wrong.clear();
        row("**all**", &all, text);
        text.push('\n');
    }
}

fn share_in_words(share: Share) -> String {
    let found = share.found.map_or_else(|| "not found".to_owned(), |found| format!("found {:.1} %", 100.0 * found));
    format!("{:.1} % ({found})", 100.0 * share.truth)
}

fn ratio(part: usize, whole: usize) -> String {
    let share = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    format!("{part}/{whole} ({share:.1} %)")
}

/// The most frequent three.
fn wrong(sum: &Sum) -> String {
    let mut wrong: Vec<(&String, &usize)> = sum.wrong.iter().collect();
    wrong.sort_by_key(|(name, count)| (usize::MAX - **count, *name));
    wrong.iter().take(3).map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
