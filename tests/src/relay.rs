//! What lies between two machines: a relay of TCP that cuts, or takes its time. It is all that leads from one network
//! namespace into the other.

use crate::sample::Numbers;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that a relay takes at once: what waits in it is little.
const BUFFER: usize = 4096;

/// How long a relay waits before it looks whether it was stopped.
const LOOK: Duration = Duration::from_millis(50);

/// What the relays of one way between two machines have in common, whoever dials.
#[derive(Clone, Default)]
pub struct Way {
    state: Arc<Mutex<State>>,
    delay: Duration,
}

#[derive(Default)]
struct State {
    figures: Figures,
    // Where the next cut is, in bytes of both directions, and those after it.
    cut_at: Option<u64>,
    mean: u64,
    most: u64,
    numbers: Option<Numbers>,
    // The sockets of connections that stand.
    open: Vec<TcpStream>,
    cut: Option<Instant>,
}

/// What happened on a way.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Bytes that went through.
    pub bytes: u64,
    /// Connections that were made.
    pub connections: u64,
    /// How often all connections were cut.
    pub cuts: u64,
    /// How long it took from a cut until bytes went through again.
    pub pauses: Vec<Duration>,
}

impl Way {
    /// A way on which everything takes this long in each direction.
    pub fn slow(delay: Duration) -> Way {
        Way { delay, ..Way::default() }
    }

    /// From now on, cuts all connections whenever a random number of bytes went through, `mean` on average; that
    /// many times.
    pub fn cut_every(&self, mean: u64, times: u64, seed: u64) {
        let mut state = self.lock();
        state.numbers = Some(Numbers::from(seed));
        (state.mean, state.most) = (mean, state.figures.cuts + times);
        state.plan_cut();
    }

    /// What happened so far.
    pub fn figures(&self) -> Figures {
        self.lock().figures.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // How many of these bytes may pass, and whether the connections are cut after them.
    fn pass(&self, bytes: usize) -> (usize, bool) {
        let mut state = self.lock();
        if let Some(cut) = state.cut.take() {
            state.figures.pauses.push(cut.elapsed());
        }
        let left = state.cut_at.map_or(u64::MAX, |at| at - state.figures.bytes);
        let pass = bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
        state.figures.bytes += pass as u64;
        let reached = state.figures.bytes;
        let cut = state.cut_at.take_if(|at| *at == reached).is_some();
        (pass, cut)
    }

    fn cut(&self) {
        let mut state = self.lock();
        for socket in state.open.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        state.figures.cuts += 1;
        state.cut = Some(Instant::now());
        state.plan_cut();
    }
}

impl State {
    fn plan_cut(&mut self) {
        let (mean, bytes) = (self.mean.max(1), self.figures.bytes);
        let more = self.figures.cuts < self.most;
        self.cut_at = self.numbers.as_mut().filter(|_| more).map(|n| bytes + 1 + n.below(2 * mean));
    }
}

/// A relay: whoever connects to a port on one machine's loopback reaches the same port on the other's.
pub struct Relay {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens in one network namespace and connects in another.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn start(way: &Way, here: &str, there: &str, port: u16) -> Relay {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, way, here, there) = (stop.clone(), way.clone(), here.to_owned(), there.to_owned());
        let (ready, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Sockets belong to the namespace in which their thread was when it made them.
            enter(&here);
            let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port in the namespace");
            listener.set_nonblocking(true).expect("a socket that does not block");
            ready.send(()).expect("somebody who waits");
            enter(&there);
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((from, _)) => join(&way, from, port),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK / 10),
                    Err(_) => return,
                }
            }
            way.lock().open.iter().for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
        });
        started.recv().expect("a relay that listens");
        Relay { stop, thread: Some(thread) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn enter(namespace: &str) {
    let file = std::fs::File::open(PathBuf::from("/run/netns").join(namespace)).expect("a namespace");
    let network = rustix::thread::LinkNameSpaceType::Network;
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(network))
        .expect("root, who may go there");
}

// Both directions of a connection, each on threads of its own that end with it.
fn join(way: &Way, from: TcpStream, port: u16) {
    let Ok(to) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let _ = (from.set_nonblocking(false), from.set_nodelay(true), to.set_nodelay(true));
    let copy = |socket: &TcpStream| socket.try_clone().expect("a descriptor");
    {
        let mut state = way.lock();
        state.figures.connections += 1;
        state.open.retain(|socket| socket.peer_addr().is_ok());
        state.open.extend([copy(&from), copy(&to)]);
    }
    let (back_from, back_to) = (copy(&to), copy(&from));
    let (there, back) = (way.clone(), way.clone());
    std::thread::spawn(move || carry(&there, from, to));
    std::thread::spawn(move || carry(&back, back_from, back_to));
}

fn carry(way: &Way, mut from: TcpStream, to: TcpStream) {
    let (due, waiting) = mpsc::channel::<(Instant, Vec<u8>)>();
    let onward = way.clone();
    let delay = way.delay;
    let late = (!delay.is_zero()).then(|| {
        let to = to.try_clone().expect("a descriptor");
        std::thread::spawn(move || deliver_late(&onward, &waiting, to))
    });
    let mut buffer = [0; BUFFER];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let passed = match &late {
            Some(_) => due.send((Instant::now() + delay, buffer[..n].to_vec())).is_ok(),
            None => deliver(way, &buffer[..n], &to),
        };
        if !passed {
            break;
        }
    }
    drop(due);
    match late {
        // What is on its way arrives, and then the end.
        Some(late) => drop(late.join()),
        None => drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both))),
    }
}

fn deliver_late(way: &Way, waiting: &mpsc::Receiver<(Instant, Vec<u8>)>, to: TcpStream) {
    for (at, bytes) in waiting {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if !deliver(way, &bytes, &to) {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn deliver(way: &Way, bytes: &[u8], mut to: &TcpStream) -> bool {
    let (pass, cut) = way.pass(bytes.len());
    let written = to.write_all(&bytes[..pass]).is_ok();
    if cut {
        way.cut();
    }
    written && !cut
}
