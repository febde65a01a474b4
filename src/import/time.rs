//! The timestamps that JMeter writes and reads (`CSVSaveService`).

use jiff::{civil, tz::TimeZone};

/// Milliseconds since 1970, and whether that is certain: patterns bear no zone and are taken for UTC.
pub(super) fn parse(text: &str) -> Option<(i64, bool)> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return Some((ms, true));
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    let date = date_of(date)?;
    let zoned = time.ends_with('Z');
    let time = time.trim_end_matches('Z');
    let (clock, fraction) = time.split_once(['.', ',']).unwrap_or((time, ""));
    let mut parts = clock.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let ms: i32 = digits.parse().ok()?;
    let time = civil::Time::new(hour, minute, second, ms * 1_000_000).ok()?;
    let instant = date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((instant.as_millisecond(), zoned))
}

/// `yyyy/MM/dd`, `yyyy-MM-dd` or `MM/dd/yy`.
fn date_of(text: &str) -> Option<civil::Date> {
    let parts: Vec<&str> = text.split(['/', '-']).collect();
    let [one, two, three] = parts.as_slice() else { return None };
    let (year, month, day) = if one.len() == 4 {
        (one.parse::<i16>().ok()?, two.parse().ok()?, three.parse().ok()?)
    } else {
        let year: i16 = three.parse().ok()?;
        (if three.len() <= 2 { 2000 + year } else { year }, one.parse().ok()?, two.parse().ok()?)
    };
    civil::Date::new(year, month, day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_jmeter_is_read() {
        for (text, ms) in [
            ("1795291166013", 1_795_291_166_013),
            ("2026/11/21 20:05:52.028", 1_795_291_552_028),
            ("2026/11/21 20:05:52", 1_795_291_552_000),
            ("2026-11-21 20:05:52.028", 1_795_291_552_028),
            ("2026-11-21T20:05:52.5", 1_795_291_552_500),
            ("11/21/26 20:05:52", 1_795_291_552_000),
            ("11/21/26 20:05:52.028", 1_795_291_552_028),
        ] {
            assert_eq!(parse(text).map(|(ms, _)| ms), Some(ms), "{text}");
        }
        for wrong in ["", "yesterday", "2026/13/01 00:00:00", "2026/11/21", "21/11/2026 10:00:00"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse("1795291166013").map(|(_, sure)| sure), Some(true));
        assert_eq!(parse("2026/11/21 20:05:52").map(|(_, sure)| sure), Some(false));
    }
}
