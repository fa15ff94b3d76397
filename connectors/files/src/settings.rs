//! The configuration, and what it says of each stream.

use std::collections::BTreeMap;

use ow_connector::prelude::*;

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// The folder to read, as the connector sees it: mount it with `--mount DIR:/data`.
    #[serde(default = "Settings::directory")]
    pub(crate) directory: String,
    /// The streams and their files. Without it each file of the folder is a stream named after it, and each
    /// folder in it is one with all files below it.
    #[serde(default)]
    pub(crate) streams: Vec<StreamSettings>,
    /// Rows of a file from which columns and types are inferred.
    #[serde(default = "Settings::sample_rows")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) sample_rows: u32,
    /// Files of a stream from which columns and types are inferred: new ones first, spread over all.
    #[serde(default = "Settings::sample_files")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) sample_files: u32,
}

impl Settings {
    fn directory() -> String {
        "/data".to_owned()
    }

    fn sample_rows() -> u32 {
        1000
    }

    fn sample_files() -> u32 {
        100
    }
}

/// A stream: which files, and how they are read.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct StreamSettings {
    /// The stream's name, which names its table.
    pub(crate) name: String,
    /// Which files, from the folder on: `orders/*.csv`, `2024/**/*.parquet`. `*` and `?` stand for characters
    /// of a name, `**` for any number of folders.
    pub(crate) path: String,
    /// The format of the files. Auto goes by their names.
    #[serde(default)]
    pub(crate) format: Format,
    /// The fields that identify a row: rows are merged by them. Without it rows are added.
    #[serde(default)]
    pub(crate) primary_key: Vec<String>,
    /// The columns. Without it they are inferred; with it, no others are read.
    #[serde(default)]
    pub(crate) fields: Vec<FieldSettings>,
    /// Types of some columns in place of the inferred ones: `{"zip": "text"}`.
    #[serde(default)]
    pub(crate) types: BTreeMap<String, String>,
    /// What stands between the values of a CSV file: one character, or `tab`. Without it, that of `,` `;` tab
    /// and `|` which is most often in the first line.
    #[serde(default)]
    pub(crate) delimiter: Option<String>,
    /// Whether a CSV file's first line names its columns. Without it they are those of `Fields`, else
    /// `column_1` and so on.
    #[serde(default = "yes")]
    pub(crate) header: bool,
    /// Values of a CSV file that mean that there is none.
    #[serde(default = "StreamSettings::null_values")]
    pub(crate) null_values: Vec<String>,
    /// Whether spaces around the values of a CSV file are no part of them.
    #[serde(default)]
    pub(crate) trim: bool,
    /// A column with the file in which the row stands.
    #[serde(default)]
    pub(crate) file_field: Option<String>,
    /// A column with the row's number in its file, from 1 on. With `FileField` it makes a primary key for
    /// files that have none.
    #[serde(default)]
    pub(crate) row_field: Option<String>,
}

fn yes() -> bool {
    true
}

impl StreamSettings {
    fn null_values() -> Vec<String> {
        vec![String::new()]
    }

    /// A stream of which nothing is said.
    pub(crate) fn plain(name: String) -> Self {
        Self { name, header: true, null_values: Self::null_values(), ..Self::default() }
    }

    /// The delimiter of CSV files, where it is said.
    pub(crate) fn delimiter(&self) -> Result<Option<u8>> {
        let Some(text) = self.delimiter.as_deref() else { return Ok(None) };
        match text.as_bytes() {
            b"tab" | b"\\t" => Ok(Some(b'\t')),
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(Some(*byte)),
            _ => Err(self.wrong(format_args!("the delimiter `{text}` is not one ASCII character or `tab`"))),
        }
    }

    /// An error in this part of the configuration.
    pub(crate) fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::config(format!("stream `{}`: {what}", self.name)).parameter("Streams")
    }
}

/// The format of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// By the file's name.
    #[default]
    Auto,
    /// Values between delimiters: `.csv`, `.tsv`.
    Csv,
    /// An array of objects, one object, or objects one after another: `.json`, `.jsonl`, `.ndjson`.
    Json,
    /// The same; for lines.
    Jsonl,
    /// Apache Parquet: `.parquet`.
    Parquet,
}

/// A declared column.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct FieldSettings {
    /// The column's name in the table.
    pub(crate) name: String,
    /// Its type: `boolean`, `int64`, `float64`, `decimal(12,2)`, `text`, `date`, `timestamp`, `json`, `bytes`.
    pub(crate) r#type: String,
    /// Its name in the files, where that is another.
    #[serde(default)]
    pub(crate) from: Option<String>,
}

/// A type as the configuration writes it.
pub(crate) fn parse_type(text: &str) -> Option<DataType> {
    let text = text.trim();
    let simple = match text {
        "boolean" => Some(DataType::Boolean),
        "int64" => Some(DataType::Int64),
        "float64" => Some(DataType::Float64),
        "text" => Some(DataType::Text),
        "bytes" => Some(DataType::Bytes),
        "date" => Some(DataType::Date),
        "timestamp" => Some(DataType::Timestamp),
        "json" => Some(DataType::Json),
        _ => None,
    };
    simple.or_else(|| {
        let (precision, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
        let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
        (1..=38).contains(&precision).then_some(())?;
        (scale <= precision).then_some(DataType::Decimal { precision, scale })
    })
}

/// A type as the configuration writes it.
pub(crate) fn type_name(data_type: DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        DataType::Text => "text".to_owned(),
        DataType::Bytes => "bytes".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Timestamp => "timestamp".to_owned(),
        DataType::Json => "json".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_they_are_read() {
        for text in
            ["boolean", "int64", "float64", "decimal(12,2)", "text", "bytes", "date", "timestamp", "json"]
        {
            assert_eq!(parse_type(text).map(type_name).as_deref(), Some(text));
        }
        for bad in ["", "int", "decimal", "decimal(39,2)", "decimal(2,3)", "decimal(0,0)", "Text"] {
            assert_eq!(parse_type(bad), None, "{bad}");
        }
    }
}
