//! Measures the carrier on loopback: bytes a second over the link, and how long gossip and messages
//! take one way. `cargo run --release -p chorus-net --example loopback`

use base::DeviceId;
use net::{Config, Error, Event, Net};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const FRAME: usize = 1 << 20;
const FRAMES: usize = 1024;
const ROUNDS: usize = 200;

type Failure = Box<dyn std::error::Error>;

fn start(seed: u8, listen: &str) -> Result<(Net, Receiver<(Instant, Event)>), Failure> {
    let (sender, events) = sync_channel(64);
    let config = Config { seed: Zeroizing::new([seed; 32]), listen: vec![listen.into()] };
    let sink = move |event| drop(sender.send((Instant::now(), event)));
    Ok((Net::start(config, sink)?, events))
}

fn wait<T>(
    events: &Receiver<(Instant, Event)>,
    mut want: impl FnMut(Event) -> Option<T>,
) -> Result<(Instant, T), Failure> {
    loop {
        let (at, event) = events.recv_timeout(Duration::from_secs(30))?;
        if let Some(found) = want(event) {
            return Ok((at, found));
        }
    }
}

fn measure(name: &str, listen: &str) -> Result<(), Failure> {
    let ids = [id(1)?, id(2)?];
    let (one, heard) = start(1, listen)?;
    let (two, other) = start(2, listen)?;
    for net in [&one, &two] {
        net.allow(ids.into());
        net.subscribe(["room".to_owned()].into());
    }
    let began = Instant::now();
    two.dial(ids[0], one.listening());
    let (met, ()) = wait(&heard, |e| matches!(e, Event::Connected { .. }).then_some(()))?;
    wait(&other, |e| matches!(e, Event::Connected { .. }).then_some(()))?;
    std::thread::sleep(Duration::from_millis(300));
    let mut gossip = Vec::new();
    let mut message = Vec::new();
    for n in 0..ROUNDS {
        let sent = Instant::now();
        two.publish("room".into(), format!("{n:0>1000}").into_bytes());
        gossip.push(wait(&heard, |e| matches!(e, Event::Gossip { .. }).then_some(()))?.0 - sent);
        let sent = Instant::now();
        two.send(ids[0], vec![0; 1000])?;
        message.push(wait(&heard, |e| matches!(e, Event::Received { .. }).then_some(()))?.0 - sent);
        std::thread::sleep(Duration::from_millis(2));
    }
    let bulk = bulk(&two, ids[0], &heard)?;
    println!(
        "{name}: met in {:?}, gossip of 1 kB {:?}, message of 1 kB {:?} one way (medians), {bulk:.0} MB/s in frames of 1 MiB",
        met - began,
        median(gossip),
        median(message)
    );
    Ok(())
}

fn bulk(from: &Net, to: DeviceId, heard: &Receiver<(Instant, Event)>) -> Result<f64, Failure> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..FRAMES {
                while let Err(Error::Full { .. }) = from.send(to, vec![7; FRAME]) {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        });
        let mut last = began;
        for _ in 0..FRAMES {
            last = wait(heard, |e| matches!(e, Event::Received { .. }).then_some(()))?.0;
        }
        Ok((FRAME * FRAMES) as f64 / 1e6 / (last - began).as_secs_f64())
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn id(seed: u8) -> Result<DeviceId, Failure> {
    let key = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32])?;
    Ok(DeviceId(key.public().try_into_ed25519()?.to_bytes()))
}

fn main() -> Result<(), Failure> {
    measure("tcp", "/ip4/127.0.0.1/tcp/0")?;
    measure("quic", "/ip4/127.0.0.1/udp/0/quic-v1")
}
