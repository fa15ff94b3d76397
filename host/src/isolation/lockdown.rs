//! What a worker gives up before it touches anything that comes from a
//! connector. It cannot be taken back, also not by machine code of the guest's
//! making that runs in the worker:
//!
//! - Resource limits: no core file, a number of open files, processor time, and
//!   data, which is everything that is allocated and written to.
//! - Landlock: no file but those below the mounts and the scratch folder, each
//!   with the access that the run has; no TCP; no abstract sockets of others.
//! - No new privileges, and a seccomp filter that lets through what computing,
//!   reading and writing open descriptors and files, and threads need. No new
//!   sockets, no programs, no other processes, no devices.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use libc::c_long;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// What a worker may still use.
pub(super) struct Allowance<'a> {
    /// Folders and whether they may be written.
    pub(super) folders: Vec<(&'a Path, bool)>,
    pub(super) cpu_seconds: u64,
    pub(super) data_bytes: u64,
    pub(super) open_files: u64,
}

/// Locks this thread in, and all threads that it will start.
///
/// # Errors
///
/// In the operator's words, if the kernel offers less than is needed.
pub(super) fn enter(allowance: &Allowance<'_>) -> Result<(), String> {
    // As much of it as there is: who need not have all of it takes the rest.
    let limited =
        limit_resources(allowance).map_err(|error| format!("resource limits cannot be set: {error}"));
    let restricted = restrict_files(&allowance.folders);
    let filtered =
        filter_system_calls().map_err(|error| format!("the seccomp filter cannot be set: {error}"));
    limited.and(restricted).and(filtered)
}

fn limit_resources(allowance: &Allowance<'_>) -> io::Result<()> {
    let limits = [
        (Resource::Core, 0),
        (Resource::Cpu, allowance.cpu_seconds),
        (Resource::Data, allowance.data_bytes),
        (Resource::Nofile, allowance.open_files),
    ];
    for (resource, most) in limits {
        // What this process may not have, its worker may not have either.
        let most = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

fn restrict_files(folders: &[(&Path, bool)]) -> Result<(), String> {
    let rules = || -> Result<RulesetStatus, Box<dyn std::error::Error>> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))?
            // What newer kernels can refuse beside.
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V5))?
            .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?
            .scope(Scope::AbstractUnixSocket | Scope::Signal)?
            .create()?;
        for (folder, writable) in folders {
            let folder = PathFd::new(folder)?;
            ruleset = ruleset.add_rule(PathBeneath::new(folder, access(*writable)))?;
        }
        Ok(ruleset.restrict_self()?.ruleset)
    };
    match rules() {
        Ok(RulesetStatus::NotEnforced) => Err("this kernel does not enforce Landlock".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("Landlock cannot be set up: {error}")),
    }
}

/// Files and folders; no devices, sockets and pipes, and nothing to execute.
fn access(writable: bool) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    if !writable {
        return read;
    }
    read | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn filter_system_calls() -> Result<(), Box<dyn std::error::Error>> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let errno = |code: i32| SeccompAction::Errno(code.unsigned_abs());
    // libc makes threads by the older call, whose flags can be looked at, only if
    // it is told that there is no newer one.
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let no_clone3 = SeccompFilter::new(no_clone3, SeccompAction::Allow, errno(libc::ENOSYS), arch)?;
    let allowed = SeccompFilter::new(allowed()?, errno(libc::EPERM), SeccompAction::Allow, arch)?;
    for filter in [no_clone3, allowed] {
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)?;
    }
    Ok(())
}

/// The system calls that a worker may make, some with certain arguments only.
fn allowed() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let only = |argument, operator, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let bits = |flags: i32| u64::from(flags.unsigned_abs());
    // Threads, no processes.
    let threads = bits(libc::CLONE_THREAD);
    rules.insert(libc::SYS_clone, vec![only(0, SeccompCmpOp::MaskedEq(threads), threads)?]);
    // A limit may be read, not set.
    rules.insert(libc::SYS_prlimit64, vec![only(2, SeccompCmpOp::Eq, 0)?]);
    // A thread may name itself and its memory.
    rules.insert(
        libc::SYS_prctl,
        vec![
            only(0, SeccompCmpOp::Eq, bits(libc::PR_SET_NAME))?,
            only(0, SeccompCmpOp::Eq, bits(libc::PR_SET_VMA))?,
        ],
    );
    // A descriptor may be made non-blocking.
    rules.insert(libc::SYS_ioctl, vec![only(1, SeccompCmpOp::Eq, libc::FIONBIO)?]);
    // A descriptor may be copied and its flags read and set, but it may not be made
    // to send signals to others (`F_SETOWN`).
    let commands =
        [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL];
    let commands = commands.map(|command| only(1, SeccompCmpOp::Eq, bits(command)));
    rules.insert(libc::SYS_fcntl, commands.into_iter().collect::<Result<_, _>>()?);
    // A signal may end this process only: `abort` sends itself one.
    let this = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![only(0, SeccompCmpOp::Eq, this)?]);
    Ok(rules)
}

const ALLOWED: &[c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads, signals, time.
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Descriptors that are open.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    // Files, which Landlock bounds.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
];
