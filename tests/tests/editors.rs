//! The editors people already use, driven through a real mount, while a friend edits the same
//! file: both edits are there afterwards, and the object keeps its identity and its history.

use harness::Pair;
use harness::editor::Terminal;
use harness::meanwhile::{BEFORE, Lookout};
use harness::{text, wait_until};
use std::process::{Command, Stdio};

/// An editor: how it is started, what is typed for the first and for the second edit, how each is
/// saved, what its questions are answered, how it is left.
struct Editor {
    name: &'static str,
    line: &'static str,
    /// What the first line and then the third line become.
    edits: [&'static str; 2],
    typed: [&'static [&'static str]; 2],
    save: &'static [&'static str],
    answers: &'static [(&'static str, &'static str)],
    quit: &'static [&'static str],
}

const VI_ASKS: &[(&str, &str)] = &[("(y/n)", "y"), ("(L)oad", "o"), ("Press ENTER", "<Enter>")];

const EDITORS: [Editor; 5] = [
    Editor {
        name: "vim",
        line: "vim -u NONE -N -i NONE +'set backup backupdir=. writebackup' vim",
        edits: ["alpha in vim", "gamma again"],
        typed: [&["A in vim", "<Escape>"], &["3GA again", "<Escape>"]],
        save: &[":w", "<Enter>"],
        answers: VI_ASKS,
        quit: &[":q!", "<Enter>"],
    },
    Editor {
        name: "nvim",
        line: "nvim -u NONE -i NONE --cmd 'set noautoread backup backupdir=. writebackup' nvim",
        edits: ["alpha in neovim", "gamma again"],
        typed: [&["A in neovim", "<Escape>"], &["3GA again", "<Escape>"]],
        save: &[":w", "<Enter>"],
        answers: VI_ASKS,
        quit: &[":q!", "<Enter>"],
    },
    Editor {
        name: "nano",
        line: "nano -I nano",
        edits: ["in nano alpha", "again gamma"],
        typed: [&["in nano "], &["<Home>", "<Down>", "<Down>", "again "]],
        save: &["<C-o>", "<Enter>"],
        answers: &[("Y Yes", "y")],
        quit: &["<C-x>"],
    },
    Editor {
        name: "emacs",
        line: "emacs -nw -Q emacs",
        edits: ["in emacs alpha", "again gamma"],
        typed: [&["in emacs "], &["<C-a>", "<C-n>", "<C-n>", "again "]],
        save: &["<C-x>", "<C-s>"],
        answers: &[("really edit the buffer", "y"), ("Save anyway?", "yes <Enter>")],
        quit: &["<C-x>", "<C-c>"],
    },
    Editor {
        name: "micro",
        line: "micro -config-dir ../../micro micro",
        edits: ["in micro alpha", "again gamma"],
        typed: [&["in micro "], &["<Home>", "<Down>", "<Down>", "<Home>", "again "]],
        save: &["<C-s>"],
        answers: &[("Reload file?", "n")],
        quit: &["<C-q>"],
    },
];

impl Editor {
    // Types an edit, whatever is asked meanwhile, and saves it.
    fn edit(&self, pair: &Pair, terminal: &Terminal, n: usize) {
        let (edit, typed) = (self.edits[n], self.typed[n]);
        for keys in typed {
            // The first letter makes some ask whether to edit a file that has changed.
            let (first, rest) = match keys.strip_prefix('<') {
                Some(_) => (*keys, ""),
                None => keys.split_at(1),
            };
            terminal.send(&[first]);
            if self.name == "emacs" || self.name == "micro" {
                std::thread::sleep(std::time::Duration::from_millis(400));
                terminal.answer_until("no more questions", self.answers, || {
                    let screen = terminal.screen();
                    !self.answers.iter().any(|(asks, _)| screen.contains(asks))
                });
            }
            if !rest.is_empty() {
                terminal.send(&[rest]);
            }
        }
        terminal.answer_until(&format!("{} shows {edit:?}", self.name), self.answers, || {
            terminal.screen().contains(edit)
        });
        terminal.send(self.save);
        // Bob's side is looked at: who reads here stands in nobody's way, but reads for its session.
        let saved = pair.theirs(self.name);
        terminal
            .answer_until(&format!("{} has saved", self.name), self.answers, || text(&saved).contains(edit));
    }
}

fn each(editors: &[(Editor, Terminal)], work: impl Fn(&Editor, &Terminal) + Sync) {
    std::thread::scope(|scope| {
        for (editor, terminal) in editors {
            scope.spawn(|| work(editor, terminal));
        }
    });
}

#[test]
fn editors_save_edits_of_what_they_read_also_twice_without_reading_again() {
    let pair = Pair::new();
    let names = EDITORS.each_ref().map(|editor| editor.name);
    pair.make(&names);
    let ids = names.map(|name| pair.id(name));
    std::fs::create_dir(pair.aside("micro")).unwrap();
    let lookout = Lookout::start(pair.bob.path("garden"));
    let editors = EDITORS.map(|editor| {
        let terminal = Terminal::start(&pair.room(), editor.line);
        (editor, terminal)
    });
    each(&editors, |_, terminal| terminal.wait_screen("theta"));

    pair.bob_edits(&names, "theta\n", "theta by bob\n");
    each(&editors, |editor, terminal| editor.edit(&pair, terminal, 0));
    let first = |editor: &Editor| BEFORE.replace("alpha", editor.edits[0]).replace("theta", "theta by bob");
    editors.iter().for_each(|(editor, _)| pair.both(editor.name, &first(editor)));

    // None of them has read the file since: their buffers still lack both of Bob's edits.
    pair.bob_edits(&names, "eta\ntheta by", "eta as well\ntheta by");
    each(&editors, |editor, terminal| editor.edit(&pair, terminal, 1));
    let second = |editor: &Editor| {
        first(editor).replace("gamma", editor.edits[1]).replace("\neta\n", "\neta as well\n")
    };
    editors.iter().for_each(|(editor, _)| pair.both(editor.name, &second(editor)));

    each(&editors, |editor, terminal| {
        terminal.send(editor.quit);
        terminal.answer_until(
            "the end",
            &[("Save changes", "n"), ("Modified buffers", "yes <Enter>")],
            || terminal.screen().is_empty(),
        );
    });
    for (name, id) in names.iter().zip(ids) {
        assert_eq!(pair.id(name), id, "{name} is the same object after its saves");
        pair.has_one_history(name);
    }
    // Their backups, swap and lock files are nobody else's business.
    assert_eq!(lookout.end(), names.map(String::from).into(), "what bob ever saw in the room");
}

#[test]
fn ed_saves_an_edit_of_what_it_read() {
    use std::io::Write;
    let pair = Pair::new();
    pair.make(&["ed"]);
    let id = pair.id("ed");
    let mut ed = Command::new("ed");
    let mut ed = ed.args(["-s", "ed"]).current_dir(pair.room()).stdin(Stdio::piped()).spawn().unwrap();
    let mut keys = ed.stdin.take().unwrap();
    let read = pair.aside("read");
    keys.write_all(format!("!: > {}\n", read.display()).as_bytes()).unwrap();
    wait_until("ed has read the file", || read.exists());
    pair.bob_edits(&["ed"], "theta\n", "theta by bob\n");
    keys.write_all(b"1s/$/ by ed/\nw\n").unwrap();
    let saved = BEFORE.replace("alpha", "alpha by ed").replace("theta", "theta by bob");
    pair.both("ed", &saved);
    keys.write_all(b"3s/$/ again/\nw\nq\n").unwrap();
    pair.both("ed", &saved.replace("gamma", "gamma again"));
    assert!(ed.wait().unwrap().success());
    assert_eq!(pair.id("ed"), id);
    pair.has_one_history("ed");
}
