//! What waits to be sent is joined, and what came and went by then is never sent.

use harness::{Person, befriend, shell, text, wait_until};
use std::fs;

struct Figures {
    entries: u64,
    bytes: u64,
}

// What is here of the shared room, and how many bytes of it bob lacks.
fn figures(ann: &Person, name: &str) -> Figures {
    let spool = ann.dir().join(name);
    fs::create_dir_all(&spool).unwrap();
    let done = ann.json(&["bundle", "export", "--to", "bob", "--spool", spool.to_str().unwrap()]);
    Figures { entries: ann.entries("/garden"), bytes: done["bytes"].as_u64().unwrap_or(0) }
}

// Ann, whose friend has what there is and went away.
fn left_alone(line: &str) -> (Person, Person) {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    shell(&ann.path("garden"), line);
    shell(&ann.path("garden"), "echo end > end");
    wait_until("bob has it", || text(&bob.path("garden/end")) == "end\n");
    bob.down();
    wait_until("bob is away", || !ann.sees("bob"));
    (ann, bob)
}

#[test]
fn what_comes_and_goes_while_nobody_is_there_is_never_sent() {
    let (mut ann, mut bob) = left_alone("echo a > a; mkdir r; echo x > r/x; echo y > y");
    let garden = ann.path("garden");
    // A machine may stall for longer than names gather; not each time.
    let leaves_nothing = |line: &str| {
        let tries = (0..5).any(|_| {
            // What is made by now is sealed with this.
            figures(&ann, "spool");
            let before = ann.entries("/garden");
            shell(&garden, line);
            std::thread::sleep(std::time::Duration::from_millis(300));
            figures(&ann, "spool");
            ann.entries("/garden") == before
        });
        assert!(tries, "something was made of: {line}");
    };
    leaves_nothing("mv a b; mv b r/b; mv r/b a");
    leaves_nothing("mv r s; mv s r");
    leaves_nothing("mkdir t; echo t > t/t; mv t/t u; rm u; rmdir t");
    leaves_nothing("ln a l; rm l");
    leaves_nothing("echo new > .new; sleep 0.4; rm .new");
    leaves_nothing("mv a t; mv y a; mv t y; mv a t; mv y a; mv t y");

    // Killed half way, what was done stays done, and going back afterwards is going back.
    shell(&garden, "mv a b; mv r s; mkdir t; echo t > t/t; rm y; sync .");
    ann.kill();
    ann.up();
    assert_eq!(shell(&garden, "ls -R"), ".:\nb\nend\ns\nt\n\n./s:\nx\n\n./t:\nt\n");
    shell(&garden, "mv b a; mv s r; rm t/t; rmdir t; mv a c; sync .");
    ann.kill();
    ann.up();
    bob.up();
    wait_until("bob has the new name", || text(&bob.path("garden/c")) == "a\n");
    for person in [&ann, &bob] {
        assert_eq!(shell(&person.path("garden"), "ls -R"), ".:\nc\nend\nr\n\n./r:\nx\n");
    }
}

#[test]
fn much_at_once_is_a_few_entries() {
    let (ann, _bob) = left_alone("for n in $(seq 1000); do echo $n > f$n; done");
    let garden = ann.path("garden");
    let mut last = figures(&ann, "spool0");
    let mut measure = |what: &str| {
        let now = figures(&ann, &format!("spool-{}", what.replace(' ', "-")));
        let made =
            Figures { entries: now.entries - last.entries, bytes: now.bytes.saturating_sub(last.bytes) };
        println!("{what}: {} entries, {} bytes", made.entries, made.bytes);
        last = now;
        made
    };
    for n in 1..=1000 {
        fs::rename(garden.join(format!("f{n}")), garden.join(format!("g{n}"))).unwrap();
    }
    let renames = measure("1000 renames");
    for n in 1..=1000 {
        fs::rename(garden.join(format!("g{n}")), garden.join("h")).unwrap();
        fs::rename(garden.join("h"), garden.join(format!("g{n}"))).unwrap();
    }
    let returned = measure("1000 there and back");
    shell(
        ann.dir(),
        "mkdir -p t/{a,b,c}/{d,e}; for d in t/*/*; do for n in $(seq 50); do seq $n 200 > $d/$n; done; done
         tar cf t.tar t; cd mnt/garden; tar xf ../../t.tar",
    );
    let tar = measure("tar x of 300 files");
    shell(
        ann.dir(),
        "mkdir repo; cd repo; git init -qb main .; git config user.name a; git config user.email a@b
         for n in $(seq 100); do seq $n 150 > f$n; done; git add .; git commit -qm one
         git checkout -qb other; for n in $(seq 60); do sed -i 3s/^/x/ f$n; done; git rm -q f9?; git mv f8 f8new
         git commit -qam two; git checkout -q main; cp -a . ../mnt/garden/repo",
    );
    measure("a repository copied");
    shell(&garden.join("repo"), "git checkout -q other");
    let checkout = measure("git checkout of another branch");
    shell(&garden.join("repo"), "git checkout -q main");
    measure("git checkout back");
    assert!(renames.entries <= 20, "{} entries of 1000 renames", renames.entries);
    assert!(returned.entries <= 20, "{} entries of 1000 files there and back", returned.entries);
    assert!(tar.entries <= 30, "{} entries of 300 files", tar.entries);
    assert!(checkout.entries <= 300, "{} entries of a checkout", checkout.entries);
}
