//! `chorus up`: run the node, mount, and stay until asked to stop.

use crate::control::server::{Ending, Served, bind, serve, unbind};
use crate::facts::{Stopped, Whole};
use crate::fail::Failure;
use crate::home::{Home, absolute, default_mountpoint};
use crate::service;
use crate::show;
use crate::verb::detach;
use crate::verb::down::in_use;
use base::Kind;
use base::print::safe;
use mount::{Ended, Mount};
use node::Node;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Run the node: make its identity at the first start, sync, mount; stays in the foreground
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An empty directory to mount on [default: ~/Chorus]
    #[arg(conflicts_with = "no_mount")]
    pub(crate) mount: Option<PathBuf>,
    /// Come back once it runs, and leave it in the background (it writes to HOME/log)
    #[arg(long)]
    pub(crate) detach: bool,
    /// Run without a mount
    #[arg(long)]
    pub(crate) no_mount: bool,
    /// Do not wake programs that watch files (inotify) when a friend changes something
    #[arg(long, conflicts_with = "no_mount")]
    pub(crate) no_wake: bool,
    /// Listen here instead of at the port chosen at the first start (may be repeated)
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) listen: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The background half of --detach
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub(crate) session: bool,
    /// Let other users of this machine in, as far as permissions go: for tests that run as several
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub(crate) allow_other: bool,
}

/// How long the last answer may take to reach the program that asked the node to stop.
const FAREWELL: Duration = Duration::from_secs(2);

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    home.must_be_mine()?;
    let mountpoint = if args.no_mount { None } else { Some(mountpoint(home, args.mount.as_deref())?) };
    if args.detach {
        return detach::run(home, args, mountpoint.as_deref());
    }
    if args.session {
        // Its own session: neither the terminal's signals nor its end reach it.
        let _ = rustix::process::setsid();
        let _ = std::env::set_current_dir("/");
    }
    // Before anything is started: a signal that comes meanwhile still ends it in order.
    let (stop, endings) = channel();
    watch_signals(stop.clone())?;
    service::starting();
    let node = Node::start(node::Options {
        home: home.dir().to_owned(),
        listen: args.listen.clone(),
        network: true,
    })?;
    let options = mount::MountOptions { allow_other: args.allow_other, wake: !args.no_wake };
    match open_faces(home, &node, mountpoint, &options, stop) {
        Ok((mount, mountpoint)) => {
            let ended = announce(home, &node, mountpoint.as_deref(), args.json).map(|()| {
                let _watchdog = service::ready(&node, mountpoint);
                wait(&endings)
            });
            let ending = ended.unwrap_or(Ending::Signal);
            finish(home, node, mount, ending)
        }
        Err(failure) => {
            let _ = node.stop();
            Err(failure)
        }
    }
}

type Faces = (Option<Mount>, Option<PathBuf>);

fn open_faces(
    home: &Home,
    node: &Node,
    at: Option<PathBuf>,
    options: &mount::MountOptions,
    stop: Sender<Ending>,
) -> Result<Faces, Failure> {
    let mount = match &at {
        Some(at) => {
            let tree = tree::Tree::new(node.clone()).map_err(|e| Failure::of(e.kind(), e.to_string()))?;
            Some(Mount::start(tree, at, options)?)
        }
        None => None,
    };
    let served = Served { node: node.clone(), home: home.clone(), mount: at.clone(), stop };
    match bind(home).and_then(|listener| serve(listener, served)) {
        Ok(()) => Ok((mount, at)),
        Err(failure) => {
            if let Some(mount) = mount {
                let _ = mount.stop();
            }
            Err(failure)
        }
    }
}

fn announce(home: &Home, node: &Node, mountpoint: Option<&Path>, json: bool) -> Result<(), Failure> {
    let mount = mountpoint.map(|m| m.display().to_string());
    let whole = Whole::of(node.status(), &home.dir().display().to_string(), mount.as_deref());
    print_ready(&whole, json)
}

/// What a person, or with `json` a program, is told once everything answers.
pub(crate) fn print_ready(whole: &Whole, json: bool) -> Result<(), Failure> {
    if json {
        return show::json(whole);
    }
    show::line(format!("me       {}  {}", whole.me.name, whole.me.fingerprint));
    for address in &whole.listening {
        show::line(format!("listens  {address}"));
    }
    match &whole.mount {
        Some(at) => show::line(format!("mounted  {at}")),
        None => show::line("mounted  nowhere"),
    }
    show::line("ready    stop it with: chorus down");
    Ok(())
}

fn watch_signals(stop: Sender<Ending>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::of(Kind::Io, format!("watching for signals: {e}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let watch = move || {
        for (count, _) in signals.forever().enumerate() {
            // Who asks a second time does not want to wait; the store survives it.
            if count > 0 || stop.send(Ending::Signal).is_err() {
                std::process::exit(1);
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(watch).map(drop).map_err(failed)
}

fn wait(endings: &Receiver<Ending>) -> Ending {
    endings.recv().unwrap_or(Ending::Signal)
}

fn finish(home: &Home, node: Node, mount: Option<Mount>, ending: Ending) -> Result<(), Failure> {
    service::stopping();
    let unmounted = mount.map_or(Ok(Ended::Unmounted), |mount| mount.stop().map_err(Failure::from));
    let stopped = node.stop().map_err(Failure::from);
    unbind(home);
    let outcome = stopped.and(unmounted).map(|ended| Stopped {
        pid: std::process::id(),
        still_used: match ended {
            Ended::Unmounted => None,
            Ended::WhenUnused(users) => {
                Some(users.into_iter().map(|user| format!("{} ({})", user.name, user.pid)).collect())
            }
        },
    });
    if let Some(users) = outcome.as_ref().ok().and_then(|stopped| stopped.still_used.as_ref()) {
        let _ = writeln!(std::io::stderr(), "{}", safe(&in_use(users)));
    }
    if let Ending::Asked(stop) = ending {
        let _ = stop.done.send(outcome.clone());
        let _ = stop.told.recv_timeout(FAREWELL);
    }
    outcome.map(drop)
}

fn mountpoint(home: &Home, named: Option<&Path>) -> Result<PathBuf, Failure> {
    let at = match named {
        Some(named) => absolute(named)?,
        None => {
            let at = default_mountpoint()?;
            // What is there already, a dead mount too, is judged when it is mounted on.
            if std::fs::symlink_metadata(&at).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
                let made = std::fs::DirBuilder::new().mode(0o700).create(&at);
                made.map_err(|e| Failure::io("making the mountpoint", &at, &e))?;
            }
            at
        }
    };
    let at = at.canonicalize().unwrap_or(at);
    let keeps = home.dir().canonicalize().unwrap_or_else(|_| home.dir().to_owned());
    if keeps.starts_with(&at) {
        return Err(Failure::with_hint(
            Kind::Invalid,
            format!("the home {} lies in the mountpoint {}", keeps.display(), at.display()),
            "a node cannot keep its store on its own mount; name another directory",
        ));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_on_its_own_mount_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("m/home");
        std::fs::create_dir_all(&inside).unwrap();
        let home = Home::find(Some(&inside)).unwrap();
        assert_eq!(mountpoint(&home, Some(&dir.path().join("m"))).unwrap_err().kind, "invalid");
        assert!(mountpoint(&home, Some(&dir.path().join("other"))).is_ok());
    }
}
