//! What one program after another does to a file, with nobody else about, ends as it would on a disk.

use harness::{Pair, Person, shell, text, wait_until};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Steps of one script; between them, time enough for what was done to be sealed.
const SCRIPTS: [(&str, &[&str]); 9] = [
    ("replaced", &["echo one > f", "echo two >> f", "echo three > f.new; mv f.new f"]),
    ("emptied", &["echo one > f", "echo two >> f", "echo three > f"]),
    ("read", &["echo one > f", "cat f > g", "echo two >> f", "cat f >> g", "sort -r g > f"]),
    (
        "in place",
        &["seq 9 > f", "sed -i s/3/three/ f", "sed -i /5/d f", "cat f > g", "tac g > f", "echo x > f"],
    ),
    ("turns", &["echo a > f; echo b > g", "mv f h; mv g f; mv h g", "echo c >> f", "cat f g > h", "cp h f"]),
    (
        "middle",
        &[
            "seq 9 > f",
            "printf xx | dd of=f bs=1 seek=4 conv=notrunc status=none",
            "truncate -s 7 f",
            "cat f",
            "echo y > f",
        ],
    ),
    (
        "lines",
        &[
            "seq 20 > f",
            "head -5 f > g; tail -5 f >> g",
            "cat g > f",
            "seq 3 >> f",
            "grep -v 2 f > g; mv g f",
        ],
    ),
    ("copied", &["echo one > f", "cp f g", "echo two >> f", "cp g f", "cat f >> g", "cat g > f"]),
    ("again", &["echo a > f", "rm f; echo b > f", "echo c >> f", "rm f", "echo d > f", "echo e > f"]),
];

/// What whoever starts the steps reads of the file between them: everything, only what was there at first, nothing.
const WAYS: [&str; 3] = ["knows", "knew", "asks nobody"];

const RUN: &str = "import os,subprocess,sys,time\n\
    for number, step in enumerate(sys.argv[2:]):\n\
    \x20   subprocess.run(['sh', '-c', step], check=True, stdout=subprocess.DEVNULL)\n\
    \x20   reads = sys.argv[1] == 'knows' or (number == 0 and sys.argv[1] == 'knew')\n\
    \x20   if reads and os.path.exists('f'): open('f').read()\n\
    \x20   time.sleep(float(os.environ['PAUSE']))\n";

#[test]
fn what_one_does_alone_ends_as_on_a_disk() {
    let pair = Pair::new();
    let mut running = Vec::new();
    for knows in WAYS {
        for (name, steps) in SCRIPTS {
            let name = format!("{name}, {knows}");
            for (dir, pause) in [(pair.mine(&name), "1.2"), (pair.aside(&name), "0")] {
                fs::create_dir(&dir).unwrap();
                let mut run = Command::new("python3");
                let run = run.args(["-c", RUN, knows]).args(steps).env("PAUSE", pause).current_dir(&dir);
                running.push((name.clone(), run.spawn().unwrap()));
            }
        }
    }
    for (name, mut run) in running {
        assert!(run.wait().unwrap().success(), "{name}");
    }
    for knows in WAYS {
        for (name, _) in SCRIPTS {
            let name = format!("{name}, {knows}");
            for file in fs::read_dir(pair.aside(&name)).unwrap() {
                let file = file.unwrap().file_name();
                let wanted = text(&pair.aside(&name).join(&file));
                assert_eq!(text(&pair.mine(&name).join(&file)), wanted, "{name}: {}", file.display());
                wait_until("the friend has the same", || text(&pair.theirs(&name).join(&file)) == wanted);
            }
        }
    }
}

#[test]
fn a_restart_between_changes_nothing() {
    let mut ann = Person::new("ann");
    ann.up();
    fs::write(ann.path("f"), "one\n").unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    shell(ann.mount(), "echo two >> f; echo 2.5 >> f");
    ann.down();
    ann.up();
    shell(ann.mount(), "echo three > f.new; mv f.new f");
    assert_eq!(text(&ann.path("f")), "three\n");
}
