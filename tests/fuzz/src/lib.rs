//! Fuzz targets: whatever reads bytes that a peer, a disk or another program could have made.
//!
//! A target takes any bytes. It must not panic, must keep within a bound of memory that grows with the bytes
//! that are really there, and where a value has one encoding, what was read must encode to what was read.
//!
//! `make fuzz` runs them with libFuzzer (feature `engine`), guided by coverage. What it learns is kept in
//! `corpus/NAME.hex`, one input a line, and what once did harm in `harm/NAME.hex`; `cargo test -p chorus-fuzz`
//! tries all of these without the engine.
//!
//! Decoders that their crates keep to themselves are built in here from the same files (`within`).

mod carried;
mod disk;
mod ground;
mod objects;
mod people;
mod sealed;
pub mod seed;
mod socket;
mod state;
mod wire;
mod within;

use data_encoding::HEXLOWER;
use peak_alloc::PeakAlloc;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What the last panic said, guarded ones included.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// One thing that reads bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Bytes of the longest input that is worth trying.
    pub most: usize,
    /// Bytes of memory it may take whatever comes.
    floor: usize,
    /// Bytes of memory it may take for each byte that comes.
    each: usize,
    run: fn(&[u8]),
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const fn target(name: &'static str, most: usize, floor: usize, each: usize, run: fn(&[u8])) -> Target {
    Target { name, most, floor, each, run }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("entry", 4 * KIB, 64 * KIB, 16, ground::entry),
    target("header", 2 * KIB, 64 * KIB, 16, ground::header),
    target("name", 600, 64 * KIB, 64, ground::name),
    target("packed", 4 * KIB, 49 * MIB, 64, sealed::packed),
    target("sealed", 2 * KIB, 256 * KIB, 64, sealed::sealed),
    target("wrap", 512, 64 * KIB, 16, sealed::wrap),
    target("envelope", 4 * KIB, 64 * KIB, 32, wire::envelope),
    target("frame", 4 * KIB, 3 * MIB, 16, wire::frame),
    target("items", 4 * KIB, 128 * KIB, 64, carried::items),
    target("bundle", 4 * KIB, 256 * KIB, 64, carried::bundle),
    target("parcel", 4 * KIB, 64 * KIB, 16, carried::parcel),
    target("answer", 4 * KIB, 64 * KIB, 32, carried::answer),
    target("machine", 4 * KIB, 16 * MIB, 512, state::machine),
    target("statement", 2 * KIB, 64 * KIB, 64, people::statement),
    target("operation", 4 * KIB, 64 * KIB, 64, people::operation),
    target("card", 4 * KIB, 256 * KIB, 64, people::card),
    target("pairing", 4 * KIB, 256 * KIB, 64, people::pairing),
    target("membership", 4 * KIB, 4 * MIB, 256, state::membership),
    target("body", 4 * KIB, 256 * KIB, 256, objects::body),
    target("birth", 2 * KIB, 4 * MIB, 1024, objects::birth),
    target("manifest", 2 * KIB, 64 * KIB, 32, objects::manifest),
    target("door", 2 * KIB, 64 * KIB, 64, objects::door),
    target("change", 2 * KIB, 64 * MIB, 4 * KIB, objects::change),
    target("image", 2 * KIB, 64 * MIB, 4 * KIB, objects::image),
    target("record", 4 * KIB, 64 * KIB, 16, disk::record),
    target("mark", 64, 64 * KIB, 16, disk::mark),
    target("index", 2 * KIB, 64 * KIB, 64, disk::index),
    target("control", 2 * KIB, 64 * KIB, 256, socket::control),
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Where what was learnt is kept: minimised anew from time to time.
pub fn corpus(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")).join(format!("{name}.hex"))
}

/// Where what once did harm is kept, for ever. There may be none.
pub fn harm(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/harm")).join(format!("{name}.hex"))
}

/// The inputs of a file.
pub fn inputs(file: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| HEXLOWER.decode(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(line).collect()
}

/// Keeps what panics say instead of printing it: many are guarded, and no fault of the target's.
pub fn listen() {
    std::panic::set_hook(Box::new(|panic| {
        let said = format!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
        if let Ok(mut last) = PANIC.lock() {
            *last = said;
        }
    }));
}

impl Target {
    /// Tries an input. An error says what is wrong.
    pub fn check(&self, data: &[u8]) -> Result<(), String> {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        if catch_unwind(AssertUnwindSafe(|| (self.run)(data))).is_err() {
            return Err(PANIC.lock().map(|said| said.clone()).unwrap_or_default());
        }
        let taken = MEMORY.peak_usage().saturating_sub(before);
        let allowed = self.floor + self.each * data.len();
        if taken > allowed {
            return Err(format!("{taken} bytes of memory for {} bytes, {allowed} allowed", data.len()));
        }
        Ok(())
    }
}

/// What is left of an input that is read in pieces.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Bytes behind their length of two bytes; all that is left where it claims more.
    fn piece(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (piece, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        self.0 = rest;
        Some(piece)
    }
}
