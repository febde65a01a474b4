//! Binomial log-likelihoods: how well one rate, or a rate on either side of a split, tells refused from accepted.

/// `x · ln x` of whole numbers, the small ones from a table: a permutation test asks for it some hundred million times.
pub struct Binomial {
    table: Vec<f64>,
}

impl Default for Binomial {
    fn default() -> Self {
        Self { table: (0..TABLED).map(|x| x_ln_x(f64::from(x))).collect() }
    }
}

/// Half a megabyte: it stays in a core's own cache.
const TABLED: u32 = 1 << 16;

fn x_ln_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

impl Binomial {
    /// `x · ln x`, 0 at 0.
    #[inline]
    fn x_ln_x(&self, x: u32) -> f64 {
        self.table.get(x as usize).copied().unwrap_or_else(|| x_ln_x(f64::from(x)))
    }

    /// The log-likelihood of `hits` of `total` at its own best rate; never above 0.
    #[inline]
    pub fn at_best(&self, hits: u32, total: u32) -> f64 {
        self.x_ln_x(hits) + self.x_ln_x(total.saturating_sub(hits)) - self.x_ln_x(total)
    }

    /// What two rates gain over one, negative where the first side's rate is the lower: a cause must raise the rate.
    #[inline]
    pub fn split(&self, (hits, total): (u32, u32), (other_hits, other_total): (u32, u32)) -> f64 {
        if total == 0 || other_total == 0 {
            return 0.0;
        }
        let gain = self.at_best(hits, total) + self.at_best(other_hits, other_total)
            - self.at_best(hits + other_hits, total + other_total);
        let higher = u64::from(hits) * u64::from(other_total) >= u64::from(other_hits) * u64::from(total);
        if higher { gain.max(0.0) } else { -gain.max(0.0) }
    }
}

/// The log-likelihood of one outcome at a rate, which is kept off 0 and 1.
pub fn of_one(hit: bool, rate: f64) -> f64 {
    let rate = rate.clamp(1e-6, 1.0 - 1e-6);
    if hit { rate.ln() } else { (1.0 - rate).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_split_gains_all_there_is_and_an_even_one_nothing() {
        let binomial = Binomial::default();
        let all = -binomial.at_best(50, 200);
        assert!((binomial.split((50, 50), (0, 150)) - all).abs() < 1e-9);
        assert!(binomial.split((25, 100), (25, 100)).abs() < 1e-9);
        assert!(binomial.split((0, 150), (50, 50)) < -100.0, "the wrong way round is a loss");
        assert!(all > 112.0 && all < 113.0, "200 · H(1/4) = 112.5 nats: {all}");
    }

    #[test]
    fn beyond_its_table_it_computes() {
        let binomial = Binomial::default();
        let (inside, beyond) = (binomial.at_best(10_000, 40_000), binomial.at_best(20_000, 80_000));
        assert!((beyond - 2.0 * inside).abs() < 1e-6);
    }
}
