//! Two nodes whose only link is two daemons of a network that stores and forwards.

use harness::namespace::{ADDRESSES, Cable};
use harness::{Person, acquaint, must, sample, shell, text, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

// A BPv7 daemon in a namespace; ended at the end.
struct Daemon(Child);

fn dtnd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/dtnd")
}

impl Daemon {
    fn start(name: &str, namespace: &str, other: (&str, &str), dir: &Path) -> Daemon {
        assert!(dtnd().is_file(), "there is no dtnd: .ci/prepare test builds it");
        fs::create_dir_all(dir).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{namespace}"))
            .arg("--")
            .arg(dtnd())
            .args([
                "-n",
                name,
                "-w",
                "3000",
                "-C",
                "mtcp:port=16162",
                "-4",
                "-r",
                "epidemic",
                "-j",
                "1s",
                "-i",
                "0",
            ])
            .args(["--disable_nd", "-D", "mem", "-W", dir.to_str().unwrap()])
            .args(["-s", &format!("mtcp://{}:16162/{}", other.1, other.0)])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Post {
    ann: Person,
    bob: Person,
    daemons: [Daemon; 2],
    cable: Cable,
}

fn earth(cable: &Cable, ann: &Person) -> Daemon {
    Daemon::start("earth", &cable.ends[0], ("mars", ADDRESSES[1]), &ann.dir().join("dtnd"))
}

fn mars(cable: &Cable, bob: &Person) -> Daemon {
    Daemon::start("mars", &cable.ends[1], ("earth", ADDRESSES[0]), &bob.dir().join("dtnd"))
}

fn post() -> Post {
    assert!(harness::namespace::possible(), "this test makes network namespaces: run it as root");
    let cable = Cable::lay();
    // Their own ports are those of their own machine: the daemons' are the only way.
    let mut ann = Person::in_namespace("ann", &cable.ends[0], "127.0.0.1");
    let mut bob = Person::in_namespace("bob", &cable.ends[1], "127.0.0.1");
    let daemons = [earth(&cable, &ann), mars(&cable, &bob)];
    ann.up();
    bob.up();
    acquaint(&ann, &bob);
    acquaint(&bob, &ann);
    fs::create_dir(ann.path("garden")).unwrap();
    ann.ok(&["share", "/garden", "--with", "bob"]);
    // Only one has to be told of the other.
    ann.ok(&["dtn", "--daemon", "http://127.0.0.1:3000", "--peer", "bob", "--patience", "3"]);
    bob.ok(&["dtn", "--daemon", "http://127.0.0.1:3000", "--patience", "3"]);
    Post { ann, bob, daemons, cable }
}

fn joins(bob: &Person) {
    wait_until("the room can be joined", || bob.run(&["join", "ann/garden", "/garden"]).status.success());
}

fn waiting(who: &Person) -> u64 {
    who.json(&["dtn"])["peers"][0]["waiting"].as_u64().unwrap_or(u64::MAX)
}

#[test]
fn edits_and_a_large_file_go_both_ways_over_daemons_and_restarts() {
    let Post { mut ann, mut bob, daemons: [one, two], cable } = post();
    wait_until("the daemon answers", || ann.json(&["dtn"])["node"] == "dtn://earth/");
    let story: String = (0..60).map(|n| format!("line {n} of a long story\n")).collect();
    fs::write(ann.path("garden/story"), &story).unwrap();
    joins(&bob);
    wait_until("bob has the story", || text(&bob.path("garden/story")) == story);
    wait_until("ann knows it", || waiting(&ann) == 0);

    // While the daemons do not reach each other, both write, and one is stopped.
    cable.cut();
    shell(ann.mount(), "sed -i 's/^line 3 /line 3 by ann /' garden/story");
    shell(bob.mount(), "sed -i 's/^line 50 /line 50 by bob /' garden/story");
    fs::write(ann.dir().join("film"), sample::Numbers::from(5).bytes(6 << 20)).unwrap();
    shell(ann.dir(), "cp film mnt/garden/film");
    wait_until("it waits to be acknowledged", || (1..u64::MAX).contains(&waiting(&ann)));
    ann.kill();
    must(Command::new("umount").arg("-l").arg(ann.mount()));
    ann.up();
    bob.down();
    bob.up();
    // What the daemons held is lost with them: it is sent again.
    drop((one, two));
    cable.heal();
    let daemons = [earth(&cable, &ann), mars(&cable, &bob)];
    let merged = story.replace("line 3 ", "line 3 by ann ").replace("line 50 ", "line 50 by bob ");
    for who in [&ann, &bob] {
        wait_until("the edits met", || text(&who.path("garden/story")) == merged);
    }
    wait_until("bob has the film", || {
        let cmp = Command::new("cmp").arg(ann.dir().join("film")).arg(bob.path("garden/film")).output();
        cmp.unwrap().status.success()
    });
    wait_until("nothing waits any more", || waiting(&ann) == 0 && waiting(&bob) == 0);
    assert!(!ann.sees("bob") && !bob.sees("ann"), "no link was there but the daemons'");
    drop(daemons);
}
