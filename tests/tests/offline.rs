//! No network at all: everything local works, and nothing waits.

use harness::compare::Also;
use harness::namespace::{Island, possible};
use harness::{Person, differences, sample, shell};
use std::time::{Duration, Instant};

#[test]
fn everything_local_works_without_any_network() {
    assert!(possible(), "this test makes a network namespace: run it as root");
    let island = Island::new();
    let mut ann = Person::without_network("ann", &island.name);
    let start = Instant::now();
    ann.up();
    assert!(start.elapsed() < Duration::from_secs(15), "starting took {:?}", start.elapsed());
    let work = Instant::now();
    sample::make_tree(&ann.dir().join("sample"), 200, 1 << 20);
    shell(
        ann.dir(),
        "cp -a sample mnt/sample; echo x > mnt/f; sed -i s/x/y/ mnt/f; mv mnt/f mnt/g; rm -r 'mnt/sample/part 2'",
    );
    shell(ann.dir(), "rm -r 'sample/part 2'");
    assert_eq!(
        differences(&ann.dir().join("sample"), &ann.path("sample"), Also::ModesAndTimes),
        Vec::<String>::new()
    );
    ann.ok(&["invite", "--for", "bob"]);
    ann.ok(&["status"]);
    assert!(work.elapsed() < Duration::from_secs(60), "it took {:?}", work.elapsed());
    ann.down();
    ann.up();
    assert_eq!(
        differences(&ann.dir().join("sample"), &ann.path("sample"), Also::ModesAndTimes),
        Vec::<String>::new()
    );
}

#[test]
fn a_friend_who_is_not_there_keeps_nobody_waiting() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    harness::befriend(&ann, &bob, Some("garden"));
    bob.kill();
    let start = Instant::now();
    shell(&ann.path("garden"), "for n in $(seq 100); do echo $n > f$n; done; ls -l; cat f1; rm f*");
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    let stop = Instant::now();
    ann.down();
    assert!(stop.elapsed() < Duration::from_secs(15), "stopping took {:?}", stop.elapsed());
}
