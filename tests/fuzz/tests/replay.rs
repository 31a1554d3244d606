//! Every input that a fuzz target learnt from, and every one that once did harm, tried again.

use data_encoding::HEXLOWER;
use fuzz::TARGETS;

#[test]
fn what_was_learnt_still_does_no_harm() {
    fuzz::listen();
    let mut tried = 0;
    for target in TARGETS {
        let learnt = fuzz::inputs(&fuzz::corpus(target.name));
        assert!(!learnt.is_empty(), "{} has a corpus", target.name);
        for input in learnt.iter().chain(&fuzz::inputs(&fuzz::harm(target.name))) {
            if let Err(what) = target.check(input) {
                panic!("{}: {}\n{what}", target.name, HEXLOWER.encode(input));
            }
            tried += 1;
        }
    }
    assert!(tried > 20 * TARGETS.len(), "{tried} inputs");
}
