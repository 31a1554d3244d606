//! Strangers: what they see, and how they become friends.
#![allow(missing_docs)]

mod support;

use base::{DeviceId, limit};
use futures::{AsyncReadExt, AsyncWriteExt};
use net::{Error, Event, Reply};
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;
use support::raw::{self, Raw};
use support::*;

const GOSSIP: &[&str] =
    &["/meshsub/1.3.0", "/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0"];
const OTHERS: &[&str] = &["/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/ipfs/kad/1.0.0", "ls"];

fn tcp_port(addr: &str) -> u16 {
    addr.split('/').nth(4).unwrap().parse().unwrap()
}

#[test]
fn a_stranger_learns_the_key_and_is_closed() {
    let one = node(70, &[TCP]);
    one.allow(&[device(71)]);
    one.subscribe(["secret".into()]);
    raw::run(async {
        let mut stranger = raw::dial(&keypair(72), &one.net.listening()[0]).await.unwrap();
        assert_eq!(stranger.peer, keypair(70).public().to_peer_id());
        assert!(stranger.closed_within(PATIENCE / 2).await);
        assert_eq!(stranger.inbound.len(), 0);
        // Whoever is quick finds nobody to speak with either.
        for protocol in ["/chorus/pair/1", "/chorus/sync/1", GOSSIP[0], OTHERS[0]] {
            let mut stranger = raw::dial(&keypair(72), &one.net.listening()[0]).await.unwrap();
            assert!(stranger.speak(protocol).await.is_none(), "{protocol}");
        }
    });
    let said = one.during(Duration::from_millis(100));
    assert!(said.iter().all(|e| matches!(e, Event::Listening { .. })), "{said:?}");
}

#[test]
fn while_pairing_is_open_a_stranger_speaks_pairing_only() {
    let one = node(73, &[TCP]);
    one.subscribe(["secret".into()]);
    one.net.pairing(true);
    let asker = device(74);
    let addr = one.net.listening()[0].clone();
    let answer = std::thread::spawn(move || {
        raw::run(async {
            let mut stranger = raw::dial(&keypair(74), &addr).await.unwrap();
            for protocol in GOSSIP.iter().chain(OTHERS).chain(&["/chorus/sync/1"]) {
                assert!(stranger.speak(protocol).await.is_none(), "{protocol}");
            }
            let mut stream = stranger.speak("/chorus/pair/1").await.unwrap();
            stranger.drive(write(&mut stream, b"may I?")).await.unwrap();
            let answer = stranger.drive(read(&mut stream)).await.unwrap();
            drop(stream);
            assert_eq!(stranger.inbound.len(), 0, "nothing was offered to the stranger");
            assert!(stranger.closed_within(PATIENCE / 2).await, "one exchange is all");
            answer
        })
    });
    one.wait("the question", |e| match e {
        Event::PairRequest { peer, bytes, reply } if peer == asker && bytes == b"may I?" => {
            reply.send(b"you may".to_vec());
            Some(())
        }
        _ => None,
    });
    assert_eq!(answer.join().unwrap(), b"you may");
}

async fn write(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) {
    stream.write_all(&u32::try_from(bytes.len()).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.unwrap();
    let mut body = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut body).await.unwrap();
    body
}

#[test]
fn strangers_are_few_and_do_not_stay() {
    let one = node(75, &[TCP]);
    one.net.pairing(true);
    raw::run(async {
        let mut strangers: Vec<Raw> = Vec::new();
        for n in 0..limit::STRANGERS {
            strangers.push(raw::dial(&keypair(100 + n as u8), &one.net.listening()[0]).await.unwrap());
        }
        let mut late = raw::dial(&keypair(99), &one.net.listening()[0]).await.unwrap();
        assert!(late.closed_within(Duration::from_secs(5)).await, "one too many");
        for stranger in &mut strangers {
            assert!(stranger.closed_within(PATIENCE / 2).await);
        }
        let mut next = raw::dial(&keypair(99), &one.net.listening()[0]).await.unwrap();
        assert!(next.speak("/chorus/pair/1").await.is_some(), "there is room again");
        one.net.pairing(false);
        let mut last = raw::dial(&keypair(98), &one.net.listening()[0]).await.unwrap();
        assert!(last.closed_within(PATIENCE / 2).await);
    });
}

fn question(node: &Node) -> (Vec<u8>, Reply) {
    node.wait("a question", |e| match e {
        Event::PairRequest { bytes, reply, .. } => Some((bytes, reply)),
        Event::Disconnected { .. } => panic!("the link was lost"),
        _ => None,
    })
}

fn outcome(node: &Node, of: DeviceId) -> Result<Vec<u8>, Error> {
    node.wait("an outcome", |e| match e {
        Event::PairAnswer { peer, result } if peer == of => Some(result),
        Event::Disconnected { .. } => panic!("the link was lost"),
        _ => None,
    })
}

#[test]
fn strangers_become_friends() {
    let (one, two) = (node(76, &[TCP]), node(77, &[]));
    one.net.pairing(true);
    // As a new friend does who has our card: we are a friend to them, they are none to us yet.
    two.allow(&[one.id]);
    two.net.dial(one.id, one.net.listening());
    two.net.pair(one.id, one.net.listening(), b"token".to_vec());
    one.wait("the question", |e| match e {
        Event::PairRequest { peer, bytes, reply } if peer == two.id => {
            assert_eq!(bytes, b"token");
            one.allow(&[two.id]);
            one.net.pairing(false);
            reply.send(b"card".to_vec());
            Some(())
        }
        Event::Connected { .. } => panic!("connected before being friends"),
        _ => None,
    });
    assert_eq!(outcome(&two, one.id), Ok(b"card".to_vec()));
    two.connected(one.id);
    one.connected(two.id);
    // Friends may ask again, along the link.
    two.net.pair(one.id, vec![], b"again".to_vec());
    let (again, reply) = question(&one);
    assert_eq!(again, b"again");
    reply.send(vec![1]);
    assert_eq!(outcome(&two, one.id), Ok(vec![1]));
}

#[test]
fn a_question_that_finds_no_answer_says_why() {
    let (one, two) = (node(78, &[TCP]), node(79, &[TCP]));
    let ask = |peer, addrs, request: Vec<u8>| {
        two.net.pair(peer, addrs, request);
        outcome(&two, peer)
    };
    // Pairing is closed over there.
    let closed = ask(one.id, one.net.listening(), vec![1]);
    assert!(matches!(closed, Err(Error::Unreached { .. } | Error::Refused)), "{closed:?}");
    one.net.pairing(true);
    // The node over there refuses.
    two.net.pair(one.id, one.net.listening(), vec![2]);
    drop(question(&one));
    assert_eq!(outcome(&two, one.id), Err(Error::Refused));
    // Nobody is there, somebody else is there, nothing is known.
    let nobody = ask(one.id, vec!["/ip4/127.0.0.1/tcp/1".into()], vec![3]);
    assert!(matches!(nobody, Err(Error::Unreached { .. })), "{nobody:?}");
    let other = ask(device(80), one.net.listening(), vec![4]);
    assert!(matches!(other, Err(Error::Unreached { .. })), "{other:?}");
    assert!(matches!(ask(one.id, vec![], vec![5]), Err(Error::Unreached { .. })));
    assert_eq!(
        ask(one.id, vec![], vec![0; limit::CARD_BYTES + 1]),
        Err(Error::TooLarge { limit: limit::CARD_BYTES })
    );
    assert_eq!(ask(two.id, vec![], vec![6]), Err(Error::Key));
}

#[test]
fn garbage_on_the_ports_does_no_harm() {
    let (one, two) = (node(81, &[TCP, QUIC]), node(82, &[]));
    let listening = one.net.listening();
    let mut state = 1u32;
    let mut garbage = |n: usize| -> Vec<u8> {
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    };
    for addr in &listening {
        for n in [0, 1, 5, 100, 5000] {
            let to = ("127.0.0.1", tcp_port(addr));
            if addr.contains("/tcp/") {
                let mut stream = TcpStream::connect(to).unwrap();
                let _ = stream.write_all(&garbage(n));
                let _ = stream.write_all(b"\x13/multistream/1.0.0\n\x07/noise\n");
                let _ = stream.write_all(&garbage(n));
            } else {
                let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&garbage(n.min(1200)), to);
            }
        }
    }
    one.allow(&[two.id]);
    two.allow(&[one.id]);
    two.net.dial(one.id, listening);
    two.connected(one.id);
}

#[test]
fn a_friend_who_sends_nonsense_is_cut_off_and_the_node_goes_on() {
    let (small, large) = by_id(83, 84);
    let one = node(large, &[TCP]);
    one.allow(&[device(small)]);
    let addr = one.net.listening()[0].clone();
    raw::run(async {
        let mut friend = raw::dial(&keypair(small), &addr).await.unwrap();
        let mut stream = friend.speak("/chorus/sync/1").await.unwrap();
        friend.drive(write(&mut stream, b"hello")).await.unwrap();
        // A sign of life, a frame in pieces, then a length no frame has.
        let pieces = async {
            for piece in [&[0u8, 0, 0, 0][..], &[0, 0], &[0, 3, 7], &[8, 9], &[0xff; 9]] {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
            }
        };
        friend.drive(pieces).await;
        assert!(friend.closed_within(PATIENCE / 2).await);
    });
    assert_eq!(one.received(device(small)), b"hello");
    assert_eq!(one.received(device(small)), [7, 8, 9]);
    one.wait("trouble", |e| matches!(e, Event::Trouble { .. }).then_some(()));
    one.disconnected(device(small));
    // Garbage where gossip is spoken, and streams without end.
    raw::run(async {
        let mut friend = raw::dial(&keypair(small), &addr).await.unwrap();
        // Before the link stands: then the node speaks gossip too, and whoever refuses that gets none.
        let mut gossip = friend.speak(GOSSIP[2]).await.unwrap();
        let mut link = friend.speak("/chorus/sync/1").await.unwrap();
        let garbage = async {
            let _ = gossip.write_all(&[0xff; 3000]).await;
            let _ = gossip.flush().await;
        };
        friend.drive(garbage).await;
        for _ in 0..100 {
            let _ = friend.speak("/chorus/pair/1").await;
        }
        friend.drive(write(&mut link, b"still here")).await.unwrap();
        assert!(!friend.closed_within(Duration::from_millis(200)).await);
    });
    assert_eq!(one.received(device(small)), b"still here");
}

#[test]
fn a_friend_of_the_larger_id_cannot_choose_the_stream() {
    let (small, large) = by_id(85, 86);
    let one = node(small, &[TCP]);
    one.allow(&[device(large)]);
    let addr = one.net.listening()[0].clone();
    raw::run(async {
        let mut friend = raw::dial(&keypair(large), &addr).await.unwrap();
        let mut stream = friend.speak("/chorus/sync/1").await.unwrap();
        let mut byte = [0];
        let ended = friend.drive(stream.read(&mut byte)).await;
        assert!(matches!(ended, Some(Ok(0) | Err(_))), "{ended:?}");
        friend.opened().await;
        assert!(!friend.inbound.is_empty(), "the other end opens its own");
    });
    assert!(!one.during(Duration::from_millis(100)).iter().any(|e| matches!(e, Event::Connected { .. })));
}
