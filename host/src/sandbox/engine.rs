//! The one engine of the process, and the clock that makes its guests yield.
//!
//! There is one engine because machine code, type indices and the settings that
//! a cache entry depends on belong to it. Each setting is named here with its
//! reason.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel, Strategy, WasmBacktraceDetails};

/// How often a guest that computes gives the thread back: the precision of
/// every time limit.
pub const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest's own functions. Deeper recursion is a trap.
pub const WASM_STACK: usize = 512 * 1024;

/// Stack of a run in all: the guest's part, and what the host's functions need
/// when the guest calls them.
const ASYNC_STACK: usize = 2 * 1024 * 1024;

/// Frames of a trap's backtrace: enough to find the place, little to print.
const BACKTRACE_FRAMES: Option<NonZeroUsize> = NonZeroUsize::new(20);

/// The settings of the engine.
fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        // A guest that computes for ever yields at every tick.
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        // What one run left on a stack is not there for the next.
        .async_stack_zeroing(true)
        // Frames by function names; parsing a guest's DWARF is left out.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(BACKTRACE_FRAMES)
        // What neither traps nor these names need takes time to load.
        .generate_address_map(false)
        .native_unwind_info(cfg!(windows))
        // 64-bit memories need explicit bounds checks and larger limits.
        .wasm_memory64(false)
        // WASI 0.2 alone: the asynchronous component model is experimental.
        .concurrency_support(false);
    config
}

/// The engine of this process.
///
/// # Errors
///
/// If this machine cannot run compiled WebAssembly.
pub fn shared() -> wasmtime::Result<&'static Engine> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    static CREATE: Mutex<()> = Mutex::new(());
    let _guard = CREATE.lock();
    if let Some(engine) = ENGINE.get() {
        return Ok(engine);
    }
    keep_memory_between_batches();
    let engine = Engine::new(&config())?;
    Ok(ENGINE.get_or_init(|| engine))
}

/// Lets glibc keep the memory of one batch for the next. It gives memory back to
/// the kernel as soon as 128 KiB are free, and would get it again, zeroed, for
/// each batch: eighteen times the page faults, two thirds of the rows a second. How much
/// it keeps it learns from the largest block that was ever freed
/// (`M_MMAP_THRESHOLD` in mallopt(3)), so it is shown one; nothing of it is touched.
fn keep_memory_between_batches() {
    const BATCH: usize = 4 * 1024 * 1024;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BATCH)));
}

/// Guests that run now; the clock stands still when there are none.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static CLOCK: OnceLock<Thread> = OnceLock::new();

/// Keeps the engine's clock going while it lives.
#[derive(Debug)]
pub(crate) struct Ticking(());

impl Ticking {
    /// Starts the clock, or keeps it going.
    pub(crate) fn start(engine: &'static Engine) -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        let clock = CLOCK.get_or_init(|| {
            let tick = move || loop {
                if RUNNING.load(Ordering::SeqCst) == 0 {
                    thread::park();
                }
                thread::sleep(TICK);
                engine.increment_epoch();
            };
            thread::spawn(tick).thread().clone()
        });
        clock.unpark();
        Self(())
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}
