//! How times and days are written in requests.

use ow_connector::prelude::*;

/// A way to write a time: a name, or a pattern with `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format(String);

/// What a pattern may hold.
const KNOWN: &str = "%Y, %m, %d, %H, %M, %S, %f (microseconds), %s (seconds since 1970) and %%";

impl Format {
    /// Reads a name or a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let pattern = match text {
            "date" => "%Y-%m-%d",
            "timestamp" => "%Y-%m-%dT%H:%M:%SZ",
            "unix" => "%s",
            "unix-millis" => "%s000",
            _ if text.contains('%') => text,
            _ => {
                return Err(Error::config(format!(
                    "`{text}` is no way to write a time: there is `date`, `timestamp`, `unix`, `unix-millis`, or a \
                     pattern of {KNOWN}"
                )));
            }
        };
        let mut codes = pattern.split('%').skip(1);
        while let Some(code) = codes.next() {
            match code.chars().next() {
                Some('Y' | 'm' | 'd' | 'H' | 'M' | 'S' | 'f' | 's') => {}
                None if codes.next().is_some() => {}
                _ => {
                    return Err(Error::config(format!("the pattern `{text}` is wrong: it may hold {KNOWN}")));
                }
            }
        }
        Ok(Self(pattern.to_owned()))
    }

    /// A moment, written so; what the pattern leaves out is cut off.
    pub(crate) fn write(&self, time: Timestamp) -> String {
        let (year, month, day) = time.date().civil();
        let of_day = time.seconds().rem_euclid(86_400);
        let mut text = String::new();
        let mut rest = self.0.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match rest.next() {
                Some('Y') => text.push_str(&format!("{year:04}")),
                Some('m') => text.push_str(&format!("{month:02}")),
                Some('d') => text.push_str(&format!("{day:02}")),
                Some('H') => text.push_str(&format!("{:02}", of_day / 3600)),
                Some('M') => text.push_str(&format!("{:02}", of_day / 60 % 60)),
                Some('S') => text.push_str(&format!("{:02}", of_day % 60)),
                Some('f') => text.push_str(&format!("{:06}", time.micros().rem_euclid(1_000_000))),
                Some('s') => text.push_str(&time.seconds().to_string()),
                _ => text.push('%'),
            }
        }
        text
    }

    /// The days of a range: its first moment, and its last one or the first after it.
    pub(crate) fn range(&self, range: DateRange, end_exclusive: bool) -> (String, String) {
        let after = (range.end + 1).midnight();
        let end = if end_exclusive { after } else { Timestamp::from_micros(after.micros() - 1) };
        (self.write(range.start.midnight()), self.write(end))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what fails here fails the test")]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        let time: Timestamp = "2024-02-29T03:04:05.06Z".parse().unwrap();
        for (format, want) in [
            ("date", "2024-02-29"),
            ("timestamp", "2024-02-29T03:04:05Z"),
            ("unix", "1709175845"),
            ("unix-millis", "1709175845000"),
            ("%d.%m.%Y %H:%M:%S.%f", "29.02.2024 03:04:05.060000"),
            ("100%% %s", "100% 1709175845"),
        ] {
            assert_eq!(Format::parse(format).unwrap().write(time), want);
        }
        for wrong in ["iso", "%y", "%", "%Y-%", ""] {
            assert!(Format::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_ends_of_a_range() {
        let range = DateRange { start: "2024-02-28".parse().unwrap(), end: "2024-02-29".parse().unwrap() };
        let write = |format: &str, exclusive| Format::parse(format).unwrap().range(range, exclusive);
        assert_eq!(write("date", false), ("2024-02-28".to_owned(), "2024-02-29".to_owned()));
        assert_eq!(write("date", true).1, "2024-03-01");
        assert_eq!(write("timestamp", false).1, "2024-02-29T23:59:59Z");
        assert_eq!(write("timestamp", true).1, "2024-03-01T00:00:00Z");
        assert_eq!(write("unix", false), ("1709078400".to_owned(), "1709251199".to_owned()));
    }
}
