//! The storage's folder: paths below it, and what makes them durable.
//!
//! Every path is relative to the folder, with `/` between its parts. No part may
//! be a link: it would lead writes elsewhere. Everything that changes the disk
//! passes through here or through the ledger, and asks [`fault`] first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::trouble::Trouble;

/// Lets tests stop the storage between any two steps.
#[cfg(not(test))]
pub(super) mod fault {
    pub(in super::super) fn step() -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod fault {
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// After so many steps nothing works any more, as if the process had died.
    pub(in super::super) fn stop_after(steps: u32) {
        LEFT.set(Some(steps));
    }

    /// Back to life; answers whether the end had been reached.
    pub(in super::super) fn revive() -> bool {
        LEFT.take() == Some(0)
    }

    pub(in super::super) fn step() -> std::io::Result<()> {
        match LEFT.get() {
            Some(0) => Err(std::io::Error::other("the process has died")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The storage's folder.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: PathBuf,
}

impl Place {
    /// The folder at a path; it is created where its parent is there.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        if !exists(path)? {
            create(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Trouble::place(format!(
                    "folder `{}` does not exist and neither does the folder above it; create it, or set `Path` to another place",
                    path.display()
                )),
                _ => Trouble::Disk(path.to_owned(), error),
            })?;
        }
        Self::existing(path)
    }

    /// The folder at a path, which is there.
    pub(super) fn existing(path: &Path) -> Result<Self, Trouble> {
        let root = path.canonicalize().map_err(|error| Trouble::Disk(path.to_owned(), error))?;
        if !root.is_dir() {
            return Err(Trouble::place(format!("`{}` is a file; set `Path` to a folder", path.display())));
        }
        Ok(Self { root })
    }

    /// The full path of a path in the folder.
    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// What a path in the folder is; none if there is nothing. A link is
    /// refused.
    pub(super) fn look(&self, relative: &str) -> Result<Option<fs::Metadata>, Trouble> {
        let path = self.path(relative);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => Err(Trouble::place(format!(
                "`{}` is a link, and ow-host writes through no link inside its folder; remove it",
                path.display()
            ))),
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Trouble::Disk(path, error)),
        }
    }

    /// Checks that no part of a path is a link or a file; answers whether all
    /// of it is there.
    pub(super) fn check(&self, relative: &str) -> Result<bool, Trouble> {
        for end in ends(relative) {
            let part = relative.get(..end).unwrap_or_default();
            match self.look(part)? {
                None => return Ok(false),
                Some(found) if found.is_dir() => {}
                Some(_) => {
                    return Err(Trouble::place(format!(
                        "`{}` is a file where ow-host needs a folder; move it away, or set `Path` to another folder",
                        self.path(part).display()
                    )));
                }
            }
        }
        Ok(true)
    }

    /// Makes a folder durably, and those above it.
    pub(super) fn folder(&self, relative: &str) -> Result<(), Trouble> {
        if self.check(relative)? {
            return Ok(());
        }
        let mut parent = "";
        for end in ends(relative) {
            let part = relative.get(..end).unwrap_or_default();
            if self.look(part)?.is_none() {
                let path = self.path(part);
                fault::step()
                    .and_then(|()| fs::create_dir(&path))
                    .map_err(|error| Trouble::Disk(path, error))?;
                self.sync(parent)?;
            }
            parent = part;
        }
        Ok(())
    }

    /// Puts the names in a folder on the disk.
    pub(super) fn sync(&self, relative: &str) -> Result<(), Trouble> {
        let path = self.path(relative);
        fault::step().and_then(|()| sync_folder(&path)).map_err(|error| Trouble::Disk(path, error))
    }

    /// Makes a file that is not there yet.
    pub(super) fn create(&self, relative: &str) -> Result<File, Trouble> {
        let path = self.path(relative);
        let create = || fs::OpenOptions::new().write(true).create_new(true).open(&path);
        fault::step().and_then(|()| create()).map_err(|error| Trouble::Disk(path.clone(), error))
    }

    /// Renames, in place of what is there. The folders are checked by whoever
    /// calls.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), Trouble> {
        let (from, to) = (self.path(from), self.path(to));
        fault::step().and_then(|()| fs::rename(&from, &to)).map_err(|error| Trouble::Disk(to, error))
    }

    /// Lets two folders change places at once; answers `false` where the system
    /// cannot do that.
    pub(super) fn exchange(&self, a: &str, b: &str) -> Result<bool, Trouble> {
        let (a, b) = (self.path(a), self.path(b));
        match fault::step().and_then(|()| exchange(&a, &b)) {
            Ok(()) => Ok(true),
            Err(error) if is_unsupported(&error) => Ok(false),
            Err(error) => Err(Trouble::Disk(b, error)),
        }
    }

    /// Removes a file, if it is there.
    pub(super) fn remove_file(&self, relative: &str) -> Result<(), Trouble> {
        let path = self.path(relative);
        gone(fault::step().and_then(|()| fs::remove_file(&path))).map_err(|error| Trouble::Disk(path, error))
    }

    /// Removes a folder and everything in it, if it is there.
    pub(super) fn remove_folder(&self, relative: &str) -> Result<(), Trouble> {
        let path = self.path(relative);
        gone(fault::step().and_then(|()| fs::remove_dir_all(&path)))
            .map_err(|error| Trouble::Disk(path, error))
    }

    /// The names in a folder, hidden ones too; none if it is not there.
    pub(super) fn list(&self, relative: &str) -> Result<Vec<String>, Trouble> {
        let path = self.path(relative);
        let list = || -> io::Result<Vec<String>> {
            fs::read_dir(&path)?
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect()
        };
        match list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result.map_err(|error| Trouble::Disk(path.clone(), error)),
        }
    }
}

/// Whether there is something at a path.
pub(super) fn exists(path: &Path) -> Result<bool, Trouble> {
    path.try_exists().map_err(|error| Trouble::Disk(path.to_owned(), error))
}

/// The folder of a path, empty for the top.
pub(super) fn parent(relative: &str) -> &str {
    relative.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Where the parts of a path end.
fn ends(relative: &str) -> impl Iterator<Item = usize> + '_ {
    let slashes = relative.match_indices('/').map(|(at, _)| at);
    slashes.chain((!relative.is_empty()).then_some(relative.len()))
}

/// Makes a folder; another run may be doing the same.
fn create(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    }
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Windows keeps names by its journal and opens no folder.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The file system or the kernel cannot exchange two names.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}
