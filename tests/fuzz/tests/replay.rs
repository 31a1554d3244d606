//! Every input that a fuzz target learnt from, and every one that once did harm, tried again.

use data_encoding::HEXLOWER;
use fuzz::TARGETS;

#[test]
fn what_was_learnt_still_does_no_harm() {
    fuzz::listen();
    let mut tried = 0;
    for target in TARGETS {
        let text = std::fs::read_to_string(fuzz::corpus(target.name)).unwrap();
        for line in text.lines() {
            let input = HEXLOWER.decode(line.as_bytes()).unwrap();
            if let Err(what) = target.check(&input) {
                panic!("{}: {line}\n{what}", target.name);
            }
            tried += 1;
        }
    }
    assert!(tried > 20 * TARGETS.len(), "{tried} inputs");
}
