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

/// Wall and processor time of a process, the median of several.
pub(crate) fn spawn_times(times: usize, command: impl Fn() -> Command) -> Result<Measured> {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let before = children_cpu();
        let start = Instant::now();
        let output = command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        walls.push(start.elapsed().as_secs_f64());
        cpus.push(children_cpu() - before);
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Ok(Measured { wall: median(walls), cpu: median(cpus) })
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
