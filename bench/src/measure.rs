//! Times and memory.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};

/// What a process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of processor time.
    pub(crate) cpu: f64,
}

impl Measured {
    /// The most memory that this process had, in bytes.
    pub(crate) fn peak_memory() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    }
}

/// The fastest of several runs, in seconds.
pub(crate) fn best(tries: usize, mut run: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..tries {
        best = best.min(run()?);
    }
    Ok(best)
}

/// Wall time of a process, the median of several, and its processor time, the
/// mean of them: the kernel counts it in steps of some milliseconds.
pub(crate) fn spawn_times(times: usize, mut command: impl FnMut() -> Command) -> Result<Measured> {
    let mut walls = Vec::new();
    let before = children_cpu();
    for _ in 0..times {
        let start = Instant::now();
        let output = command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        walls.push(start.elapsed().as_secs_f64());
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    walls.sort_by(f64::total_cmp);
    let wall = walls.get(walls.len() / 2).copied().unwrap_or_default();
    Ok(Measured { wall, cpu: (children_cpu() - before) / times.max(1) as f64 })
}

/// Processor seconds of the children that have ended.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    // Fields 16 and 17 of proc(5), cutime and cstime; the first two are gone.
    (ticks(13) + ticks(14)) / rustix::param::clock_ticks_per_second() as f64
}
