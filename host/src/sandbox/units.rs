//! Sizes and durations as people write them: `256MiB`, `1h`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes: `512`, `64KiB`, `256MiB`, `1GiB`, `10MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// That many times 1,024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// That many times 1,048,576 bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self::kib(n * 1024)
    }

    /// That many times 1,073,741,824 bytes.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self::mib(n * 1024)
    }

    /// That many bytes.
    #[must_use]
    pub const fn bytes(n: u64) -> Self {
        Self(n)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes, as far as the machine's addresses reach.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        for (unit, shift) in UNITS {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = is_size(text).then(|| text.parse::<bytesize::ByteSize>().ok()).flatten();
        size.map(|size| Self(size.as_u64())).ok_or_else(|| {
            format!("'{text}' is no size: write a number and a unit, such as '64KiB', '256MiB' or '1GiB'")
        })
    }
}

/// Whether a text fits the pattern that the schemas have; the crate `bytesize`
/// takes more.
fn is_size(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let scale = unit.strip_suffix('b').unwrap_or(&unit);
    digits(whole)
        && digits(fraction)
        && matches!(scale, "" | "k" | "m" | "g" | "t" | "ki" | "mi" | "gi" | "ti")
}

/// A span of time: `500ms`, `30s`, `15m`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// That many seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(std::time::Duration::from_secs(n))
    }

    /// That many hours.
    #[must_use]
    pub const fn hours(n: u64) -> Self {
        Self::secs(n * 3600)
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What the schemas' pattern says; the crate `humantime` takes more.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ' ' | '\u{b5}');
        let fits = text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(plain);
        let duration = fits.then(|| humantime::parse_duration(text).ok()).flatten();
        duration.map(Self).ok_or_else(|| {
            format!("'{text}' is no span of time: write a number and a unit, such as '500ms', '30s' or '1h'")
        })
    }
}

macro_rules! as_text {
    ($type:ty, $name:literal, $pattern:literal, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $description})
            }
        }
    };
}

as_text!(
    ByteSize,
    "ByteSize",
    "^[0-9]+(\\.[0-9]+)? ?([KMGTkmgt][Ii]?)?[Bb]?$",
    "A size: 64KiB, 256MiB, 1GiB"
);
as_text!(Duration, "Duration", "^[0-9][0-9A-Za-z. \u{b5}]*$", "A span of time: 500ms, 30s, 1h");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for text in ["0B", "512B", "64KiB", "256MiB", "1GiB", "3TiB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert_eq!("10MB".parse::<ByteSize>().unwrap().get(), 10_000_000);
        assert_eq!("1000".parse::<ByteSize>().unwrap().get(), 1000);
        assert!("lots".parse::<ByteSize>().unwrap_err().contains("'lots' is no size"));
        assert!("-1MiB".parse::<ByteSize>().is_err());
    }

    #[test]
    fn what_is_taken_fits_the_pattern_of_the_schema() {
        let validator = |schema: Schema| crate::config::spec::validator(&schema.to_value()).unwrap();
        let mut generator = SchemaGenerator::default();
        let size = validator(ByteSize::json_schema(&mut generator));
        let duration = validator(Duration::json_schema(&mut generator));
        for text in ["63Mib", "1.5 gb", "0", "7 KiB", "5b", "3ki"] {
            assert!(text.parse::<ByteSize>().is_ok() && size.is_valid(&text.into()), "{text}");
        }
        for text in
            ["+5", "1.", ".5", "1  KiB", "1\tKiB", " 1KiB", "1KiB ", "1KB\n", "2EiB", "", "KiB", "1.2.3"]
        {
            assert!(text.parse::<ByteSize>().is_err() && !size.is_valid(&text.into()), "{text}");
        }
        for text in ["1h30m", "1.5h", "10 s", "5\u{b5}s"] {
            assert!(text.parse::<Duration>().is_ok() && duration.is_valid(&text.into()), "{text}");
        }
        for text in [" 1h", "1h\n", "1\th", ".5h", ""] {
            assert!(text.parse::<Duration>().is_err() && !duration.is_valid(&text.into()), "{text:?}");
        }
    }

    #[test]
    fn durations_round_trip() {
        for text in ["500ms", "30s", "15m", "1h", "1h 30m"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert!("soon".parse::<Duration>().unwrap_err().contains("'soon' is no span of time"));
    }
}
