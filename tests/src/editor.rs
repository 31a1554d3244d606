//! A terminal in which a test types, for editors that want one.

use crate::{must, wait_until};
use std::path::Path;
use std::process::{Command, Stdio};
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

    /// What the screen shows; empty when the program has ended.
    pub fn screen(&self) -> String {
        let out = self.tmux().args(["capture-pane", "-p"]).output();
        out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    }

    /// Waits until the screen shows a text.
    pub fn wait_screen(&self, text: &str) {
        wait_until(&format!("the screen shows {text:?}"), || self.screen().contains(text));
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
        // The server of this socket alone.
        let _ = self.tmux().arg("kill-server").stderr(Stdio::null()).status();
    }
}
