//! Files: out of a mount, through a link, into what is read-only, beyond the
//! quota of the scratch folder.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};

use serde_json::json;

use crate::bindings::wasi::filesystem::preopens::get_directories;
use crate::rows::saw;
use crate::words::plain;
use crate::{ErrorKind, Outcome, Parameters, files};

/// One operation, and what came of it.
fn step(behaviour: &str, path: &str, to: &str) -> Outcome {
    files::act(&Parameters::of(json!({ "Behaviour": behaviour, "Path": path, "To": to, "Text": "hostile" })))
}

fn read(path: &str) -> Outcome {
    step("read", path, "")
}

/// The mount `/in` may be written; `../outside/secret.txt` beside it is what is
/// wanted.
pub(crate) fn path_escape(case: &str) -> Outcome {
    let (behaviour, paths): (&str, &[&str]) = match case {
        "dots" => (
            "read",
            &[
                "/in/../outside/secret.txt",
                "/in/sub/../../outside/secret.txt",
                "/in/./../outside/secret.txt",
                "/in//..//outside//secret.txt",
                "/in/sub/../../../../../../../../etc/passwd",
                "/work/../outside/secret.txt",
                "/in/..",
                "/in/..\\outside\\secret.txt",
                "/in/%2e%2e/outside/secret.txt",
            ],
        ),
        "absolute" => (
            "read",
            &[
                "/etc/passwd",
                "//etc/passwd",
                "/proc/self/environ",
                "/proc/1/root/etc/passwd",
                "/dev/mem",
                "/",
                ".",
            ],
        ),
        "trailing_slashes" => (
            "read",
            &[
                "/in/inside.txt/",
                "/in/to-secret/",
                "/in/to-outside/",
                "/in/to-outside/secret.txt/",
                "/in/../",
            ],
        ),
        "writes" => (
            "save",
            &[
                "/in/../outside/new.txt",
                "/in/to-outside/new.txt",
                "/in/to-secret",
                "/in/absolute",
                "/new.txt",
            ],
        ),
        "removals" => ("delete", &["/in/../outside/secret.txt", "/in/to-outside/secret.txt"]),
        "strange" => {
            ("read", &["", "/in/\0", "/in/inside.txt\0/../../outside/secret.txt", "/in/\n", "CON", "C:\\"])
        }
        other => panic!("there is no case {other}"),
    };
    paths.iter().try_for_each(|path| step(behaviour, path, ""))
}

/// Links: those that others left in the mount, and those that the guest makes.
pub(crate) fn links_inside() -> Outcome {
    for path in ["/in/to-secret", "/in/to-outside/secret.txt", "/in/absolute", "/in/loop", "/in/proc/environ"]
    {
        read(path)?;
    }
    for (path, to) in [("/in/mine", "../outside/secret.txt"), ("/in/mine-absolute", "/etc/passwd")] {
        step("symlink", path, to)?;
        read(path)?;
    }
    step("symlink", "/work/mine", "../../etc/passwd")?;
    // A link to a link that leads out; a hard link to what a link leads to.
    step("symlink", "/in/mine-again", "mine")?;
    read("/in/mine-again")?;
    step("link", "/in/to-secret", "/in/hard")?;
    read("/in/hard")?;
    step("link", "/in/to-outside/secret.txt", "/in/harder")?;
    step("link", "/in/../outside/secret.txt", "/in/hardest")?;
    step("link", "/in/inside.txt", "/in/../outside/planted.txt")?;
    step("rename", "/in/inside.txt", "/in/../outside/planted.txt")?;
    step("rename", "/in/inside.txt", "/in/to-outside/planted.txt")?;
    step("rename", "/in/../outside/secret.txt", "/in/mine.txt")
}

/// Somebody else swaps `/in/swapped` between a folder and a link to the outside
/// while this reads and writes below it.
pub(crate) fn race_of_links() -> Outcome {
    let (mut inside, mut refused) = (0, 0);
    for _ in 0..20_000 {
        match fs::read_to_string("/in/swapped/secret.txt") {
            Ok(text) if text == "inside" => inside += 1,
            Ok(text) => return saw("read", &text),
            Err(_) => refused += 1,
        }
        let _ = fs::write("/in/swapped/planted.txt", "hostile");
    }
    if inside == 0 || refused == 0 {
        return Err(plain(ErrorKind::Internal, &format!("no race: {inside} inside, {refused} refused")));
    }
    saw("race", "nothing from outside")
}

/// Every way to change what is read-only.
pub(crate) fn write_read_only() -> Outcome {
    for (behaviour, path, to) in [
        ("save", "/ro/file.txt", ""),
        ("save", "/ro/new.txt", ""),
        ("append_file", "/ro/file.txt", ""),
        ("truncate", "/ro/file.txt", ""),
        ("delete", "/ro/file.txt", ""),
        ("rename", "/ro/file.txt", "/ro/other.txt"),
        ("rename", "/ro/file.txt", "/in/stolen.txt"),
        ("link", "/ro/file.txt", "/ro/other.txt"),
        ("link", "/ro/file.txt", "/in/linked.txt"),
        ("symlink", "/ro/pointer", "file.txt"),
        ("folder", "/ro/folder", ""),
        ("save", "/in/inside.txt", ""),
    ] {
        step(behaviour, path, to)?;
    }
    // Times too are content.
    let (ro, _) = get_directories().into_iter().find(|(_, name)| name == "/ro").unwrap();
    let file = fs::File::open("/ro/file.txt").unwrap();
    let touched = file.set_modified(std::time::UNIX_EPOCH).map_err(|error| error.kind());
    saw("touch /ro/file.txt", &format!("{touched:?}"))?;
    saw("remove /ro", &format!("{:?}", ro.remove_directory_at(".")))
}

/// Files and folders that are hard to remove.
pub(crate) fn leave_files() -> Outcome {
    let mut folder = "/work".to_owned();
    for _ in 0..64 {
        folder.push_str("/deeper");
        fs::create_dir(&folder).unwrap();
        for name in ["file", "..file", "-rf", "line\nbreak"] {
            let path = format!("{folder}/{name}");
            fs::write(&path, "left behind").unwrap();
            let mut permissions = fs::metadata(&path).unwrap().permissions();
            permissions.set_readonly(true);
            let _ = fs::set_permissions(&path, permissions);
        }
    }
    // Still open at the end.
    std::mem::forget(fs::File::open(format!("{folder}/file")).unwrap());
    Ok(())
}

/// The scratch folder, filled in each way there is.
pub(crate) fn scratch_flood(case: &str) -> Outcome {
    let told = |what: &str, n: usize, error: std::io::Error| {
        Err(plain(ErrorKind::Internal, &format!("{what} {n}: {:?}", error.kind())))
    };
    match case {
        "bytes" => files::scratch_bytes(1 << 20),
        "files" => files::scratch_files(1 << 20),
        "sparse" => {
            let file = fs::File::create("/work/sparse").unwrap();
            match file.set_len(1 << 40) {
                Ok(()) => saw("sparse", "a terabyte"),
                Err(error) => told("sparse", 0, error),
            }
        }
        "far_write" => {
            let mut file = fs::File::create("/work/far").unwrap();
            file.seek(SeekFrom::Start(1 << 40)).unwrap();
            match file.write_all(b"x") {
                Ok(()) => saw("far", "a terabyte"),
                Err(error) => told("far", 0, error),
            }
        }
        // Files that are in no folder any more, but open.
        "unlinked" => {
            let mut kept = Vec::new();
            for n in 0..1000 {
                let mut file = fs::File::create("/work/unlinked").unwrap();
                if let Err(error) = file.write_all(&vec![7; 1 << 20]) {
                    return told("unlinked", n.min(64), error);
                }
                fs::remove_file("/work/unlinked").unwrap();
                kept.push(file);
            }
            saw("unlinked", "all of them")
        }
        "folders" => {
            let mut path = "/work".to_owned();
            for n in 0..100_000 {
                path.push_str("/d");
                if let Err(error) = fs::create_dir(&path) {
                    return saw("folders", &format!("{n} deep: {:?}", error.kind()));
                }
            }
            saw("folders", "as deep as it likes")
        }
        "long_names" => {
            let refused = fs::write(format!("/work/{}", "n".repeat(100_000)), "").err().map(|e| e.kind());
            saw("a long name", &format!("{refused:?}"))?;
            (0..1 << 20).try_for_each(|n| {
                fs::write(format!("/work/{n:0>250}"), "").or_else(|error| told("files", 0, error))
            })
        }
        other => panic!("there is no case {other}"),
    }
}

/// The scratch folders of the runs beside this one.
pub(crate) fn other_scratch() -> Outcome {
    for path in ["/work/..", "/work/../", "/work/../..", "/", "/tmp", "/work/./.."] {
        step("list", path, "")?;
    }
    step("list", "/work", "")?;
    step("symlink", "/work/up", "..")?;
    step("rename", "/work/marker", "/work/../planted")
}
