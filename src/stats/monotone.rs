//! The best curve that never falls (pool adjacent violators): the refusal rate over a dose, whatever its shape.

/// One level of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The first bin that it covers.
    pub from: usize,
    /// One past the last.
    pub to: usize,
    /// Hits in it.
    pub hits: u32,
    /// Of so many.
    pub total: u32,
}

impl Level {
    /// Its rate.
    pub fn rate(&self) -> f64 {
        if self.total == 0 { 0.0 } else { f64::from(self.hits) / f64::from(self.total) }
    }
}

/// The levels of `(hits, total)` in order; empty bins belong to the level before them.
pub fn rising(bins: impl Iterator<Item = (u32, u32)>) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    for (at, (hits, total)) in bins.enumerate() {
        if total == 0 {
            match levels.last_mut() {
                Some(level) => level.to = at + 1,
                None => levels.push(Level { from: 0, to: at + 1, hits: 0, total: 0 }),
            }
            continue;
        }
        let mut next = Level { from: at, to: at + 1, hits, total };
        while let Some(before) = levels.last()
            && (before.total == 0
                || u64::from(before.hits) * u64::from(next.total) >= u64::from(next.hits) * u64::from(before.total))
        {
            next = Level {
                from: before.from,
                to: next.to,
                hits: next.hits + before.hits,
                total: next.total + before.total,
            };
            levels.pop();
        }
        levels.push(next);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violators_are_pooled_and_nothing_else() {
        let bins = [(0, 0), (1, 10), (0, 10), (5, 10), (0, 0), (4, 10), (10, 10)];
        let levels = rising(bins.into_iter());
        let seen: Vec<(usize, usize, u32, u32)> = levels.iter().map(|l| (l.from, l.to, l.hits, l.total)).collect();
        assert_eq!(seen, [(0, 3, 1, 20), (3, 6, 9, 20), (6, 7, 10, 10)]);
        assert!((levels[1].rate() - 0.45).abs() < 1e-9);
    }
}
