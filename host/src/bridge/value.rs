//! The edges of the logical types: which values a column may hold.

/// First and last day of a `date` column: 0001-01-01 and 9999-12-31.
pub(super) const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
/// First and last microsecond of a `timestamp` column.
pub(super) const MICROS: std::ops::RangeInclusive<i64> =
    -719_162 * MICROS_A_DAY..=2_932_897 * MICROS_A_DAY - 1;
/// Microseconds of a day; UTC as computers count it has no leap seconds.
pub(super) const MICROS_A_DAY: i64 = 86_400_000_000;

/// A decimal number from its text, as an integer scaled by `10^scale`. None if
/// it is no number or needs more digits than there are.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole = parts.next()?;
    let fraction = parts.next().unwrap_or_default();
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Zeros beyond the scale say nothing; other digits there would be lost.
    let scale = usize::from(scale);
    let (kept, beyond) = fraction.split_at(fraction.len().min(scale));
    if beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let mut value: i128 = 0;
    for byte in whole.iter().chain(kept) {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    for _ in kept.len()..scale {
        value = value.checked_mul(10)?;
    }
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

/// Days since 1970-01-01 of a `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let (year, month, day) = match text.as_bytes() {
        [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] => {
            (number(&[*y1, *y2, *y3, *y4])?, number(&[*m1, *m2])?, number(&[*d1, *d2])?)
        }
        _ => return None,
    };
    days(year, month, day)
}

/// Microseconds since 1970-01-01T00:00:00Z of an RFC 3339 time with a zone.
/// Digits beyond microseconds would be lost: only zeros may stand there.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let date = parse_date(text.get(..10)?)?;
    let rest = text.as_bytes().get(10..)?;
    let (hour, minute, second, rest) = match rest {
        [b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] => {
            (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?, rest)
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, zone) = match rest {
        [b'.', rest @ ..] => {
            let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, zone) = rest.split_at_checked(len)?;
            let (kept, beyond) = digits.split_at_checked(len.min(6))?;
            if kept.is_empty() || beyond.iter().any(|byte| *byte != b'0') {
                return None;
            }
            let scale = 10_i64.checked_pow(u32::try_from(6 - kept.len()).ok()?)?;
            (i64::from(number(kept)?) * scale, zone)
        }
        zone => (0, zone),
    };
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = i64::from(hours * 60 + minutes);
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let seconds = i64::from(date) * 86_400 + i64::from(hour * 3600 + minute * 60 + second) - offset * 60;
    let micros = seconds * 1_000_000 + micros;
    MICROS.contains(&micros).then_some(micros)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        sum.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar, by
/// Howard Hinnant's algorithm (days_from_civil): years start in March, so that
/// the leap day is the last of its year.
fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    if year == 0 || day == 0 || day > last {
        return None;
    }
    let (year, month) = (i32::try_from(year).ok()?, i32::try_from(month).ok()?);
    let year = year - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i32::try_from(day).ok()? - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_from_year_1_to_9999() {
        assert_eq!(parse_date("1970-01-01"), Some(0));
        assert_eq!(parse_date("2024-02-29"), Some(19_782));
        assert_eq!(parse_date("0001-01-01"), Some(*DAYS.start()));
        assert_eq!(parse_date("9999-12-31"), Some(*DAYS.end()));
        for bad in [
            "",
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-01-32",
            "0000-01-01",
            "24-01-01",
            "2024-1-1",
            "2024-01-01 ",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn timestamps_need_a_zone_and_lose_nothing() {
        assert_eq!(parse_timestamp("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.000001Z"), Some(1));
        assert_eq!(parse_timestamp("1970-01-01T01:00:00.5+01:00"), Some(500_000));
        assert_eq!(parse_timestamp("1969-12-31 23:59:59.999999Z"), Some(-1));
        assert_eq!(parse_timestamp("2019-05-15T14:00:00.000000000Z"), Some(1_557_928_800_000_000));
        assert_eq!(parse_timestamp("0001-01-01T00:00:00Z"), Some(*MICROS.start()));
        assert_eq!(parse_timestamp("9999-12-31T23:59:59.999999Z"), Some(*MICROS.end()));
        for bad in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.0000001Z",
            "0001-01-01T00:00:00+00:01",
            "1970-01-01T00:00:00+1:00",
            "ü970-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn decimals_keep_every_digit_or_are_refused() {
        assert_eq!(parse_decimal("-12.50", 5, 2), Some(-1250));
        assert_eq!(parse_decimal("+.5", 5, 2), Some(50));
        assert_eq!(parse_decimal("7", 5, 2), Some(700));
        assert_eq!(parse_decimal("1.500", 5, 2), Some(150));
        assert_eq!(parse_decimal("99999999999999999999999999999999999999", 38, 0), Some(10_i128.pow(38) - 1));
        for bad in [
            "",
            "-",
            ".",
            "1.234",
            "1000.00",
            "1e3",
            "NaN",
            "1.2.3",
            " 1",
            "100000000000000000000000000000000000000000",
        ] {
            assert_eq!(parse_decimal(bad, 5, 2), None, "{bad}");
        }
    }
}
