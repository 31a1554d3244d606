//! The link between friends: how it comes to be, what it carries, how it ends and comes back.
#![allow(missing_docs)]

mod support;

use base::{Kind, limit};
use net::{Error, Event, Net, Transport};
use std::sync::mpsc::{channel, sync_channel};
use std::time::{Duration, Instant};
use support::*;

fn exchange(listen: &str, transport: Transport) {
    for (a, b) in [(1, 2), (2, 1)] {
        let (one, two) = pair_of(listen, a, b);
        one.net.send(two.id, b"to two".to_vec()).unwrap();
        two.net.send(one.id, b"to one".to_vec()).unwrap();
        assert_eq!(one.received(two.id), b"to one");
        assert_eq!(two.received(one.id), b"to two");
        let status = &two.net.peers()[&one.id];
        assert!(status.connected && status.transport == Some(transport) && status.since.is_some());
        assert!(status.bytes_in >= 10 && status.bytes_out >= 10);
    }
}

#[test]
fn friends_meet_over_tcp_whoever_dials() {
    exchange(TCP, Transport::Tcp);
}

#[test]
fn friends_meet_over_quic_whoever_dials() {
    exchange(QUIC, Transport::Quic);
}

#[test]
fn messages_of_all_sizes_come_whole_and_in_order() {
    let (one, two) = pair_of(TCP, 3, 4);
    let sizes = [1, 2, 63, 64 << 10, (64 << 10) - 1, 1 << 20, 7, limit::ENVELOPE_BYTES, 1];
    for (n, size) in sizes.into_iter().enumerate() {
        one.net.send(two.id, vec![n as u8; size]).unwrap();
    }
    for (n, size) in sizes.into_iter().enumerate() {
        assert_eq!(two.received(one.id), vec![n as u8; size]);
    }
    let over = one.net.send(two.id, vec![0; limit::ENVELOPE_BYTES + 1]);
    assert_eq!(over, Err(Error::TooLarge { limit: limit::ENVELOPE_BYTES }));
    assert_eq!(one.net.send(device(9), vec![1]), Err(Error::NotConnected));
}

#[test]
fn both_dial_at_once_over_two_transports_and_one_link_comes_of_it() {
    for seed in 0..4u8 {
        let (one, two) = (node(10 + seed, &[TCP, QUIC]), node(20 + seed, &[TCP, QUIC]));
        one.allow(&[two.id]);
        two.allow(&[one.id]);
        one.net.dial(two.id, two.net.listening());
        two.net.dial(one.id, one.net.listening());
        one.connected(two.id);
        two.connected(one.id);
        one.subscribe(["room".into()]);
        two.subscribe(["room".into()]);
        if seed == 0 {
            // Longer than spare connections live.
            std::thread::sleep(Duration::from_secs(6));
            for node in [&one, &two] {
                let said = node.during(Duration::ZERO);
                let moved = |e: &Event| matches!(e, Event::Connected { .. } | Event::Disconnected { .. });
                assert!(!said.iter().any(moved), "{said:?}");
            }
        }
        one.net.send(two.id, vec![1]).unwrap();
        assert_eq!(two.received(one.id), [1]);
        hears(&one, &two, "room");
        hears(&two, &one, "room");
    }
}

#[test]
fn who_is_no_friend_any_more_is_disconnected() {
    let (one, two) = pair_of(TCP, 5, 6);
    one.allow(&[]);
    two.disconnected(one.id);
    one.disconnected(two.id);
    assert_eq!(one.net.send(two.id, vec![1]), Err(Error::NotConnected));
    assert!(one.net.peers().is_empty());
    assert!(!one.during(Duration::from_secs(2)).iter().any(|e| matches!(e, Event::Connected { .. })));
    one.allow(&[two.id]);
    two.connected(one.id);
}

#[test]
fn a_friend_who_restarts_on_the_same_port_is_met_again() {
    let (a, b) = by_id(7, 8);
    for (stays, restarts) in [(a, b), (b, a)] {
        let (one, two) = pair_of(TCP, restarts, stays);
        let listen = one.net.listening();
        drop(one);
        two.disconnected(device(restarts));
        let one = node(restarts, &listen.iter().map(String::as_str).collect::<Vec<_>>());
        one.allow(&[two.id]);
        two.connected(one.id);
        one.connected(two.id);
        two.net.send(one.id, vec![2]).unwrap();
        assert_eq!(one.received(two.id), [2]);
    }
}

#[test]
fn a_wrong_address_is_told_and_a_right_one_beside_it_is_found() {
    let (one, two) = (node(30, &[TCP]), node(31, &[]));
    let other = node(32, &[TCP]);
    one.allow(&[two.id]);
    two.allow(&[one.id]);
    let mut addrs = vec!["/ip4/127.0.0.1/tcp/1".to_owned(), "nonsense".to_owned()];
    addrs.extend(other.net.listening());
    two.net.dial(one.id, addrs);
    two.wait("trouble", |e| matches!(e, Event::Trouble { .. }).then_some(()));
    eventually("the failure is known", || two.net.peers()[&one.id].trouble.is_some());
    assert!(!two.net.peers()[&one.id].connected);
    two.net.dial(one.id, one.net.listening());
    two.connected(one.id);
    assert_eq!(two.net.peers()[&one.id].trouble, None);
}

#[test]
fn a_port_that_is_taken_is_an_error_that_says_so() {
    let one = node(33, &[TCP, QUIC]);
    for addr in one.net.listening() {
        let error = Net::start(config(34, &[&addr]), |_| {}).err().unwrap();
        assert!(matches!(&error, Error::Listen { addr: a, .. } if *a == addr), "{error:?}");
        assert_eq!(error.kind(), Kind::Busy, "{error}");
    }
    // One port of IPv4 and of IPv6 are two.
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let four = Net::start(config(35, &[&format!("/ip4/0.0.0.0/tcp/{port}")]), |_| {}).unwrap();
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let six = Net::start(config(36, &[&format!("/ip6/::/tcp/{port}")]), |_| {}).unwrap();
        assert!(!six.listening().is_empty() && !four.listening().is_empty());
    }
    for addr in ["nonsense", "/ip4/127.0.0.1", "/dns/example.org"] {
        let error = Net::start(config(34, &[addr]), |_| {}).err().unwrap();
        assert_eq!(error, Error::Address { text: addr.into() });
    }
}

#[test]
fn a_slow_reader_stops_the_sender_and_loses_nothing() {
    let (sender, events) = sync_channel(1);
    let slow = Net::start(config(40, &[TCP]), move |event| drop(sender.send(event))).unwrap();
    let fast = node(41, &[]);
    slow.allow([fast.id].into());
    fast.allow(&[device(40)]);
    fast.net.dial(device(40), slow.listening());
    fast.connected(device(40));
    let (size, total) = (1 << 20, 400u32);
    let mut sent = 0u32;
    let mut full = false;
    // Nobody takes anything: the sender must be stopped by bounds on both sides.
    while !full {
        let mut frame = vec![0; size];
        frame[..4].copy_from_slice(&sent.to_be_bytes());
        match fast.net.send(device(40), frame) {
            Ok(queued) => {
                assert!(queued <= limit::SEND_BYTES);
                sent += 1;
            }
            Err(Error::Full { .. }) => {
                // Full for good, not just for the moment.
                let before = fast.net.peers()[&device(40)].queued;
                std::thread::sleep(Duration::from_millis(500));
                full = fast.net.peers()[&device(40)].queued == before;
            }
            Err(e) => panic!("{e}"),
        }
        assert!(sent < total, "nothing bounds what is on the way");
    }
    let mut got = 0u32;
    let end = Instant::now() + PATIENCE;
    while got < sent {
        let event = events.recv_timeout(end.saturating_duration_since(Instant::now())).unwrap();
        if let Event::Received { bytes, .. } = event {
            assert_eq!((bytes.len(), &bytes[..4]), (size, &got.to_be_bytes()[..]));
            got += 1;
        }
    }
    fast.wait("room again", |e| matches!(e, Event::Drained { .. }).then_some(()));
}

#[test]
fn a_stop_ends_everything_even_while_the_node_is_busy() {
    let (entered, busy) = channel();
    let (release, wait) = channel::<()>();
    let net = Net::start(config(42, &[TCP]), move |_| {
        let _ = entered.send(());
        let _ = wait.recv();
    })
    .unwrap();
    busy.recv().unwrap();
    net.close();
    drop(release);
}

#[test]
fn many_small_messages_come_in_order() {
    let (one, two) = pair_of(TCP, 43, 44);
    let total = 20_000u32;
    for n in 0..total {
        while one.net.send(two.id, n.to_be_bytes().to_vec()).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    for n in 0..total {
        assert_eq!(two.received(one.id), n.to_be_bytes());
    }
}

/// Passes bytes between whoever connects and `to`, until told to swallow them; never hangs up.
fn passage(to: String) -> (String, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let cut = std::sync::Arc::new(AtomicBool::new(false));
    let to = format!("127.0.0.1:{}", to.rsplit('/').next().unwrap());
    let swallow = cut.clone();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let near = near.unwrap();
            let far = TcpStream::connect(&to).unwrap();
            for (from, into) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                let (mut from, mut into, swallow) = (from, into, swallow.clone());
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    loop {
                        let n = from.read(&mut buffer).unwrap_or(0);
                        if swallow.load(Ordering::Relaxed) {
                            // Keeps both ends open, silent.
                            std::thread::sleep(PATIENCE * 2);
                        }
                        if n == 0 || into.write_all(&buffer[..n]).is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (format!("/ip4/127.0.0.1/tcp/{port}"), cut)
}

#[test]
fn a_link_that_died_without_a_word_is_replaced_by_the_end_that_chooses() {
    let (small, large) = by_id(45, 46);
    dies_without_a_word(small, large);
}

#[test]
fn a_link_that_died_without_a_word_is_replaced_by_the_end_that_accepts() {
    let (small, large) = by_id(47, 48);
    dies_without_a_word(large, small);
}

fn dies_without_a_word(stays: u8, leaves: u8) {
    let (one, two) = (node(stays, &[TCP]), node(leaves, &[]));
    one.allow(&[two.id]);
    two.allow(&[one.id]);
    one.subscribe(["room".into()]);
    let (addr, cut) = passage(one.net.listening()[0].clone());
    two.net.dial(one.id, vec![addr]);
    one.connected(two.id);
    two.connected(one.id);
    cut.store(true, std::sync::atomic::Ordering::Relaxed);
    drop(two);
    let two = node(leaves, &[]);
    two.subscribe(["room".into()]);
    two.allow(&[one.id]);
    two.net.dial(one.id, one.net.listening());
    one.disconnected(two.id);
    one.connected(two.id);
    two.connected(one.id);
    two.net.send(one.id, vec![1]).unwrap();
    assert_eq!(one.received(two.id), [1]);
    hears(&one, &two, "room");
    hears(&two, &one, "room");
}
