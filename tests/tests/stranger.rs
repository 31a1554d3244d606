//! Strangers, garbage on the wire, and what a friend may try.

use harness::{Person, befriend, text, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::time::Duration;

#[test]
fn a_used_invitation_opens_nothing() {
    let (mut ann, mut bob, mut eve) = (Person::new("ann"), Person::new("bob"), Person::new("eve"));
    ann.up();
    bob.up();
    eve.up();
    std::fs::create_dir(ann.path("garden")).unwrap();
    let card = ann.ok(&["invite", "--for", "bob", "/garden"]);
    let file = ann.dir().join("card");
    std::fs::write(&file, &card).unwrap();
    let file = file.to_str().unwrap();
    bob.ok(&["peer", "add", file, "--name", "ann"]);
    wait_until("bob is a friend", || ann.sees("bob"));
    // Eve found the file later.
    let out = eve.run(&["peer", "add", file, "--name", "ann", "--json"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(!said.contains("\"met\":true"), "{said}");
    std::thread::sleep(Duration::from_secs(3));
    assert!(!eve.sees("ann"));
    assert!(!eve.path("garden").exists());
    let names: Vec<String> =
        ann.json(&["peer", "list"]).as_array().unwrap().iter().map(|p| p["name"].to_string()).collect();
    assert_eq!(names, ["\"bob\""]);
}

#[test]
fn a_stranger_who_dials_is_closed_and_garbage_does_no_harm() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    let status = ann.status();
    let listening: Vec<String> =
        status["listening"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()).collect();
    let tcp = listening.iter().find_map(|a| a.split("/tcp/").nth(1)).expect("a TCP address");
    let port: u16 = tcp.split('/').next().unwrap().parse().unwrap();
    let mut numbers = harness::sample::Numbers::from(3);
    for round in 0..40 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        if round % 2 == 0 {
            let _ = stream.write_all(b"\x13/multistream/1.0.0\n\x07/noise\n");
        }
        let length = 1 + numbers.below(5000) as usize;
        let _ = stream.write_all(&numbers.bytes(length));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.take(1 << 16).read_to_end(&mut said);
        let heard = String::from_utf8_lossy(&said).into_owned();
        assert!(!heard.contains("garden") && !heard.contains("ann"), "{heard:?}");
    }
    assert!(ann.is_running());
    std::fs::write(ann.path("garden/f"), "still here\n").unwrap();
    wait_until("they still talk", || text(&bob.path("garden/f")) == "still here\n");
    assert!(!ann.said().contains("panicked"), "{}", ann.said());
}

#[test]
fn a_friends_symlink_leads_nowhere_outside() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    std::fs::create_dir(ann.path("garden/sub")).unwrap();
    for (name, target) in [
        ("up", "../../etc/passwd"),
        ("absolute", "/etc/passwd"),
        ("sub/sneaky", "x/../../../../etc/passwd"),
        ("control", "../.chorus/ctl"),
        ("room", ".room/ctl"),
    ] {
        symlink(target, ann.path("garden").join(name)).unwrap();
        assert_eq!(
            ann.path("garden").join(name).read_link().unwrap(),
            std::path::Path::new(target),
            "one's own stays"
        );
    }
    std::fs::write(ann.path("garden/inside"), "fine\n").unwrap();
    symlink("../inside", ann.path("garden/sub/good")).unwrap();
    wait_until("the good one works", || text(&bob.path("garden/sub/good")) == "fine\n");
    for name in ["up", "absolute", "sub/sneaky", "control", "room"] {
        let link = bob.path("garden").join(name);
        wait_until("the link is there", || link.symlink_metadata().is_ok());
        let target = link.read_link().unwrap();
        assert!(
            target.to_string_lossy().contains(".chorus/outside/"),
            "{name} leads to {}",
            target.display()
        );
        assert!(std::fs::read(&link).is_err(), "{name} could be read");
    }
}

#[test]
fn a_name_that_steers_a_terminal_cannot_be_made_nor_shown() {
    let mut ann = Person::new("ann");
    ann.up();
    for name in ["a\u{1b}[2Jb", "x\u{202e}txt.exe", "line\nfeed"] {
        let refused = std::fs::write(ann.path(name), "x").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(22), "{name:?}: {refused}");
    }
    assert!(harness::compare::names(ann.mount()).is_empty());
    let said = ann.fails(1, &["members", "/a\u{1b}[2Jb"]);
    assert!(!said.contains('\u{1b}'), "{said:?}");
}
