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
        text.parse::<bytesize::ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| {
            format!("'{text}' is no size: write a number and a unit, such as '64KiB', '256MiB' or '1GiB'")
        })
    }
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
        humantime::parse_duration(text).map(Self).map_err(|_| {
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

as_text!(ByteSize, "ByteSize", "^[0-9]+(\\.[0-9]+)? ?([KMGT]i?)?B?$", "A size: 64KiB, 256MiB, 1GiB");
as_text!(Duration, "Duration", "^[0-9].*$", "A span of time: 500ms, 30s, 1h");

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
    fn durations_round_trip() {
        for text in ["500ms", "30s", "15m", "1h", "1h 30m"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert!("soon".parse::<Duration>().unwrap_err().contains("'soon' is no span of time"));
    }
}
