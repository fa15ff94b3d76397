//! Folders of the host that the guest sees.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::failure::{Failure, FailureClass};

/// What the guest may do in a mounted folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read, write, create and delete.
    ReadWrite,
}

/// A folder of the host at a path of the guest: `DIR:/guest[:ro|:rw]`, read-only
/// unless it says `rw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The folder of the host.
    pub host: PathBuf,
    /// Where the guest sees it: absolute, normalized, not the scratch folder.
    pub guest: String,
    /// What the guest may do.
    pub access: Access,
}

/// Where the guest finds its scratch folder.
pub const SCRATCH: &str = "/work";

impl Mount {
    /// Whether the folder can be mounted; what is wrong with it otherwise.
    ///
    /// # Errors
    ///
    /// In the operator's words.
    pub fn check(&self) -> Result<(), Failure> {
        let why = match self.host.metadata() {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => "it is not a folder".to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "no such folder".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(self.refuse(&why))
    }

    /// A failure to mount the folder.
    pub(crate) fn refuse(&self, why: &str) -> Failure {
        let message = format!("cannot mount {}: {why}", self.host.display());
        Failure::new(FailureClass::Config, message).with_hint(format!(
            "create the folder, or change the mount '{self}' (--mount, or `mounts` in the configuration's sandbox section)"
        ))
    }

    /// The same mount with a relative folder taken from `base`.
    #[must_use]
    pub fn relative_to(mut self, base: &Path) -> Self {
        self.host = base.join(self.host);
        self
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        write!(f, "{}:{}:{access}", self.host.display(), self.guest)
    }
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write DIR:/guest, DIR:/guest:ro or DIR:/guest:rw";
        let (rest, access) = match text.rsplit_once(':') {
            Some((rest, "ro")) => (rest, Access::ReadOnly),
            Some((rest, "rw")) => (rest, Access::ReadWrite),
            _ => (text, Access::ReadOnly),
        };
        let (host, guest) =
            rest.rsplit_once(':').ok_or_else(|| format!("'{text}' names no guest path: {form}"))?;
        if host.is_empty() {
            return Err(format!("'{text}' names no folder: {form}"));
        }
        let plain = guest.strip_prefix('/').is_some_and(|path| {
            !path.is_empty()
                && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !guest.contains(char::is_control)
        });
        if !plain {
            return Err(format!(
                "the guest path '{guest}' must be absolute, without '.', '..' and empty parts: {form}"
            ));
        }
        if guest == SCRATCH || guest.starts_with("/work/") {
            return Err(format!("the guest path '{guest}' is taken by the scratch folder: choose another"));
        }
        Ok(Self { host: host.into(), guest: guest.to_owned(), access })
    }
}

impl Serialize for Mount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Mount {
    fn schema_name() -> Cow<'static, str> {
        "Mount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^.+:/.+$",
            "description": "A folder and where the guest sees it: DIR:/guest, DIR:/guest:ro or DIR:/guest:rw"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_round_trip_and_are_read_only_by_default() {
        for text in ["./in:/in:ro", "/srv/a b:/data/x:rw", "C:/x:/y:ro"] {
            assert_eq!(text.parse::<Mount>().unwrap().to_string(), text);
        }
        assert_eq!("in:/in".parse::<Mount>().unwrap().access, Access::ReadOnly);
    }

    #[test]
    fn mounts_that_make_no_sense_are_refused() {
        for text in ["", "in", ":/in", "in:", "in:relative", "in:/", "in:/a/../b", "in:/a//b", "in:/work"] {
            assert!(text.parse::<Mount>().is_err(), "{text}");
        }
    }
}
