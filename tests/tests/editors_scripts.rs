//! Programs that change files and are gone: each is stopped between reading and saving, a friend edits, and it saves.

use harness::Pair;
use harness::editor::Script;
use harness::meanwhile::{BEFORE, Lookout};
use harness::{shell, text, wait_until};
use std::fs;
use std::io::Read;

/// Replaces the first line of the file of its own name, with `pause` between reading and saving.
const SCRIPTS: [(&str, &str); 13] = [
    ("sed", "sed -i -e 's/^alpha$/alpha by sed/' -e \"2e $PAUSE\" sed"),
    ("perl", "perl -i -pe 's/^alpha$/alpha by perl/; system($ENV{PAUSE}) if $. == 2' perl"),
    (
        "redirect",
        "cat redirect > \"$ASIDE/old\"; pause; sed 's/^alpha$/alpha by redirect/' \"$ASIDE/old\" > redirect",
    ),
    ("echo", "t=$(cat echo); pause; echo \"${t/alpha/alpha by echo}\" > echo"),
    ("tee", "t=$(cat tee); pause; echo \"${t/alpha/alpha by tee}\" | tee tee > /dev/null"),
    ("mv", "sed 's/^alpha$/alpha by mv/' mv > mv.new; pause; mv mv.new mv"),
    (
        "git",
        "export GIT_DIR=\"$ASIDE/repo\" GIT_WORK_TREE=\"$PWD\" GIT_AUTHOR_NAME=a GIT_COMMITTER_NAME=a EMAIL=a@b; \
        git init -q -b main; git add git; git commit -qm one; git checkout -qb other; \
        sed 's/^alpha$/alpha by git/' git > \"$ASIDE/new\"; \
        git update-index --cacheinfo \"100644,$(git hash-object -w \"$ASIDE/new\"),git\"; git commit -qm two; \
        git checkout -qf main; pause; git checkout -qf other",
    ),
    (
        "python",
        "t=open('python').read()\npause()\nopen('python','w').write(t.replace('alpha','alpha by python'))",
    ),
    (
        "through",
        "f=open('through','r+'); t=f.read()\npause()\nf.seek(0); f.truncate(); f.write(t.replace('alpha','alpha by through')); f.close()",
    ),
    (
        "renames",
        "t=open('renames').read()\npause()\nf=open('.renames.XY12','w'); f.write(t.replace('alpha','alpha by renames')); f.close(); os.rename('.renames.XY12','renames')",
    ),
    // In place, by another thread than the one that read: what editors built on node.js do.
    (
        "threads",
        "t=open('threads').read()\npause()\ndef save():\n    f=os.open('threads', os.O_WRONLY); os.ftruncate(f, 0); os.write(f, t.replace('alpha','alpha by threads').encode()); os.close(f)\nx=threading.Thread(target=save); x.start(); x.join()",
    ),
    // Writes its buffer over the old bytes and cuts what is left.
    (
        "over",
        "t=open('over').read()\npause()\nf=os.open('over', os.O_WRONLY); os.write(f, t.replace('alpha','alpha by over').encode()); os.ftruncate(f, len(t)+8); os.close(f)",
    ),
    (
        "child",
        "t=open('child').read()\npause()\nimport subprocess\nfor n in (1, 2): subprocess.run(['dd','of=child','status=none'], input=t.replace('alpha','alpha by child').encode(), check=True)",
    ),
];

fn is_python(body: &str) -> bool {
    body.contains("pause()\n") || body.contains("os.open")
}

#[test]
fn programs_save_edits_of_what_was_read() {
    let pair = Pair::new();
    let names = SCRIPTS.map(|(name, _)| name);
    pair.make(&names);
    let ids = names.map(|name| pair.id(name));
    let lookout = Lookout::start(pair.bob.path("garden"));
    let scripts = SCRIPTS.map(|(name, body)| {
        let aside = pair.aside(&format!("script-{name}"));
        if is_python(body) {
            Script::python(&pair.room(), &aside, body)
        } else {
            Script::bash(&pair.room(), &aside, body)
        }
    });
    let mut scripts = scripts;
    scripts.iter_mut().for_each(Script::wait_pause);
    pair.bob_edits(&names, "theta\n", "theta by bob\n");
    scripts.into_iter().for_each(Script::finish);
    for (name, id) in names.iter().zip(ids) {
        pair.both(
            name,
            &BEFORE.replace("alpha", &format!("alpha by {name}")).replace("theta", "theta by bob"),
        );
        assert_eq!(pair.id(name), id, "{name} is the same object");
        pair.has_one_history(name);
    }
    let mut seen = lookout.end();
    // Made under a name of its own and left there for as long as the pause: an ordinary file for so long.
    seen.retain(|name| name != "mv.new");
    // The temporaries of sed and perl live through the pause too, as new files without words.
    seen.retain(|name| !(name.starts_with("XX") || name.starts_with("sed") && name.len() > 3));
    assert_eq!(seen, names.map(String::from).into(), "what bob ever saw in the room");
}

#[test]
fn appends_of_both_survive_whole() {
    let pair = Pair::new();
    pair.make(&["list"]);
    let mut script = Script::bash(
        &pair.room(),
        &pair.aside("append"),
        "exec 3>> list; pause; echo mine >&3; echo more >> list",
    );
    script.wait_pause();
    pair.bob_edits(&["list"], "theta\n", "theta\nbob's\n");
    script.finish();
    pair.both("list", &format!("{BEFORE}bob's\nmine\nmore\n"));
}

#[test]
fn a_slow_reader_sees_one_version() {
    let pair = Pair::new();
    let big: String = (0..9000).map(|n| format!("line number {n} of the long story\n")).collect();
    fs::write(pair.mine("long"), &big).unwrap();
    wait_until("bob has it", || text(&pair.theirs("long")) == big);
    let mut reader = fs::File::open(pair.theirs("long")).unwrap();
    let mut read = vec![0; 100_000];
    reader.read_exact(&mut read).unwrap();
    fs::write(pair.mine("long"), big.replace("line number", "LINE")).unwrap();
    wait_until("bob has the new version", || text(&pair.theirs("long")).starts_with("LINE"));
    reader.read_to_end(&mut read).unwrap();
    assert!(read == big.as_bytes(), "a handle shows one version from its first byte to its last");
}

#[test]
fn an_empty_moment_is_never_sent() {
    let pair = Pair::new();
    pair.make(&["f"]);
    let theirs = pair.theirs("f");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut emptied = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                emptied += usize::from(fs::read(&theirs).is_ok_and(|bytes| bytes.is_empty()));
            }
            emptied
        });
        for n in 0..60 {
            shell(&pair.room(), &format!("echo {n} > f"));
        }
        let last = std::panic::catch_unwind(|| pair.both("f", "59\n"));
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        last.unwrap();
        assert_eq!(watch.join().unwrap(), 0, "bob never saw the file empty");
    });
}
