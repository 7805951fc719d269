//! Samples from a beta distribution.

use fastrand::Rng;

/// A sample from Beta(alpha, beta), as a share of two gamma samples.
pub(crate) fn beta(alpha: f64, beta: f64, random: &mut Rng) -> f64 {
    let (a, b) = (gamma(alpha, random), gamma(beta, random));
    // Both are zero only if rounding ate them: then the mean is as good as any.
    if a + b > 0.0 { a / (a + b) } else { alpha / (alpha + beta) }
}

/// A sample from Gamma(shape, 1): Marsaglia and Tsang 2000, "A simple method for generating gamma variables".
fn gamma(shape: f64, random: &mut Rng) -> f64 {
    if shape < 1.0 {
        // A sample for one more, scaled down.
        return gamma(shape + 1.0, random) * positive(random).powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && positive(random).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// A sample from the normal distribution (Marsaglia's polar method).
fn normal(random: &mut Rng) -> f64 {
    loop {
        let (x, y) = (2.0 * random.f64() - 1.0, 2.0 * random.f64() - 1.0);
        let s = x * x + y * y;
        if s > 0.0 && s < 1.0 {
            return x * (-2.0 * s.ln() / s).sqrt();
        }
    }
}

/// Above 0 and at most 1.
fn positive(random: &mut Rng) -> f64 {
    1.0 - random.f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_mean_and_the_spread_of_their_distribution() {
        let mut random = Rng::with_seed(1);
        for (a, b) in [(0.3, 0.7), (1.0, 1.0), (2.0, 5.0), (40.0, 10.0), (300.0, 30.0)] {
            let samples: Vec<f64> = (0..20_000).map(|_| beta(a, b, &mut random)).collect();
            assert!(samples.iter().all(|sample| (0.0..=1.0).contains(sample)));
            let mean = samples.iter().sum::<f64>() / 20_000.0;
            let spread = (samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
            let wanted = a / (a + b);
            let wanted_spread = (a * b / ((a + b).powi(2) * (a + b + 1.0))).sqrt();
            assert!((mean - wanted).abs() < 0.01, "Beta({a}, {b}): mean {mean}, not {wanted}");
            assert!((spread - wanted_spread).abs() < 0.01, "Beta({a}, {b}): spread {spread}, not {wanted_spread}");
        }
    }
}
