//! Budgets as the command line says them.

use std::str::FromStr;

use bellwether_budget::{Amount, Caps};
use bellwether_core::Usd;

/// A cap as the command line says it: an amount, or so much beyond what is spent already.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Budget {
    caps: Caps,
    beyond: bool,
}

impl Budget {
    /// All caps together, for a run that has spent so much already. Of two for the same thing the last one counts.
    pub(crate) fn caps(budgets: &[Self], spent: Amount) -> Caps {
        budgets.iter().fold(Caps::default(), |sum, Self { caps, beyond }| {
            let more = |cap: u64, spent: u64| if *beyond { cap.saturating_add(spent) } else { cap };
            Caps {
                usd: caps.usd.map(|usd| Usd::from_nanos(more(usd.as_nanos(), spent.usd.as_nanos()))).or(sum.usd),
                tokens: caps.tokens.map(|tokens| more(tokens, spent.tokens)).or(sum.tokens),
                calls: caps.calls.map(|calls| more(calls, spent.calls)).or(sum.calls),
                time: caps.time.map(|time| if *beyond { time.saturating_add(spent.time) } else { time }).or(sum.time),
            }
        })
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no amount: write 2usd, 500000tokens, 40calls or 30min");
        let (beyond, amount) = text.strip_prefix('+').map_or((false, text), |amount| (true, amount));
        let amount = amount.strip_prefix('$').map_or_else(|| amount.to_owned(), |amount| format!("{amount}usd"));
        let unit_at = amount.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
        let (number, unit) = (amount[..unit_at].trim(), &amount[unit_at..]);
        let count = || number.replace('_', "").parse().map_err(|_| wrong());
        let caps = match unit {
            "usd" => Caps {
                usd: Some(number.parse().ok().and_then(Usd::from_dollars).ok_or_else(wrong)?),
                ..Caps::default()
            },
            "tokens" | "tok" => Caps { tokens: Some(count()?), ..Caps::default() },
            "calls" => Caps { calls: Some(count()?), ..Caps::default() },
            // Months, to humantime; whoever writes it means millions of something, and would have no cap at all.
            "M" => return Err(wrong()),
            _ => Caps { time: Some(humantime::parse_duration(&amount).map_err(|_| wrong())?), ..Caps::default() },
        };
        Ok(Self { caps, beyond })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_budget_is_an_amount_with_its_unit() {
        let spent = Amount { usd: Usd::from_nanos(5), tokens: 7, calls: 9, time: Duration::from_secs(60) };
        let caps = |texts: &[&str]| {
            let budgets: Vec<Budget> = texts.iter().map(|text| text.parse().unwrap()).collect();
            Budget::caps(&budgets, spent)
        };
        assert_eq!(caps(&[]), Caps::default());
        assert_eq!(caps(&["$2"]).usd, Usd::from_dollars(2.0));
        assert_eq!(
            caps(&["0.5usd", "+100tokens", "4calls"]),
            Caps { usd: Usd::from_dollars(0.5), tokens: Some(107), calls: Some(4), time: None }
        );
        assert_eq!(caps(&["+2min"]).time, Some(Duration::from_secs(180)));
        assert_eq!(caps(&["2months"]).time, Some(Duration::from_secs(2 * 2_630_016)));
        for wrong in ["2", "-1usd", "2eur", "usd", "1.5calls", "+", "5M", "500k", "1e6tokens", "NaNusd", "infusd"] {
            assert!(wrong.parse::<Budget>().is_err(), "{wrong}");
        }
    }
}
