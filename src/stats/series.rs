//! How long a series remembers itself.

/// What is left of the correlation when the memory is over.
const FORGOTTEN: f64 = 0.1;

/// The first lag, from 1, at which the autocorrelation of `values` is below a tenth and below what chance makes of so
/// many; at most `most`. 1 for a series that never varies.
pub fn memory(values: &[f64], most: usize) -> usize {
    let n = values.len();
    if n < 2 {
        return 1;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let variance: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    if variance <= 0.0 {
        return 1;
    }
    let forgotten = FORGOTTEN.max(2.0 / (n as f64).sqrt());
    let correlation = |lag: usize| {
        let products = values.iter().zip(values.iter().skip(lag)).map(|(a, b)| (a - mean) * (b - mean));
        products.sum::<f64>() / variance
    };
    (1..most.min(n - 1)).find(|lag| correlation(*lag) < forgotten).unwrap_or_else(|| most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_remembered_as_long_as_they_last_and_noise_is_not() {
        let runs: Vec<f64> = (0..1000).map(|i| f64::from((i / 20) % 2)).collect();
        let lag = memory(&runs, 100);
        assert!((8..=12).contains(&lag), "half waves of 20 are forgotten after about 10: {lag}");
        let mut state = 1_u64;
        let noise: Vec<f64> = (0..1000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as f64
            })
            .collect();
        assert_eq!(memory(&noise, 100), 1);
        assert_eq!(memory(&[1.0; 50], 100), 1);
        let step: Vec<f64> = (0..1000).map(|i| f64::from(i >= 500)).collect();
        assert_eq!(memory(&step, 100), 100, "what never forgets is said to remember all that was asked for");
    }
}
