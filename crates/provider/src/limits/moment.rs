//! Spans and moments, in every notation in which providers write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A span such as `6m0s` or `1.5`, or a moment in seconds or milliseconds since 1970.
pub(super) fn reset(text: &str, now: SystemTime) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(millis) if millis > 1e12 => until(in_seconds(millis / 1_000.0)?, now),
        Ok(seconds) if seconds > 1e9 => until(in_seconds(seconds)?, now),
        Ok(seconds) => in_seconds(seconds),
        Err(_) => duration(text),
    }
}

pub(super) fn until(since_1970: Duration, now: SystemTime) -> Option<Duration> {
    UNIX_EPOCH.checked_add(since_1970)?.duration_since(now).ok()
}

pub(super) fn in_seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// A span in Go's notation, such as `6m0s`, `1h2m3.5s` or `250ms`; seconds without a unit.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" | "" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(in_seconds(number.parse::<f64>().ok()? * seconds)?)?;
        rest = tail;
    }
    (!text.trim().is_empty()).then_some(total)
}

/// Seconds since 1970 of a moment such as `2026-11-22T19:17:35Z` or `...35.25+02:00`; `None` before 1970.
pub(super) fn rfc3339(text: &str) -> Option<Duration> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let mark = |(at, mark): (usize, u8)| text.as_bytes().get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&mark));
    if ![(4, b'-'), (7, b'-'), (10, b't'), (13, b':'), (16, b':')].into_iter().all(mark) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
    let tail = text.get(19..)?;
    let zone = tail.find(['Z', 'z', '+', '-'])?;
    let fraction = if zone == 0 { 0.0 } else { format!("0{}", &tail[..zone]).parse::<f64>().ok()? };
    let offset = match tail[zone..].split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = i64::from(hours.parse::<u8>().ok()?) * 60 + i64::from(minutes.parse::<u8>().ok()?);
            if sign == "-" { -minutes } else { minutes }
        }
    };
    if !(1..=12).contains(&month) {
        return None;
    }
    // Years begin in March here, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    let whole = u64::try_from(days * 86_400 + seconds - offset * 60).ok()?;
    Duration::from_secs(whole).checked_add(in_seconds(fraction)?)
}
