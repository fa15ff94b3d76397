//! The lease on a data mart: an object that its holder renews. It keeps a second
//! run out while the first one lives; what it cannot keep out, the log does
//! (see [`super::log`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::service::{Condition, Put, Service, to_json};
use crate::{RunInfo, StorageError};

/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_secs(20);
/// After how long without a renewal a run counts as dead.
const LIFE: Duration = Duration::from_secs(90);
/// How often a lease that changes under our hands is looked at again.
const ATTEMPTS: u32 = 5;

/// Who holds a lease: the content of the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    data_mart_id: String,
    run_id: String,
    /// One lease's own name.
    nonce: String,
    process: Process,
    renewals: u64,
}

/// A process, so that its death is known at once on its own machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: u32,
    /// The machine's boot and the namespace that the number is from; none where
    /// that cannot be told.
    space: Option<String>,
    /// When it started, in the kernel's ticks: numbers are used again.
    started: Option<String>,
}

/// A held lease.
pub(super) struct Lease {
    service: Arc<Service>,
    key: String,
    nonce: String,
    renewal: JoinHandle<()>,
    lost: Arc<AtomicBool>,
}

impl Process {
    fn this() -> Self {
        let pid = std::process::id();
        Self { pid, space: space(), started: started(pid) }
    }

    /// Whether it is certain that it has ended.
    fn is_dead(&self) -> bool {
        self.space.is_some()
            && self.started.is_some()
            && self.space == space()
            && started(self.pid) != self.started
    }
}

fn space() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// The 22nd field of `/proc/PID/stat`; the name before it may have spaces.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

impl Lease {
    /// Takes the lease; `key` is its object.
    pub(super) async fn take(
        service: &Arc<Service>,
        key: String,
        data_mart_id: &str,
        run: &RunInfo,
    ) -> Result<Self, StorageError> {
        let holder = Holder {
            data_mart_id: data_mart_id.to_owned(),
            run_id: run.run_id.clone(),
            nonce: uuid::Uuid::new_v4().to_string(),
            process: Process::this(),
            renewals: 0,
        };
        for _ in 0..ATTEMPTS {
            let found = service.get_json::<Holder>(&key).await?;
            let put = match &found {
                None => service.put(&key, to_json(&holder)?, Condition::Absent).await?,
                // Ours: the answer to the write was lost.
                Some((there, object)) if there.nonce == holder.nonce => Put::Done(object.tag.clone()),
                Some((there, object)) => {
                    check_dead(there, object.modified)?;
                    service.put(&key, to_json(&holder)?, Condition::Unchanged(&object.tag)).await?
                }
            };
            if let Put::Done(tag) = put {
                return Ok(Self::hold(service, key, holder, tag));
            }
        }
        Err(StorageError::Busy {
            message: format!("data mart `{data_mart_id}` is claimed by runs that come and go; try again"),
        })
    }

    fn hold(service: &Arc<Service>, key: String, holder: Holder, tag: String) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let nonce = holder.nonce.clone();
        let renewal = tokio::spawn(renew(Arc::clone(service), key.clone(), holder, tag, Arc::clone(&lost)));
        Self { service: Arc::clone(service), key, nonce, renewal, lost }
    }

    /// Whether it is known that another run has taken it.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Gives it up, if it is still ours.
    pub(super) async fn release(self) -> Result<(), StorageError> {
        self.renewal.abort();
        let there = self.service.get_json::<Holder>(&self.key).await?;
        if there.is_some_and(|(there, _)| there.nonce == self.nonce) {
            self.service.delete(std::slice::from_ref(&self.key)).await?;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews a lease until it is lost.
async fn renew(
    service: Arc<Service>,
    key: String,
    mut holder: Holder,
    mut tag: String,
    lost: Arc<AtomicBool>,
) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        holder.renewals += 1;
        let Ok(body) = to_json(&holder) else { return };
        match service.put(&key, body, Condition::Unchanged(&tag)).await {
            Ok(Put::Done(new)) => tag = new,
            Ok(Put::Taken) => match service.get_json::<Holder>(&key).await {
                Ok(Some((there, object))) if there.nonce == holder.nonce => tag = object.tag,
                Ok(_) => {
                    lost.store(true, Ordering::Relaxed);
                    return;
                }
                Err(_) => {}
            },
            // The next renewal may get through.
            Err(_) => {}
        }
    }
}

/// Fails unless the holder of a lease is dead.
fn check_dead(holder: &Holder, renewed: i64) -> Result<(), StorageError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = now.saturating_sub(Duration::from_secs(renewed.max(0).unsigned_abs()));
    if holder.process.is_dead() || age >= LIFE {
        return Ok(());
    }
    Err(StorageError::Busy {
        message: format!(
            "data mart `{}` is being written by run `{}` (process {}); wait until that run ends, or stop it. If it has died, its claim ends in {} seconds",
            holder.data_mart_id,
            holder.run_id,
            holder.process.pid,
            LIFE.saturating_sub(age).as_secs().max(1)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_dead_and_this_one_is_not() {
        let this = Process::this();
        assert!(!this.is_dead());
        if this.space.is_some() {
            assert!(Process { started: Some("1".to_owned()), ..this.clone() }.is_dead());
            assert!(!Process { space: Some("elsewhere".to_owned()), ..this }.is_dead());
        }
    }
}
