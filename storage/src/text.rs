//! Dates, timestamps and decimals as text, by integer arithmetic into a buffer
//! on the stack: no allocation a value.

/// 0001-01-01, in days since 1970-01-01.
const FIRST_DAY: i64 = -719_162;
/// 9999-12-31, in days since 1970-01-01.
const LAST_DAY: i64 = 2_932_896;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Digits that a `u64` always holds.
const CHUNK: u32 = 19;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = pairs();

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[b'0'; 2]; 100];
    let mut rest: &mut [[u8; 2]] = &mut pairs;
    let (mut tens, mut ones) = (b'0', b'0');
    while let Some((pair, after)) = rest.split_first_mut() {
        *pair = [tens, ones];
        rest = after;
        if ones == b'9' {
            tens += 1;
            ones = b'0';
        } else {
            ones += 1;
        }
    }
    pairs
}

/// A short text; numbers are written from its end to its start.
pub(crate) struct Text {
    bytes: [u8; 48],
    start: usize,
}

impl Text {
    fn new() -> Self {
        Self { bytes: [0; 48], start: 48 }
    }

    /// A text of one width.
    fn of<const WIDTH: usize>(text: [u8; WIDTH]) -> Self {
        const { assert!(WIDTH <= 48) };
        let mut this = Self::new();
        this.start = this.start.saturating_sub(WIDTH);
        if let Some(slot) = this.bytes.get_mut(this.start..) {
            slot.copy_from_slice(&text);
        }
        this
    }

    /// The text, in UTF-8.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        let start = self.start.wrapping_sub(1);
        if let Some(slot) = self.bytes.get_mut(start) {
            *slot = byte;
            self.start = start;
        }
    }

    /// The last two digits of a number.
    fn push_pair(&mut self, number: u64) {
        let start = self.start.wrapping_sub(2);
        let pair = usize::try_from(number % 100).ok().and_then(|pair| PAIRS.get(pair));
        if let (Some(slot), Some(pair)) = (self.bytes.get_mut(start..self.start), pair) {
            slot.copy_from_slice(pair);
            self.start = start;
        }
    }

    /// The last `count` digits of a number.
    fn push_digits(&mut self, mut number: u64, count: u32) {
        for _ in 0..count / 2 {
            self.push_pair(number);
            number /= 100;
        }
        if count % 2 == 1 {
            self.push(b'0' | u8::try_from(number % 10).unwrap_or_default());
        }
    }
}

/// Year, month and day of the proleptic Gregorian calendar; the day is in
/// `FIRST_DAY..=LAST_DAY`. The year starts in March here, so that the leap day
/// is its last day.
fn civil(day: i64) -> (u32, u32, u32) {
    let day = u32::try_from(day + 719_468).unwrap_or_default();
    let era = day / 146_097;
    let day = day % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let january = month >= 10;
    (era * 400 + year + u32::from(january), if january { month - 9 } else { month + 3 }, day_of_month)
}

/// Writes the last two digits of a number to a place of a text.
fn set_pair(text: &mut [u8], place: usize, number: u32) {
    let pair = usize::try_from(number % 100).ok().and_then(|pair| PAIRS.get(pair));
    if let (Some(slot), Some(pair)) = (text.get_mut(place..place + 2), pair) {
        slot.copy_from_slice(pair);
    }
}

/// Writes a day of `FIRST_DAY..=LAST_DAY` to the start of a text.
fn set_day(text: &mut [u8], day: i64) {
    let (year, month, day) = civil(day);
    set_pair(text, 0, year / 100);
    set_pair(text, 2, year);
    set_pair(text, 5, month);
    set_pair(text, 8, day);
}

/// A date as `YYYY-MM-DD`; none outside the years 1 to 9999.
pub(crate) fn date(day: i32) -> Option<Text> {
    let day = i64::from(day);
    (FIRST_DAY..=LAST_DAY).contains(&day).then(|| {
        let mut text = *b"0000-00-00";
        set_day(&mut text, day);
        Text::of(text)
    })
}

/// Midnight of a date, as a timestamp.
pub(crate) fn midnight(day: i32) -> Option<Text> {
    timestamp(i64::from(day).checked_mul(DAY)?)
}

/// A timestamp as `YYYY-MM-DDTHH:MM:SS.ffffffZ`; none outside the years 1 to
/// 9999.
pub(crate) fn timestamp(micros: i64) -> Option<Text> {
    let (day, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    if !(FIRST_DAY..=LAST_DAY).contains(&day) {
        return None;
    }
    // Both fit: a day has 86,400 seconds.
    let second = u32::try_from(rest / 1_000_000).unwrap_or_default();
    let fraction = u32::try_from(rest % 1_000_000).unwrap_or_default();
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    set_day(&mut text, day);
    set_pair(&mut text, 11, second / 3_600);
    set_pair(&mut text, 14, second / 60 % 60);
    set_pair(&mut text, 17, second % 60);
    set_pair(&mut text, 20, fraction / 10_000);
    set_pair(&mut text, 22, fraction / 100);
    set_pair(&mut text, 24, fraction);
    Some(Text::of(text))
}

/// A decimal with `scale` digits after the point and then `zeros` zeros;
/// none if it has more than `precision` digits.
pub(crate) fn decimal(value: i128, precision: u8, scale: u8, zeros: u8) -> Option<Text> {
    let magnitude = value.unsigned_abs();
    if magnitude >= 10_u128.checked_pow(u32::from(precision))? {
        return None;
    }
    let mut text = Text::new();
    for _ in 0..zeros {
        text.push(b'0');
    }
    let scale = u32::from(scale);
    let (whole, fraction) = split(magnitude, scale);
    push_wide(&mut text, fraction, scale);
    if scale > 0 || zeros > 0 {
        text.push(b'.');
    }
    push_wide(&mut text, whole, digits(whole));
    if value < 0 {
        text.push(b'-');
    }
    Some(text)
}

/// An integer with `zeros` zeros after the point.
pub(crate) fn integer(value: i64, zeros: u8) -> Option<Text> {
    decimal(i128::from(value), 19, 0, zeros)
}

fn split(magnitude: u128, scale: u32) -> (u128, u128) {
    match (u64::try_from(magnitude), 10_u64.checked_pow(scale)) {
        // Most decimals are small, and 64 bits divide much faster.
        (Ok(magnitude), Some(unit)) => (u128::from(magnitude / unit), u128::from(magnitude % unit)),
        _ => {
            let unit = 10_u128.checked_pow(scale).unwrap_or(u128::MAX);
            (magnitude / unit, magnitude % unit)
        }
    }
}

fn digits(number: u128) -> u32 {
    number.checked_ilog10().unwrap_or(0) + 1
}

fn push_wide(text: &mut Text, number: u128, count: u32) {
    match u64::try_from(number) {
        Ok(number) => text.push_digits(number, count),
        Err(_) => {
            let unit = 10_u128.pow(CHUNK);
            let low = u64::try_from(number % unit).unwrap_or_default();
            text.push_digits(low, count.min(CHUNK));
            push_wide(text, number / unit, count.saturating_sub(CHUNK));
        }
    }
}

/// The clock's time as a timestamp.
pub(crate) fn now() -> String {
    let text = timestamp(now_micros()).unwrap_or_else(Text::new);
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

/// The clock's time in microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_micros()).unwrap_or_default()
}

/// The text of a truth value.
pub(crate) fn boolean(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: Option<Text>) -> Option<String> {
        text.map(|text| String::from_utf8(text.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn dates_follow_the_calendar() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (-719_162, "0001-01-01"),
            (2_932_896, "9999-12-31"),
            (11_016, "2000-02-29"),
            (19_782, "2024-02-29"),
            (19_783, "2024-03-01"),
            (-25_508, "1900-03-01"),
            (-25_509, "1900-02-28"),
        ] {
            assert_eq!(text(date(day)).as_deref(), Some(expected));
        }
        assert_eq!(text(date(-719_163)), None);
        assert_eq!(text(date(2_932_897)), None);
        assert_eq!(text(date(i32::MIN)), None);
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut last = text(date(-719_162)).unwrap();
        for day in -719_161..=2_932_896 {
            let next = text(date(day)).unwrap();
            let (y, m, d) = civil(i64::from(day));
            let first = d == 1;
            let (py, pm, pd) = civil(i64::from(day) - 1);
            assert!(if first {
                pd >= 28 && (y, m) == if pm == 12 { (py + 1, 1) } else { (py, pm + 1) }
            } else {
                (y, m, d) == (py, pm, pd + 1)
            });
            assert!(last < next, "{last} {next}");
            last = next;
        }
        assert_eq!(last, "9999-12-31");
    }

    #[test]
    fn timestamps_have_one_width() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_704_067_200_000_001, "2024-01-01T00:00:00.000001Z"),
            (FIRST_DAY * DAY, "0001-01-01T00:00:00.000000Z"),
            (LAST_DAY * DAY + DAY - 1, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text(timestamp(micros)).as_deref(), Some(expected));
        }
        assert_eq!(text(timestamp(FIRST_DAY * DAY - 1)), None);
        assert_eq!(text(timestamp(LAST_DAY * DAY + DAY)), None);
        assert_eq!(text(timestamp(i64::MIN)), None);
        assert_eq!(text(timestamp(i64::MAX)), None);
        assert_eq!(text(midnight(1)).as_deref(), Some("1970-01-02T00:00:00.000000Z"));
    }

    #[test]
    fn decimals_keep_their_digits() {
        let nines = 10_i128.pow(38) - 1;
        for (value, precision, scale, zeros, expected) in [
            (0, 10, 2, 0, Some("0.00")),
            (5, 10, 2, 0, Some("0.05")),
            (-1250, 10, 2, 0, Some("-12.50")),
            (-1250, 10, 2, 3, Some("-12.50000")),
            (7, 5, 0, 0, Some("7")),
            (7, 5, 0, 2, Some("7.00")),
            (nines, 38, 0, 0, Some("99999999999999999999999999999999999999")),
            (-nines, 38, 38, 0, Some("-0.99999999999999999999999999999999999999")),
            (-nines, 38, 19, 0, Some("-9999999999999999999.9999999999999999999")),
            (10_i128.pow(20), 38, 38, 0, Some("0.00000000000000000100000000000000000000")),
            (10_i128.pow(37), 38, 1, 0, Some("1000000000000000000000000000000000000.0")),
            (nines + 1, 38, 0, 0, None),
            (i128::MIN, 38, 0, 0, None),
            (1000, 3, 0, 0, None),
        ] {
            assert_eq!(text(decimal(value, precision, scale, zeros)).as_deref(), expected, "{value}");
        }
        assert_eq!(text(integer(i64::MIN, 0)).as_deref(), Some("-9223372036854775808"));
        assert_eq!(text(integer(i64::MAX, 3)).as_deref(), Some("9223372036854775807.000"));
    }

    #[test]
    fn the_clock_has_the_same_shape() {
        assert_eq!(now().len(), "1970-01-01T00:00:00.000000Z".len());
    }
}
