//! The figures of JMeter's dashboard for the same rows: percentiles as commons-math's default estimates them, over the
//! last 20,000 samples of a label (`jmeter.reportgenerator.statistic_window`); the total leaves transactions out.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::{Role, Row};

/// As the dashboard's default.
const WINDOW: usize = 20_000;

/// One label's figures; times in milliseconds. The names are the dashboard's own (`statistics.json`).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the dashboard's names")]
pub struct Figures {
    pub transaction: String,
    pub sample_count: u64,
    pub error_count: u64,
    pub error_pct: f64,
    pub mean_res_time: f64,
    pub median_res_time: f64,
    pub min_res_time: f64,
    pub max_res_time: f64,
    pub pct1_res_time: f64,
    pub pct2_res_time: f64,
    pub pct3_res_time: f64,
    pub throughput: f64,
    pub received_k_bytes_per_sec: f64,
    pub sent_k_bytes_per_sec: f64,
}

#[derive(Default)]
struct Sum {
    count: u64,
    errors: u64,
    elapsed: f64,
    min: i64,
    max: i64,
    last: VecDeque<i64>,
    first_start: i64,
    last_end: i64,
    bytes: u64,
    sent: u64,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        if self.count == 0 {
            (self.min, self.max) = (i64::MAX, i64::MIN);
            (self.first_start, self.last_end) = (i64::MAX, i64::MIN);
        }
        self.count += 1;
        self.errors += u64::from(!row.success);
        self.elapsed += row.elapsed_ms as f64;
        self.min = self.min.min(row.elapsed_ms);
        self.max = self.max.max(row.elapsed_ms);
        self.first_start = self.first_start.min(row.start_ms);
        self.last_end = self.last_end.max(row.end_ms());
        self.bytes += row.bytes.unwrap_or(0);
        self.sent += row.sent_bytes.unwrap_or(0);
        if self.last.len() == WINDOW {
            self.last.pop_front();
        }
        self.last.push_back(row.elapsed_ms);
    }

    fn figures(self, name: &str) -> Figures {
        let mut sorted: Vec<i64> = self.last.into_iter().collect();
        sorted.sort_unstable();
        let seconds = (self.last_end - self.first_start) as f64 / 1000.0;
        let per_second = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        let count = self.count.max(1) as f64;
        Figures {
            transaction: name.to_owned(),
            sample_count: self.count,
            error_count: self.errors,
            error_pct: self.errors as f64 * 100.0 / count,
            mean_res_time: self.elapsed / count,
            median_res_time: percentile(&sorted, 50.0),
            min_res_time: self.min as f64,
            max_res_time: self.max as f64,
            pct1_res_time: percentile(&sorted, 90.0),
            pct2_res_time: percentile(&sorted, 95.0),
            pct3_res_time: percentile(&sorted, 99.0),
            throughput: per_second(self.count as f64),
            received_k_bytes_per_sec: per_second(self.bytes as f64 / 1024.0),
            sent_k_bytes_per_sec: per_second(self.sent as f64 / 1024.0),
        }
    }
}

/// Every label's figures, by name, and `Total` last.
pub fn of(rows: &[Row]) -> Vec<Figures> {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    let mut total = Sum::default();
    for row in rows {
        sums.entry(&row.label).or_default().add(row);
        if row.role != Role::Transaction {
            total.add(row);
        }
    }
    let mut all: Vec<Figures> = sums.into_iter().map(|(label, sum)| sum.figures(label)).collect();
    if total.count > 0 {
        all.push(total.figures("Total"));
    }
    all
}

/// `Percentile.EstimationType.LEGACY` of commons-math.
fn percentile(sorted: &[i64], p: f64) -> f64 {
    let n = sorted.len();
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default() as f64;
    let position = p * (n as f64 + 1.0) / 100.0;
    let floor = position.floor();
    match n {
        0 => 0.0,
        1 => at(0),
        _ if position < 1.0 => at(0),
        _ if position >= n as f64 => at(n - 1),
        _ => {
            let (lower, upper) = (at(floor as usize - 1), at(floor as usize));
            lower + (position - floor) * (upper - lower)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_commons_math() {
        let sorted: Vec<i64> = (1..=10).map(|n| n * 10).collect();
        // pos = 90 * 11 / 100 = 9.9: between the ninth and the tenth.
        assert!((percentile(&sorted, 90.0) - 99.0).abs() < 1e-9);
        assert!((percentile(&sorted, 50.0) - 55.0).abs() < 1e-9);
        assert!((percentile(&sorted, 99.0) - 100.0).abs() < 1e-9);
        assert!((percentile(&[7], 90.0) - 7.0).abs() < 1e-9);
    }

    #[test]
    fn the_total_leaves_transactions_out() {
        let row =
            |label: &str, role| Row { label: label.into(), elapsed_ms: 10, success: true, role, ..Row::default() };
        let figures = of(&[row("a", Role::Sample), row("a", Role::Sample), row("tx", Role::Transaction)]);
        let counts: Vec<(&str, u64)> = figures.iter().map(|f| (f.transaction.as_str(), f.sample_count)).collect();
        assert_eq!(counts, [("a", 2), ("tx", 1), ("Total", 2)]);
    }
}
