//! Bounds the scratch folder: bytes and number of files.
//!
//! The engine's file system has no quota, so the functions that make files grow
//! or come into being are replaced here by ones that ask the quota first. Which
//! descriptors lie in the scratch folder, [`super::folders`] knows. What the guest writes is added up; when the sum
//! reaches the limit the folder is measured, so that deleting frees space.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynOutputStream, FsResult, OutputStream, Pollable, StreamError, StreamResult};

use super::folders::Operation;
use super::guest::GuestState;
use super::{ByteSize, Limits};

/// The interface whose functions are replaced.
pub(crate) const TYPES: &str = "wasi:filesystem/types@0.2.12";
const PREOPENS: &str = "wasi:filesystem/preopens@0.2.12";

/// Folders in folders. Deeper ones are refused: measuring and removing them
/// takes stack and open folders for each level.
const MAX_DEPTH: usize = 64;

/// What a scratch folder may hold and holds.
#[derive(Debug)]
pub(crate) struct Quota {
    folder: cap_std::fs::Dir,
    max_bytes: u64,
    max_files: u64,
    used: Mutex<Used>,
}

/// At least what the folder holds.
#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    files: u64,
    /// The files that were opened and may still be open.
    open: Vec<Weak<File>>,
    /// How many of them were open when closed ones were last forgotten.
    live: usize,
    /// Why growth was refused last.
    refused: Option<&'static str>,
}

impl Quota {
    pub(crate) fn new(folder: cap_std::fs::Dir, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            folder,
            max_bytes: limits.scratch.get(),
            max_files: u64::from(limits.scratch_files),
            used: Mutex::default(),
        })
    }

    /// The limit that was reached, if one was.
    pub(crate) fn refused(&self) -> Option<(&'static str, String)> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.refused.map(|key| {
            let message = if key == "scratch" {
                format!(
                    "the connector wanted more than {} in its scratch folder",
                    ByteSize::bytes(self.max_bytes)
                )
            } else {
                format!("the connector wanted more than {} files in its scratch folder", self.max_files)
            };
            (key, message)
        })
    }

    fn grow(&self, bytes: u64, files: u64) -> Result<(), ErrorCode> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |used: &Used| {
            used.bytes.saturating_add(bytes) <= self.max_bytes
                && used.files.saturating_add(files) <= self.max_files
        };
        if !fits(&used) {
            let (there, count) = measure(&self.folder);
            used.bytes = there.saturating_add(used.unlinked());
            used.files = count;
        }
        if !fits(&used) {
            let too_large = used.bytes.saturating_add(bytes) > self.max_bytes;
            used.refused = Some(if too_large { "scratch" } else { "scratch_files" });
            return Err(ErrorCode::InsufficientSpace);
        }
        used.bytes += bytes;
        used.files += files;
        Ok(())
    }

    /// Remembers an open file: it takes space as long as it is open, even if it
    /// is in no folder any more.
    fn opened(&self, descriptor: &Descriptor) {
        if let Descriptor::File(file) = descriptor {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            // Now and then those that are closed are forgotten.
            if used.open.len() >= 2 * used.live.max(64) {
                used.open.retain(|file| file.strong_count() > 0);
                used.live = used.open.len();
            }
            used.open.push(Arc::downgrade(&file.file));
        }
    }
}

impl Used {
    /// Bytes of the files that are open but in no folder.
    fn unlinked(&self) -> u64 {
        let sizes = self.open.iter().filter_map(Weak::upgrade).filter_map(|file| {
            let stat = rustix::fs::fstat(file.as_fd()).ok()?;
            (stat.st_nlink == 0).then(|| u64::try_from(stat.st_size).unwrap_or_default())
        });
        sizes.fold(0, u64::saturating_add)
    }
}

/// Bytes and number of the files and folders below a folder; follows no link.
/// Folders are at most [`MAX_DEPTH`] deep, so that neither stack nor open
/// folders run out.
fn measure(folder: &cap_std::fs::Dir) -> (u64, u64) {
    let (mut bytes, mut files) = (0_u64, 0_u64);
    let Ok(entries) = folder.entries() else { return (u64::MAX, u64::MAX) };
    for entry in entries {
        // What cannot be measured counts as full.
        let Ok(entry) = entry else { return (u64::MAX, u64::MAX) };
        files = files.saturating_add(1);
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            let (more_bytes, more_files) =
                entry.open_dir().map_or((u64::MAX, u64::MAX), |below| measure(&below));
            (bytes, files) = (bytes.saturating_add(more_bytes), files.saturating_add(more_files));
        } else {
            bytes = bytes.saturating_add(metadata.len());
        }
    }
    (bytes, files)
}

/// The path of the folder that a path's last part is in.
fn parent(path: &str) -> &str {
    path.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A stream to a file in the scratch folder.
struct QuotaStream {
    inner: DynOutputStream,
    quota: Arc<Quota>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for QuotaStream {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for QuotaStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.quota.grow(len, 0).is_err() {
            let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(StreamError::LastOperationFailed(error.into()));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

/// How far a write at `end` makes a file longer than what it writes.
fn gap(descriptor: &Descriptor, offset: u64) -> u64 {
    match descriptor {
        Descriptor::File(file) => {
            let size = rustix::fs::fstat(file.file.as_fd())
                .map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
            offset.saturating_sub(size)
        }
        Descriptor::Dir(_) => 0,
    }
}

/// Replaces the functions by which a guest makes files grow.
pub(crate) fn add_to_linker<B: Send + 'static>(linker: &mut Linker<GuestState<B>>) -> wasmtime::Result<()> {
    type Cx<'a, B> = StoreContextMut<'a, GuestState<B>>;
    type Fd = Resource<Descriptor>;

    linker.allow_shadowing(true);
    linker.instance(PREOPENS)?.func_wrap("get-directories", |mut cx: Cx<'_, B>, (): ()| {
        let state = cx.data_mut();
        let folders = state.filesystem().get_directories()?;
        for (descriptor, guest_path) in &folders {
            state.folders.preopened(descriptor, guest_path);
        }
        Ok((folders,))
    })?;

    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut cx: Cx<'_, B>, (fd, path_flags, path, open_flags, flags): (Fd, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                let scratch = state.folders.in_scratch(&fd);
                let operation = Operation::of_open(open_flags, flags);
                if scratch
                    && open_flags.contains(OpenFlags::CREATE)
                    && let Err(code) = state.quota.grow(0, 1)
                {
                    return Ok((Err(code),));
                }
                let opened =
                    state.filesystem().open_at(fd, path_flags, path.clone(), open_flags, flags).await;
                let mut is_folder = false;
                if let Ok(descriptor) = &opened {
                    state.folders.opened(descriptor, rep, &path);
                    let file = state.table.get(descriptor)?;
                    is_folder = matches!(file, Descriptor::Dir(_));
                    if scratch {
                        state.quota.opened(file);
                    }
                }
                // What counts for a folder is that it is listed.
                if is_folder { state.watched(rep, operation, opened) } else { state.counted(rep, operation, opened) }
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.create-directory-at",
        |mut cx: Cx<'_, B>, (fd, path): (Fd, String)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                if state.folders.depth_in_scratch(rep, &path).is_some_and(|depth| depth > MAX_DEPTH) {
                    return Ok((Err(ErrorCode::NameTooLong),));
                }
                if let Err(code) = state.grow_in(&fd, 0, 1) {
                    return Ok((Err(code),));
                }
                let made = state.filesystem().create_directory_at(fd, path).await;
                state.counted(rep, Operation::Make, made)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.symlink-at",
        |mut cx: Cx<'_, B>, (fd, old, new): (Fd, String, String)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                // A link would hide how deep a path leads.
                let made = if state.folders.in_scratch(&fd) {
                    Err(ErrorCode::NotPermitted.into())
                } else {
                    state.filesystem().symlink_at(fd, old, new).await
                };
                state.counted(rep, Operation::Make, made)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.link-at",
        |mut cx: Cx<'_, B>, (fd, flags, old, new_fd, new): (Fd, PathFlags, String, Fd, String)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), new_fd.rep());
                if let Err(code) = state.grow_in(&new_fd, 0, 1) {
                    return Ok((Err(code),));
                }
                let made = state.filesystem().link_at(fd, flags, old, new_fd, new).await;
                state.counted(rep, Operation::Make, made)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.rename-at",
        |mut cx: Cx<'_, B>, (fd, old, new_fd, new): (Fd, String, Fd, String)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), new_fd.rep());
                let in_place = fd.rep() == new_fd.rep() && parent(&old) == parent(&new);
                let concerned = state.folders.in_scratch(&fd) || state.folders.in_scratch(&new_fd);
                if concerned && !in_place {
                    // A folder may not get deeper; programs copy it instead.
                    let source = Resource::new_borrow(fd.rep());
                    let stat = state.filesystem().stat_at(source, PathFlags::empty(), old.clone()).await;
                    if stat.is_ok_and(|stat| stat.type_ == DescriptorType::Directory) {
                        return Ok((Err(ErrorCode::CrossDevice),));
                    }
                }
                if !state.folders.in_scratch(&fd)
                    && let Err(code) = state.grow_in(&new_fd, 0, 1)
                {
                    return Ok((Err(code),));
                }
                let renamed = state.filesystem().rename_at(fd, old, new_fd, new).await;
                state.counted(rep, Operation::Rename, renamed)
            })
        },
    )?;
    types.func_wrap_async("[method]descriptor.set-size", |mut cx: Cx<'_, B>, (fd, size): (Fd, u64)| {
        Box::new(async move {
            let (state, rep) = (cx.data_mut(), fd.rep());
            let growth = gap(state.table.get(&fd)?, size);
            if let Err(code) = state.grow_in(&fd, growth, 0) {
                return Ok((Err(code),));
            }
            let set = state.filesystem().set_size(fd, size).await;
            state.watched(rep, Operation::Write, set)
        })
    })?;
    types.func_wrap_async(
        "[method]descriptor.write",
        |mut cx: Cx<'_, B>, (fd, bytes, offset): (Fd, Vec<u8>, u64)| {
            Box::new(async move {
                let (state, rep) = (cx.data_mut(), fd.rep());
                let growth = gap(state.table.get(&fd)?, offset)
                    .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                if let Err(code) = state.grow_in(&fd, growth, 0) {
                    return Ok((Err(code),));
                }
                let written = state.filesystem().write(fd, bytes, offset).await;
                state.watched(rep, Operation::Write, written)
            })
        },
    )?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        |mut cx: Cx<'_, B>, (fd, offset): (Fd, u64)| {
            let (state, rep) = (cx.data_mut(), fd.rep());
            let scratch = state.folders.in_scratch(&fd);
            let growth = gap(state.table.get(&fd)?, offset);
            if let Err(code) = state.grow_in(&fd, growth, 0) {
                return Ok((Err(code),));
            }
            let stream = state.filesystem().write_via_stream(fd, offset);
            state.bound_stream(rep, stream, scratch)
        },
    )?;
    types.func_wrap("[method]descriptor.append-via-stream", |mut cx: Cx<'_, B>, (fd,): (Fd,)| {
        let (state, rep) = (cx.data_mut(), fd.rep());
        let scratch = state.folders.in_scratch(&fd);
        let stream = state.filesystem().append_via_stream(fd);
        state.bound_stream(rep, stream, scratch)
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl<B: Send> GuestState<B> {
    fn grow_in(&self, descriptor: &Resource<Descriptor>, bytes: u64, files: u64) -> Result<(), ErrorCode> {
        if self.folders.in_scratch(descriptor) { self.quota.grow(bytes, files) } else { Ok(()) }
    }

    /// The stream to a file, bounded if the file lies in the scratch folder.
    fn bound_stream(
        &mut self,
        descriptor: u32,
        stream: FsResult<Resource<DynOutputStream>>,
        scratch: bool,
    ) -> wasmtime::Result<(Result<Resource<DynOutputStream>, ErrorCode>,)> {
        let stream = match stream {
            Ok(stream) if scratch => stream,
            other => return self.watched(descriptor, Operation::Write, other),
        };
        let inner = self.table.delete(stream)?;
        let bounded: DynOutputStream = Box::new(QuotaStream { inner, quota: Arc::clone(&self.quota) });
        Ok((Ok(self.table.push(bounded)?),))
    }
}
