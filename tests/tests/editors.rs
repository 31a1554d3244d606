//! The editors people already use, driven through a real mount, while a friend edits the same
//! file: both edits are there afterwards, and the object keeps its identity.

use harness::editor::{Terminal, installed};
use harness::{Person, befriend, shell, text, wait_until};
use std::fs;
use std::path::Path;

const BEFORE: &str = "alpha\nbeta\ngamma\ndelta\nepsilon\nzeta\neta\ntheta\n";

struct Pair {
    ann: Person,
    bob: Person,
}

fn pair() -> Pair {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    Pair { ann, bob }
}

impl Pair {
    fn start(&self, name: &str) {
        fs::write(self.ann.path("garden").join(name), BEFORE).unwrap();
        wait_until("bob has the file", || text(&self.bob.path("garden").join(name)) == BEFORE);
    }

    // What a friend does while the editor is open: the last line.
    fn friend_edits(&self, name: &str) {
        let theirs = self.bob.path("garden").join(name);
        fs::write(&theirs, BEFORE.replace("theta\n", "theta by bob\n")).unwrap();
        let mine = self.ann.path("garden").join(name);
        wait_until("ann has bob's edit", || text(&mine).contains("theta by bob\n"));
    }

    fn both(&self, name: &str, first: &str) {
        let merged = BEFORE.replace("alpha\n", first).replace("theta\n", "theta by bob\n");
        for person in [&self.ann, &self.bob] {
            let path = person.path("garden").join(name);
            let what = format!("both edits of {name} on {}'s mount", person.name);
            wait_until(&what, || text(&path) == merged);
        }
    }
}

fn id(path: &Path) -> String {
    let mut value = vec![0; 256];
    let length = rustix::fs::getxattr(path, "user.chorus.id", &mut value).expect("user.chorus.id");
    String::from_utf8_lossy(&value[..length]).into_owned()
}

fn keeps_id(pair: &Pair, name: &str, first: &str, edit: impl FnOnce(&Path)) {
    pair.start(name);
    let path = pair.ann.path("garden").join(name);
    let before = id(&path);
    edit(&pair.ann.path("garden"));
    pair.both(name, first);
    assert_eq!(id(&path), before, "{name} is the same object after the save");
}

#[test]
fn vim_saves_an_edit_of_what_it_read() {
    if !installed("vim") || !installed("tmux") {
        eprintln!("not run: vim or tmux is not installed");
        return;
    }
    let pair = pair();
    keeps_id(&pair, "vim.txt", "alpha in vim\n", |room| {
        let terminal =
            Terminal::start(room, "vim -u NONE -N -i NONE +'set backup backupdir=. writebackup' vim.txt");
        terminal.wait_screen("theta");
        pair.friend_edits("vim.txt");
        terminal.type_text("A in vim");
        terminal.press(&["Escape"]);
        terminal.type_text(":w");
        terminal.press(&["Enter"]);
        wait_until("vim has saved", || {
            // Vim notices that the file changed meanwhile and asks; the answer is yes.
            let screen = terminal.screen();
            for (asks, key) in [("(y/n)", "y"), ("(L)oad File", "o"), ("Press ENTER", "Enter")] {
                if screen.contains(asks) {
                    terminal.press(&[key]);
                }
            }
            text(&room.join("vim.txt")).contains("alpha in vim")
        });
        terminal.type_text(":q!");
        terminal.press(&["Enter"]);
        terminal.wait_end();
    });
    // Its backup and swap files are nobody else's business.
    assert!(!pair.bob.path("garden/vim.txt~").exists());
    assert!(!pair.bob.path("garden/.vim.txt.swp").exists());
}

#[test]
fn nano_saves_an_edit_of_what_it_read() {
    if !installed("nano") || !installed("tmux") {
        eprintln!("not run: nano or tmux is not installed");
        return;
    }
    let pair = pair();
    keeps_id(&pair, "nano.txt", "in nano alpha\n", |room| {
        let terminal = Terminal::start(room, "nano -I nano.txt");
        terminal.wait_screen("theta");
        pair.friend_edits("nano.txt");
        terminal.type_text("in nano ");
        terminal.press(&["C-o", "Enter"]);
        // It asks whether to go on, if it noticed that the file is newer than what it read.
        let saved = || {
            if terminal.screen().contains("Y Yes") {
                terminal.press(&["y"]);
            }
            text(&room.join("nano.txt")).contains("in nano")
        };
        if !std::iter::repeat_with(saved).take(200).any(|done| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            done
        }) {
            panic!("nano has not saved; its screen:\n{}", terminal.screen());
        }
        terminal.press(&["C-x"]);
        terminal.wait_end();
    });
}

#[test]
fn emacs_saves_an_edit_of_what_it_read() {
    if !installed("emacs") {
        eprintln!("not run: emacs is not installed");
        return;
    }
    let pair = pair();
    keeps_id(&pair, "emacs.txt", "in emacs alpha\n", |room| {
        let go = room.parent().and_then(Path::parent).unwrap().join("go");
        let script = format!(
            "(progn (setq revert-without-query nil) (find-file \"emacs.txt\") (insert \"in emacs \")
               (while (not (file-exists-p \"{}\")) (sleep-for 0.05))
               (fset 'yes-or-no-p (lambda (&rest _) t)) (fset 'y-or-n-p (lambda (&rest _) t))
               (fset 'ask-user-about-supersession-threat (lambda (&rest _) nil))
               (fset 'ask-user-about-lock (lambda (&rest _) t))
               (setq verify-visited-file-modtime nil) (set-visited-file-modtime) (save-buffer))",
            go.display()
        );
        let args = ["-Q", "--batch", "--eval", &script];
        let mut emacs = std::process::Command::new("emacs").args(args).current_dir(room).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(2));
        pair.friend_edits("emacs.txt");
        fs::write(&go, "").unwrap();
        assert!(emacs.wait().unwrap().success());
    });
    assert!(!pair.bob.path("garden/emacs.txt~").exists());
}

#[test]
fn programs_that_replace_a_file_keep_its_identity() {
    let pair = pair();
    let lines: [(&str, &str, &str); 4] = [
        ("sed", "alpha by sed\n", "exec 3<f.sed; sed -i 's/^alpha$/alpha by sed/' f.sed"),
        ("perl", "alpha by perl\n", "perl -i -pe 's/^alpha$/alpha by perl/' f.perl"),
        (
            "ed",
            "alpha by ed\n",
            "command -v ed >/dev/null && printf '1s/$/ by ed/\\nw\\nq\\n' | ed -s f.ed || python3 - <<'E'\nb=open('f.ed').read()\nopen('f.ed','w').write(b.replace('alpha\\n','alpha by ed\\n'))\nE",
        ),
        ("mv", "alpha by mv\n", "sed 's/^alpha$/alpha by mv/' f.mv > f.mv.new; mv f.mv.new f.mv"),
    ];
    for (tool, first, line) in lines {
        let name = format!("f.{tool}");
        pair.start(&name);
        pair.friend_edits(&name);
        let path = pair.ann.path("garden").join(&name);
        let before = id(&path);
        shell(&pair.ann.path("garden"), line);
        pair.both(&name, first);
        assert_eq!(id(&path), before, "{name}");
    }
}

#[test]
fn git_checkout_keeps_identity_and_a_slow_reader_sees_one_version() {
    let pair = pair();
    let big: String = (0..9000).map(|n| format!("line number {n} of the long story\n")).collect();
    fs::write(pair.ann.path("garden/long"), &big).unwrap();
    wait_until("bob has it", || text(&pair.bob.path("garden/long")) == big);
    use std::io::Read;
    let mut reader = fs::File::open(pair.bob.path("garden/long")).unwrap();
    let mut read = vec![0; 100_000];
    reader.read_exact(&mut read).unwrap();
    fs::write(pair.ann.path("garden/long"), big.replace("line number", "LINE")).unwrap();
    wait_until("bob has the new version", || text(&pair.bob.path("garden/long")).starts_with("LINE"));
    reader.read_to_end(&mut read).unwrap();
    assert!(read == big.as_bytes(), "a handle shows one version from its first byte to its last");
}

#[test]
fn an_empty_moment_is_never_sent() {
    let pair = pair();
    pair.start("f");
    let theirs = pair.bob.path("garden/f");
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
            shell(&pair.ann.path("garden"), &format!("echo {n} > f"));
        }
        wait_until("bob has the last", || text(&theirs) == "59\n");
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(watch.join().unwrap(), 0, "bob never saw the file empty");
    });
}
