//! Programs that edit: a terminal in which a test types, and scripts that wait in the middle of an edit.

use crate::{must, wait_for, wait_until};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Whether a program is installed.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// A program in a terminal of its own (tmux with a server of its own).
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Starts a command line in a directory.
    pub fn start(dir: &Path, line: &str) -> Terminal {
        let socket = format!("chorus-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let terminal = Terminal { socket };
        let args = ["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", line];
        must(terminal.tmux().args(args).current_dir(dir).env("TERM", "screen"));
        terminal
    }

    /// Types text as it stands.
    pub fn type_text(&self, text: &str) {
        must(self.tmux().args(["send-keys", "-l", text]));
    }

    /// Presses keys by name: `Enter`, `Escape`, `C-x`.
    pub fn press(&self, keys: &[&str]) {
        must(self.tmux().arg("send-keys").args(keys));
    }

    /// Types a word, or presses keys where it is one of those in angles: `<Escape>`.
    pub fn send(&self, keys: &[&str]) {
        for key in keys {
            match key.strip_prefix('<').and_then(|key| key.strip_suffix('>')) {
                Some(key) => self.press(&[key]),
                None => self.type_text(key),
            }
        }
    }

    /// What the screen shows; empty when the program has ended.
    pub fn screen(&self) -> String {
        let out = self.tmux().args(["capture-pane", "-p"]).output();
        out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    }

    /// Waits until the screen shows a text.
    pub fn wait_screen(&self, text: &str) {
        wait_until(&format!("the screen shows {text:?}"), || self.screen().contains(text));
    }

    /// Waits until something is so, and meanwhile answers what the program asks: where the screen shows the first of
    /// a pair, the second is sent.
    ///
    /// # Panics
    /// If it does not come true; the message has the screen.
    pub fn answer_until(&self, what: &str, answers: &[(&str, &str)], mut ready: impl FnMut() -> bool) {
        let end = std::time::Instant::now() + crate::wait::deadline();
        while !ready() {
            let screen = self.screen();
            assert!(std::time::Instant::now() < end, "waited in vain for: {what}; the screen:\n{screen}");
            for (_, answer) in answers.iter().filter(|(asks, _)| screen.contains(asks)) {
                self.send(&answer.split(' ').collect::<Vec<_>>());
            }
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
    }

    /// Waits until the program has ended.
    pub fn wait_end(&self) {
        wait_until("the program in the terminal ends", || {
            let alive = self.tmux().arg("has-session").stderr(Stdio::null()).stdout(Stdio::null()).status();
            !alive.is_ok_and(|status| status.success())
        });
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]);
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- a terminal showed\n{}", self.screen());
        }
        // The server of this socket alone.
        let _ = self.tmux().arg("kill-server").stderr(Stdio::null()).status();
    }
}

/// A script in a session of its own, as in a terminal of its own, that stops wherever it says `pause` and goes on when
/// the test says so.
pub struct Script {
    child: Child,
    flags: PathBuf,
    pauses: u32,
}

/// What a script in Python calls to wait for the test.
const PYTHON: &str = "import os, sys, time, threading\n_n = 0\ndef pause():\n    global _n\n    _n += 1\n    open(f'{sys.argv[1]}/at{_n}', 'w').close()\n    while not os.path.exists(f'{sys.argv[1]}/go{_n}'): time.sleep(0.01)\n";

/// The same for bash; `$PAUSE n` is a command of its own, for programs that run one.
const BASH: &str = "n=0; pause() { n=$((n+1)); sh -c \"$PAUSE\" pause $n; }\n";

impl Script {
    /// Starts a script of bash in a directory; its flags are kept in `aside`, which is made.
    pub fn bash(dir: &Path, aside: &Path, body: &str) -> Script {
        Script::start(dir, aside, &["bash", "-euc", &format!("{BASH}{body}")])
    }

    /// Starts a program in Python.
    pub fn python(dir: &Path, aside: &Path, body: &str) -> Script {
        Script::start(
            dir,
            aside,
            &["python3", "-c", &format!("{PYTHON}{body}"), &aside.display().to_string()],
        )
    }

    fn start(dir: &Path, aside: &Path, words: &[&str]) -> Script {
        std::fs::create_dir_all(aside).expect("a directory for a script");
        let at = aside.display();
        let pause = format!("n=${{1:-1}}; : > {at}/at$n; while [ ! -e {at}/go$n ]; do sleep 0.01; done");
        let mut command = Command::new("setsid");
        command.args(words).current_dir(dir).env("PAUSE", pause).env("HOME", aside).env("ASIDE", aside);
        let child = command.stdin(Stdio::null()).spawn().expect("the script starts");
        Script { child, flags: aside.to_owned(), pauses: 0 }
    }

    /// Waits until the script pauses.
    ///
    /// # Panics
    /// If it ends without.
    pub fn wait_pause(&mut self) {
        self.pauses += 1;
        let flag = self.flags.join(format!("at{}", self.pauses));
        wait_for("the script pauses", || {
            let ended = self.child.try_wait().expect("the script's state");
            assert!(ended.is_none() || flag.exists(), "the script ended: {ended:?}");
            flag.exists().then_some(())
        });
    }

    /// Lets it go on.
    pub fn go(&self) {
        std::fs::write(self.flags.join(format!("go{}", self.pauses)), "").expect("a flag");
    }

    /// Lets it go on to its end, which must be a success.
    pub fn finish(mut self) {
        self.go();
        let status = wait_for("the script ends", || self.child.try_wait().expect("the script's state"));
        assert!(status.success(), "the script ended with {status}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
