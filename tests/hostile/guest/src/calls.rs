//! The host's own memory: handles, what hangs on them, and what calls hand over.

use serde_json::json;

use crate::behaviours::act;
use crate::bindings::ow::connector::report::{self, Level};
use crate::bindings::ow::connector::state;
use crate::bindings::ow::connector::storage::{self, Batch, WriteMode};
use crate::bindings::ow::connector::types::DataType;
use crate::bindings::wasi::filesystem::preopens::get_directories;
use crate::bindings::wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use crate::bindings::wasi::http::types::{Fields, OutgoingBody, OutgoingRequest};
use crate::rows::{field, saw, stream};
use crate::{Outcome, Parameters};

/// What a case opens, and keeps.
pub(crate) fn million_handles(case: &str) -> Outcome {
    const MILLION: u64 = 1_000_000;
    match case {
        "requests" => keep(MILLION, |_| OutgoingRequest::new(Fields::new())),
        "folders" => {
            let work = folder();
            keep(MILLION, |_| work.read_directory().map(drop).and_then(|()| work.read_directory()).unwrap())
        }
        other => act(other, &Parameters::of(json!({ "Count": MILLION }))),
    }
}

fn keep<T>(count: u64, open: impl FnMut(u64) -> T) -> Outcome {
    let kept: Vec<T> = (0..count).map(open).collect();
    saw("kept", &kept.len().to_string())
}

/// The scratch folder.
fn folder() -> Descriptor {
    get_directories().into_iter().find(|(_, name)| name == "/work").unwrap().0
}

/// Handles, each with as much of the host's memory behind it as it can have.
pub(crate) fn host_buffers(case: &str) -> Outcome {
    const MANY: u64 = 100_000;
    match case {
        "headers" => {
            let value = vec![b'x'; 120 * 1024];
            keep(MANY, |_| Fields::from_list(&[("x-long".to_owned(), value.clone())]).unwrap())
        }
        "small_headers" => {
            let entries: Vec<_> = (0..1500).map(|n| (format!("x-{n}"), vec![b'x'])).collect();
            keep(MANY, |_| Fields::from_list(&entries).unwrap())
        }
        "file_streams" => {
            std::fs::write("/work/large", vec![7; 256 * 1024]).unwrap();
            let file = folder()
                .open_at(PathFlags::empty(), "large", OpenFlags::empty(), DescriptorFlags::READ)
                .unwrap();
            keep(MANY, |_| {
                let stream = file.read_via_stream(0).unwrap();
                stream.subscribe().block();
                stream
            })
        }
        "request_bodies" => {
            let piece = vec![b'x'; 64 * 1024];
            keep(MANY, |_| {
                let request = OutgoingRequest::new(Fields::new());
                let body: OutgoingBody = request.body().unwrap();
                let stream = body.write().unwrap();
                for _ in 0..2 {
                    if let Ok(room @ 1..) = stream.check_write() {
                        stream.write(&piece[..usize::try_from(room).unwrap().min(piece.len())]).unwrap();
                    }
                }
                (request, body, stream)
            })
        }
        other => panic!("there is no case {other}"),
    }
}

/// More headers than a request may have.
pub(crate) fn header_flood(case: &str) -> Outcome {
    let fields = Fields::new();
    let refused = match case {
        "many" => (0..1_000_000).find_map(|n| Some((n, fields.append(&format!("x-{n}"), b"x").err()?))),
        "one_name" => (0..1_000_000).find_map(|n| Some((n, fields.append("x", &[b'x'; 1000]).err()?))),
        "large" => (0..1).find_map(|n| Some((n, fields.append("x-large", &vec![b'x'; 1 << 20]).err()?))),
        other => panic!("there is no case {other}"),
    };
    saw("refused", &refused.map_or_else(|| "never".to_owned(), |(n, why)| format!("after {n}: {why:?}")))
}

/// More than one call may hand over, in each argument of each import.
pub(crate) fn huge_argument(case: &str) -> Outcome {
    let text = || "x".repeat(33 << 20);
    match case {
        "log_message" => report::log(Level::Info, &text(), &[]),
        "log_fields" => report::log(Level::Info, "", &vec![(String::new(), String::new()); 3_000_000]),
        "progress_unit" => report::progress(1, None, &text()),
        "state_key" => state::set(&text(), "1")?,
        "state_value" => state::set("large", &format!("\"{}\"", text()))?,
        "state_get" => drop(state::get(&text())),
        "stream_name" => drop(storage::open(&stream(&text(), vec![], &[]), WriteMode::Append)?),
        "stream_fields" => {
            let fields = vec![field("", DataType::Text, true); 1_000_000];
            storage::open(&stream("s", fields, &[]), WriteMode::Append)?;
        }
        "primary_key" => {
            let key = vec![""; 3_000_000];
            storage::open(&stream("s", vec![field("a", DataType::Text, false)], &key), WriteMode::Merge)?;
        }
        "json_lines" => {
            let table = stream("s", vec![field("a", DataType::Text, true)], &[]);
            storage::open(&table, WriteMode::Append)?.write(&Batch::JsonLines(text().into_bytes()))?;
        }
        "header_value" => drop(Fields::from_list(&[("x".to_owned(), text().into_bytes())])),
        "header_list" => drop(Fields::from_list(&vec![(String::new(), Vec::new()); 3_000_000])),
        "request_path" => {
            let _ = OutgoingRequest::new(Fields::new()).set_path_with_query(Some(&text()));
        }
        "file_path" => {
            let _ = std::fs::write(format!("/work/{}", text()), "");
        }
        "file_bytes" => {
            let bytes = text().into_bytes();
            let file =
                folder().open_at(PathFlags::empty(), "f", OpenFlags::CREATE, DescriptorFlags::WRITE).unwrap();
            let _ = file.write(&bytes, 0);
        }
        other => panic!("there is no case {other}"),
    }
    saw(case, "was taken")
}
