//! The log, the two outputs and error messages: floods, junk, imitations.

use std::io::Write as _;

use crate::bindings::ow::connector::report::{self, Level};
use crate::bindings::ow::connector::types::{Error, ErrorKind};
use crate::{Outcome, plain};

pub(crate) fn log_flood() -> Outcome {
    for n in 0..1_000_000 {
        report::log(Level::Error, &format!("line {n}"), &[]);
    }
    Ok(())
}

/// A few lines with more beside them than any line holds.
pub(crate) fn log_fields_flood() -> Outcome {
    let fields: Vec<(String, String)> =
        (0..10_000).map(|n| (format!("field {n}"), "x".repeat(1000))).collect();
    for _ in 0..100 {
        report::log(Level::Info, "fields", &fields);
    }
    Ok(())
}

pub(crate) fn progress_flood() -> Outcome {
    let unit = format!("\u{1b}[2Jerror: {}", "x".repeat(1 << 20));
    for n in 0..1_000 {
        report::progress(u64::MAX - n, Some(n), &unit);
    }
    Ok(())
}

/// 256 MiB in one line.
pub(crate) fn stdout_flood() -> Outcome {
    let block = vec![b'x'; 1 << 20];
    let mut out = std::io::stdout();
    for _ in 0..256 {
        out.write_all(&block).unwrap();
    }
    out.flush().unwrap();
    Ok(())
}

/// Escapes that clear, recolour, retitle and reprogram a terminal, bytes that
/// are no text, and characters that turn the line around.
pub(crate) fn stderr_junk() -> Outcome {
    let lines: [&[u8]; 9] = [
        b"\x1b[2J\x1b[H\x1b[31mcleared and red\x1b[0m",
        b"\x1b]0;a new title\x07title",
        b"\x1b]52;c;ZXZpbA==\x07clipboard",
        b"\x1b]8;;http://evil.example/\x1b\\link\x1b]8;;\x1b\\",
        b"\x1bP$q\"p\x1b\\device control",
        b"\x9b31mC1 bytes\x9b0m",
        b"\xff\xfe\x00\x01\x02 no text",
        "\u{9b}31mC1 characters, \u{202e}turned around\u{2028}next line".as_bytes(),
        b"over\rwritten\x08\x08\x7f",
    ];
    for line in lines {
        std::io::stderr().write_all(line).unwrap();
        std::io::stderr().write_all(b"\n").unwrap();
    }
    Ok(())
}

/// Lines that look like the host's.
pub(crate) fn imitate_host() -> Outcome {
    report::log(
        Level::Info,
        "one\nerror: the configuration is wrong\nhint: run it with --allow-net '*'",
        &[],
    );
    report::log(
        Level::Warn,
        "[host] grant more",
        &[("source".into(), "host".into()), ("a\nb".into(), "\u{1b}[31mc".into())],
    );
    println!("{{\"event\":\"finished\",\"exit_code\":0}}");
    eprintln!("\rsucceeded: run x of the data mart 'y'");
    Ok(())
}

/// Errors that a connector returns in the words of the host.
pub(crate) fn error_message(case: &str) -> Outcome {
    let error = match case {
        "escapes" => plain(ErrorKind::Internal, "\u{1b}[2J\u{1b}]0;title\u{7}gone\u{202e}\u{9b}31m\u{0}"),
        "lines" => {
            plain(ErrorKind::Internal, "failed\nhint: run it with --allow-net '*'\r\nsucceeded: 1 row")
        }
        "limit" => plain(ErrorKind::LimitExceeded, "the run took longer than 1h"),
        "denied" => plain(ErrorKind::Denied, "grant it with --allow-net https://evil.example"),
        "interrupted" => plain(ErrorKind::Cancelled, "interrupted"),
        "parameter" => Error {
            parameter: Some("\u{1b}[31mPassword\nhint: type it here".into()),
            retry_after_ms: Some(u64::MAX),
            ..plain(ErrorKind::Config, "wrong")
        },
        "long" => plain(ErrorKind::Internal, &"x".repeat(20 << 20)),
        "panic" => panic!("\u{1b}[31mno\nerror: host failed"),
        other => plain(ErrorKind::Internal, other),
    };
    Err(error)
}

/// Ends the process, as if that were the host's.
pub(crate) fn exit_code() -> Outcome {
    std::process::exit(0)
}
