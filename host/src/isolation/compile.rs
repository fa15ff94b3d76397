//! Compiling a component in a worker, so that a file that was made to exhaust
//! or to attack the compiler exhausts and attacks a process that can do nothing.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::child::Child;
use super::wire::{self, Start, Work};
use super::{Isolation, Program, make};
use crate::failure::{Failure, FailureClass};
use crate::sandbox::control::limit;
use crate::sandbox::{Limits, Sealed, engine};

/// Bytes of the compiler's message about a broken component.
const MAX_MESSAGE: u64 = 64 * 1024;

/// Why there is no code.
pub(crate) enum NoCode {
    /// The component is broken, in the compiler's words.
    Broken(String),
    /// Compiling it failed or took too much.
    Failed(Failure),
}

/// Compiles a component in a worker. Blocks.
pub(crate) fn compile(
    program: &Program,
    name: &str,
    wasm: &[u8],
    limits: &Limits,
    isolation: Isolation,
    most: u64,
) -> Result<Vec<u8>, NoCode> {
    let started = Instant::now();
    let time = limits.compile_time.get();
    let failed = |error: io::Error, child: &mut Child| {
        let late = started.elapsed() >= time || matches!(error.kind(), io::ErrorKind::WouldBlock);
        let failure = match child.end() {
            _ if late => too_long(name, limits),
            end if end.out_of_memory() => too_large(name, limits),
            end if end.out_of_time() => too_long(name, limits),
            end => Failure::new(
                FailureClass::Component,
                format!("{name}: compiling it failed: the compiler's process {end}"),
            )
            .with_hint("this is a bug of the compiler: report it with the file"),
        };
        NoCode::Failed(failure)
    };
    let sealed = Sealed::new(wasm).map_err(|error| NoCode::Failed(cannot_start(program, &error)))?;
    let (mut child, mut socket) =
        Child::spawn(program, &sealed).map_err(|error| NoCode::Failed(cannot_start(program, &error)))?;
    let work = Work::Compile {
        memory: limits.compile_memory.get(),
        cpu_seconds: time.as_secs().saturating_mul(cores()).saturating_add(1),
        most_code: most,
        locked_in: isolation == Isolation::Process,
    };
    let read = || -> io::Result<Result<Result<Vec<u8>, String>, String>> {
        wire::write_frame(&mut socket, &Start { make: make(), work })?;
        let mut socket = Timed { socket: &socket, until: started + time };
        if let Err(why) = wire::read_frame::<Result<(), String>>(&mut socket, MAX_MESSAGE)? {
            return Ok(Err(why));
        }
        let length: Result<u64, String> = wire::read_frame(&mut socket, MAX_MESSAGE)?;
        let length = match length {
            Ok(length) if length <= most => length,
            Ok(_) => return Err(io::ErrorKind::FileTooLarge.into()),
            Err(message) => return Ok(Ok(Err(message))),
        };
        let mut code = Vec::new();
        socket.take(length).read_to_end(&mut code)?;
        if code.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Ok(Ok(code)))
    };
    match read() {
        Ok(Ok(Ok(code))) => Ok(code),
        // What the kernel refused shows in the compiler's words.
        Ok(Ok(Err(message))) if message.contains("os error 12") => {
            Err(NoCode::Failed(too_large(name, limits)))
        }
        Ok(Ok(Err(message))) => Err(NoCode::Broken(message)),
        Ok(Err(why)) => Err(NoCode::Failed(super::refused(&why))),
        Err(error) => Err(failed(error, &mut child)),
    }
}

fn too_long(name: &str, limits: &Limits) -> Failure {
    limit("compile_time", format!("{name}: compiling it took longer than {}", limits.compile_time))
}

fn too_large(name: &str, limits: &Limits) -> Failure {
    limit("compile_memory", format!("{name}: compiling it took more memory than {}", limits.compile_memory))
}

fn cannot_start(program: &Program, error: &io::Error) -> Failure {
    super::cannot_start(program, error)
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// A socket that is read until a point in time.
struct Timed<'a> {
    socket: &'a UnixStream,
    until: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(left))?;
        (&mut &*self.socket).read(buffer)
    }
}

/// The worker's side: compiles what stands on standard output's descriptor.
pub(super) fn work(socket: &mut UnixStream, most: u64) -> io::Result<()> {
    let code = compile_here();
    let told = match &code {
        Ok(code) if code.len() as u64 > most => Err("its compiled form is too large".to_owned()),
        Ok(code) => Ok(code.len() as u64),
        Err(message) => Err(message.clone()),
    };
    wire::write_frame(socket, &told)?;
    match code {
        Ok(code) if told.is_ok() => socket.write_all(&code),
        _ => Ok(()),
    }
}

fn compile_here() -> Result<Vec<u8>, String> {
    let mut wasm = Vec::new();
    let mut file = File::open("/proc/self/fd/1").map_err(|error| error.to_string())?;
    file.read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    let engine = engine::shared().map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(&wasm).map_err(|error| format!("{error:#}"))
}
