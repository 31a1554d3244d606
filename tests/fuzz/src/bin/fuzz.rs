//! One target under libFuzzer: the one that `CHORUS_FUZZ` names. Everything else is libFuzzer's own command line.
#![no_main]

use fuzz::Target;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("CHORUS_FUZZ").unwrap_or_default();
        fuzz::find(&name).unwrap_or_else(|| {
            eprintln!("error: CHORUS_FUZZ names no target\nhint: `corpus list` prints them");
            std::process::exit(2);
        })
    })
}

fuzz_target!(
    init: {
        fuzz::listen();
        target();
    },
    |data: &[u8]| {
        if let Err(what) = target().check(data) {
            eprintln!("{}: {what}", target().name);
            std::process::abort();
        }
    }
);
