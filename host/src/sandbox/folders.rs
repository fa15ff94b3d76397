//! What a guest does in its folders: which of them a descriptor lies in, how often
//! each is used, and what is refused there.
//!
//! Descriptors are followed from the preopened folders through every `open-at`.
//! There are as many counters as folders and operations, whatever a guest does.

use std::collections::{BTreeMap, HashMap};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DirectoryEntryStream, ErrorCode, HostDescriptor, NewTimestamp,
    OpenFlags, PathFlags,
};

use super::guest::GuestState;
use super::mount::{Access, Mount, SCRATCH};
use super::quota::TYPES;
use crate::report::audit::{FolderCounts, FolderUse};
use crate::report::{Denied, DeniedCount};

/// What a guest tries in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Read,
    Write,
    List,
    Look,
    Make,
    Remove,
    Rename,
    Touch,
}

impl Operation {
    /// What opening a file with these flags is for.
    pub(crate) fn of_open(open: OpenFlags, flags: DescriptorFlags) -> Self {
        let changes = open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE)
            || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY);
        match (changes, open.contains(OpenFlags::DIRECTORY)) {
            (_, true) => Self::Look,
            (true, false) => Self::Write,
            (false, false) => Self::Read,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::List => "list",
            Self::Look => "look",
            Self::Make => "make a folder or link",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Touch => "change a time",
        }
    }

    const fn changes(self) -> bool {
        !matches!(self, Self::Read | Self::List | Self::Look)
    }

    fn counter(self, counts: &mut FolderCounts) -> Option<&mut u64> {
        match self {
            Self::Read => Some(&mut counts.read),
            Self::Write => Some(&mut counts.written),
            Self::List => Some(&mut counts.listed),
            Self::Make => Some(&mut counts.made),
            Self::Remove => Some(&mut counts.removed),
            Self::Rename => Some(&mut counts.renamed),
            Self::Look | Self::Touch => None,
        }
    }
}

/// Where a descriptor lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    folder: usize,
    /// How many folders deep, at most.
    depth: usize,
}

/// The scratch folder's place among the folders.
const IN_SCRATCH: usize = 0;

/// The folders of one guest.
#[derive(Debug)]
pub(crate) struct Folders {
    places: HashMap<u32, Place>,
    uses: Vec<FolderUse>,
    access: Vec<Access>,
    refused: BTreeMap<(usize, Operation), u64>,
}

impl Folders {
    /// The scratch folder and these.
    pub(crate) fn new(mounts: &[Mount]) -> Self {
        let name = |access| match access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        let folder = |guest: &str, host: Option<String>, access| FolderUse {
            guest: guest.to_owned(),
            host,
            access: name(access).to_owned(),
            counts: FolderCounts::default(),
        };
        let scratch = folder(SCRATCH, None, Access::ReadWrite);
        let mounted = mounts
            .iter()
            .map(|mount| folder(&mount.guest, Some(mount.host.display().to_string()), mount.access));
        Self {
            places: HashMap::new(),
            uses: std::iter::once(scratch).chain(mounted).collect(),
            access: std::iter::once(Access::ReadWrite)
                .chain(mounts.iter().map(|mount| mount.access))
                .collect(),
            refused: BTreeMap::new(),
        }
    }

    /// A descriptor is that of a preopened folder. Every descriptor comes from
    /// here or from [`Folders::opened`], so that a number that is used again is
    /// always noted again.
    pub(crate) fn preopened(&mut self, descriptor: &Resource<Descriptor>, guest: &str) {
        self.places.remove(&descriptor.rep());
        if let Some(folder) = self.uses.iter().position(|folder| folder.guest == guest) {
            self.places.insert(descriptor.rep(), Place { folder, depth: 0 });
        }
    }

    /// A descriptor was opened by a path from another.
    pub(crate) fn opened(&mut self, descriptor: &Resource<Descriptor>, from: u32, path: &str) {
        let place = self.places.get(&from);
        match place.map(|place| Place { depth: below(place.depth, path), ..*place }) {
            Some(place) => self.places.insert(descriptor.rep(), place),
            None => self.places.remove(&descriptor.rep()),
        };
    }

    /// How deep a path from a descriptor leads in the scratch folder, at most, if
    /// it lies there.
    pub(crate) fn depth_in_scratch(&self, descriptor: u32, path: &str) -> Option<usize> {
        let place = self.places.get(&descriptor).filter(|place| place.folder == IN_SCRATCH)?;
        Some(below(place.depth, path))
    }

    pub(crate) fn in_scratch(&self, descriptor: &Resource<Descriptor>) -> bool {
        self.depth_in_scratch(descriptor.rep(), "").is_some()
    }

    /// An operation succeeded, or failed with a code.
    pub(crate) fn note(&mut self, descriptor: u32, operation: Operation, failure: Option<&ErrorCode>) {
        let Some(place) = self.places.get(&descriptor) else { return };
        let Some(used) = self.uses.get_mut(place.folder) else { return };
        match failure {
            None => {
                if let Some(counter) = operation.counter(&mut used.counts) {
                    *counter += 1;
                }
            }
            // What the system's own permissions refuse is `access`.
            Some(ErrorCode::NotPermitted | ErrorCode::ReadOnly) => {
                used.counts.refused += 1;
                *self.refused.entry((place.folder, operation)).or_default() += 1;
            }
            Some(_) => {}
        }
    }

    /// What was done in each folder, in the order in which they were mounted.
    pub(crate) fn uses(&self) -> Vec<FolderUse> {
        self.uses.clone()
    }

    /// What was refused, and how often.
    pub(crate) fn refusals(&self) -> Vec<DeniedCount> {
        let refusal = |((folder, operation), count): (&(usize, Operation), &u64)| {
            let (used, access) = (self.uses.get(*folder)?, self.access.get(*folder)?);
            let (reason, grant) = match (access, &used.host) {
                (Access::ReadOnly, Some(host)) if operation.changes() => {
                    ("the folder is mounted read-only", Some(format!("--mount {host}:{}:rw", used.guest)))
                }
                (_, None) if *operation == Operation::Make => (
                    "the path leads out of the folder, or it is a link, which the scratch folder may not have",
                    None,
                ),
                _ => ("the path leads out of the folder, or the system forbids it", None),
            };
            let attempt = format!("{} in {}", operation.name(), used.guest);
            Some(DeniedCount { denied: Denied { attempt, reason: reason.to_owned(), grant }, count: *count })
        };
        self.refused.iter().filter_map(refusal).collect()
    }
}

/// How deep a path leads below a folder of this depth, at most.
fn below(depth: usize, path: &str) -> usize {
    depth.saturating_add(path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).count())
}

/// A result of the file system as the guest sees it.
pub(crate) fn answer<R>(result: FsResult<R>) -> wasmtime::Result<(Result<R, ErrorCode>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

impl<B> GuestState<B> {
    /// A result as the guest sees it, counted.
    pub(crate) fn counted<R>(
        &mut self,
        descriptor: u32,
        operation: Operation,
        result: FsResult<R>,
    ) -> wasmtime::Result<(Result<R, ErrorCode>,)> {
        let (result,) = answer(result)?;
        self.folders.note(descriptor, operation, result.as_ref().err());
        Ok((result,))
    }

    /// A result as the guest sees it, of which only a refusal is counted.
    pub(crate) fn watched<R>(
        &mut self,
        descriptor: u32,
        operation: Operation,
        result: FsResult<R>,
    ) -> wasmtime::Result<(Result<R, ErrorCode>,)> {
        let (result,) = answer(result)?;
        if let Err(code) = &result {
            self.folders.note(descriptor, operation, Some(code));
        }
        Ok((result,))
    }
}

/// Replaces the functions that only have to be counted; `quota` counts those that
/// it replaces.
pub(crate) fn add_to_linker<B: Send + 'static>(linker: &mut Linker<GuestState<B>>) -> wasmtime::Result<()> {
    type Cx<'a, B> = StoreContextMut<'a, GuestState<B>>;
    type Fd = Resource<Descriptor>;
    type Answer<R> = (Result<R, ErrorCode>,);

    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async("[method]descriptor.read-directory", |mut cx: Cx<'_, B>, (fd,): (Fd,)| {
        Box::new(async move {
            let (state, rep) = (cx.data_mut(), fd.rep());
            let listed = state.filesystem().read_directory(fd).await;
            let answer: Answer<Resource<DirectoryEntryStream>> =
                state.counted(rep, Operation::List, listed)?;
            Ok(answer)
        })
    })?;
    types.func_wrap_async(
        "[method]descriptor.unlink-file-at",
        |mut cx: Cx<'_, B>, (fd, path): (Fd, String)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                let removed = state.filesystem().unlink_file_at(fd, path).await;
                state.counted(rep, Operation::Remove, removed)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.remove-directory-at",
        |mut cx: Cx<'_, B>, (fd, path): (Fd, String)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                let removed = state.filesystem().remove_directory_at(fd, path).await;
                state.counted(rep, Operation::Remove, removed)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.stat-at",
        |mut cx: Cx<'_, B>, (fd, flags, path): (Fd, PathFlags, String)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                let stat = state.filesystem().stat_at(fd, flags, path).await;
                let answer: Answer<DescriptorStat> = state.watched(rep, Operation::Look, stat)?;
                Ok(answer)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.readlink-at",
        |mut cx: Cx<'_, B>, (fd, path): (Fd, String)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                let link = state.filesystem().readlink_at(fd, path).await;
                state.watched(rep, Operation::Look, link)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.set-times-at",
        |mut cx: Cx<'_, B>,
         (fd, flags, path, access, change): (Fd, PathFlags, String, NewTimestamp, NewTimestamp)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                let set = state.filesystem().set_times_at(fd, flags, path, access, change).await;
                state.watched(rep, Operation::Touch, set)
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> Folders {
        let mounts: Vec<Mount> =
            ["in:/in:ro", "out:/out:rw"].iter().map(|text| text.parse().unwrap()).collect();
        let mut folders = Folders::new(&mounts);
        for (rep, guest) in [(1, "/work"), (2, "/in"), (3, "/out")] {
            folders.preopened(&Resource::new_borrow(rep), guest);
        }
        folders
    }

    #[test]
    fn descriptors_are_followed_and_forgotten() {
        let mut folders = folders();
        folders.opened(&Resource::new_borrow(4), 1, "a/./b");
        assert_eq!(folders.depth_in_scratch(4, "c"), Some(3));
        assert_eq!(folders.depth_in_scratch(2, "c"), None);
        // The number of a closed descriptor is used again for another place.
        folders.opened(&Resource::new_borrow(4), 2, "a");
        assert_eq!(folders.depth_in_scratch(4, ""), None);
        folders.opened(&Resource::new_borrow(4), 99, "a");
        folders.note(4, Operation::Read, None);
        assert!(folders.uses().iter().all(|folder| folder.counts == FolderCounts::default()));
    }

    #[test]
    fn uses_and_refusals_are_counted_by_folder() {
        let mut folders = folders();
        folders.opened(&Resource::new_borrow(4), 2, "a");
        folders.note(4, Operation::Read, None);
        folders.note(2, Operation::List, None);
        folders.note(2, Operation::Write, Some(&ErrorCode::NotPermitted));
        folders.note(4, Operation::Write, Some(&ErrorCode::NotPermitted));
        folders.note(3, Operation::Remove, None);
        folders.note(3, Operation::Look, Some(&ErrorCode::NotPermitted));
        folders.note(3, Operation::Read, Some(&ErrorCode::Access));
        folders.note(3, Operation::Read, Some(&ErrorCode::NoEntry));
        let uses = folders.uses();
        assert_eq!(
            uses[1].counts,
            FolderCounts { read: 1, listed: 1, refused: 2, ..FolderCounts::default() }
        );
        assert_eq!(uses[2].counts, FolderCounts { removed: 1, refused: 1, ..FolderCounts::default() });
        let told: Vec<String> = folders
            .refusals()
            .into_iter()
            .map(|DeniedCount { denied, count }| {
                format!(
                    "{count} x {}: {}; {}",
                    denied.attempt,
                    denied.reason,
                    denied.grant.unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "2 x write in /in: the folder is mounted read-only; --mount in:/in:rw",
                "1 x look in /out: the path leads out of the folder, or the system forbids it; ",
            ]
        );
    }

    #[test]
    fn what_a_file_is_opened_for() {
        let of = Operation::of_open;
        let (read, write) = (DescriptorFlags::READ, DescriptorFlags::WRITE);
        assert_eq!(of(OpenFlags::empty(), read), Operation::Read);
        assert_eq!(of(OpenFlags::empty(), read | write), Operation::Write);
        assert_eq!(of(OpenFlags::CREATE, read), Operation::Write);
        assert_eq!(of(OpenFlags::DIRECTORY, read), Operation::Look);
    }
}
