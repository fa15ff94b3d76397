//! Files: of mounts, of the scratch folder, and of everything beyond.

use std::fs;
use std::io::{self, Write};

use crate::Outcome;
use crate::bindings::wasi::filesystem::preopens::get_directories;
use crate::parameters::Parameters;
use crate::rows::saw;

/// Tries one thing and writes down how it went.
pub(crate) fn act(p: &Parameters) -> Outcome {
    let (behaviour, path, text) = (p.text("Behaviour"), p.text("Path"), p.text("Text"));
    let done = |result: io::Result<()>| result.map(|()| "done".to_owned());
    let result = match behaviour.as_str() {
        "read" => fs::read_to_string(&path),
        "list" => fs::read_dir(&path).and_then(|entries| {
            let mut names: Vec<String> = entries
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<_>>()?;
            names.sort();
            Ok(names.join(" "))
        }),
        "save" => done(fs::write(&path, text)),
        "append_file" => done(
            fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .and_then(|mut file| file.write_all(text.as_bytes())),
        ),
        "truncate" => done(
            fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_len(p.number("Length", 0))),
        ),
        "delete" => done(fs::remove_file(&path)),
        "rename" => done(fs::rename(&path, p.text("To"))),
        "link" => done(fs::hard_link(&path, p.text("To"))),
        "symlink" => done(symlink(&path, &p.text("To"))),
        "folder" => done(fs::create_dir(&path)),
        other => panic!("there is nothing called {other} to do with files"),
    };
    let told = result.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::Other => format!("refused: {error}"),
        kind => format!("refused: {kind:?}"),
    });
    saw(&format!("{behaviour} {path}"), &told)
}

/// The standard library's own is unstable.
fn symlink(path: &str, to: &str) -> io::Result<()> {
    for (folder, name) in get_directories() {
        if let Some(below) = path.strip_prefix(&format!("{name}/")) {
            return folder.symlink_at(to, below).map_err(|code| io::Error::other(code.name()));
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Writes so many MiB into one file of the scratch folder.
pub(crate) fn scratch_bytes(mib: u64) -> Outcome {
    let mut file = fs::File::create("/work/flood").unwrap();
    let block = vec![7_u8; 1 << 20];
    let written = (0..mib).find(|_| file.write_all(&block).is_err());
    match written {
        None => saw("scratch", "wrote everything"),
        Some(n) => Err(crate::plain(crate::ErrorKind::Internal, &format!("no space after {n} MiB"))),
    }
}

/// Makes so many files in the scratch folder.
pub(crate) fn scratch_files(files: u64) -> Outcome {
    for n in 0..files {
        if fs::write(format!("/work/{n}"), "").is_err() {
            return Err(crate::plain(crate::ErrorKind::Internal, &format!("no file after {n}")));
        }
    }
    saw("scratch", "made every file")
}
