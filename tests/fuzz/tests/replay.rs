//! Every input that a fuzz target learnt from, and every one that once did harm, tried again.

use data_encoding::HEXLOWER;
use fuzz::TARGETS;

#[test]
fn what_was_learnt_still_does_no_harm() {
    fuzz::listen();
    let (mut tried, mut harm) = (0, 0);
    for target in TARGETS {
        let learnt = fuzz::inputs(&fuzz::corpus(target.name));
        if learnt.is_empty() {
            eprintln!("{} has no corpus", target.name);
            harm += 1;
        }
        for input in learnt.iter().chain(&fuzz::inputs(&fuzz::harm(target.name))) {
            if let Err(what) = target.check(input) {
                // What a panic here would say is listened to as well.
                eprintln!("{}: {}\n{what}", target.name, HEXLOWER.encode(input));
                harm += 1;
            }
            tried += 1;
        }
    }
    let _ = std::panic::take_hook();
    assert_eq!(harm, 0, "inputs that do harm; they are named above");
    assert!(tried > 20 * TARGETS.len(), "{tried} inputs");
}
