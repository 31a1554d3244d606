//! Editors that stay open while more happens than an edit: the node starts again, a friend's file takes the name, the
//! room is shared, both make the same change.

use harness::editor::{Script, Terminal};
use harness::meanwhile::{BEFORE, id};
use harness::{Pair, Person, befriend, text, wait_until};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Reads a file by its whole path and saves it twice, each time with another line replaced and never read again.
fn saves_twice(path: &std::path::Path) -> String {
    let path = path.display();
    format!(
        "t=open('{path}').read()\npause()\n\
         t=t.replace('alpha','alpha mine'); open('{path}','w').write(t)\npause()\n\
         t=t.replace('beta','beta mine'); open('{path}','w').write(t)"
    )
}

// Vim asks whether to write a file that has changed.
fn saved_by_vim(pair: &Pair, vim: &Terminal, words: &str) {
    let asks = [("(y/n)", "y"), ("(L)oad", "o"), ("Press ENTER", "<Enter>")];
    vim.answer_until("vim has saved", &asks, || text(&pair.theirs("g")).contains(words));
}

#[test]
fn an_editor_outlives_the_node() {
    let mut pair = Pair::new();
    pair.make(&["f", "g"]);
    let ids = [pair.id("f"), pair.id("g")];
    let aside = pair.aside("script");
    let mut script = Script::python(pair.ann.dir(), &aside, &saves_twice(&pair.mine("f")));
    script.wait_pause();
    let line = format!(
        "vim -u NONE -N -i NONE -n +'set backup backupdir=. writebackup' {}",
        pair.mine("g").display()
    );
    let vim = Terminal::start(pair.ann.dir(), &line);
    vim.wait_screen("theta");
    // In order, as at an upgrade; then as by a crash, some time after they read.
    pair.ann.down();
    pair.ann.up();
    wait_until("they are connected", || pair.ann.sees("bob"));
    pair.bob_edits(&["f", "g"], "theta\n", "theta by bob\n");
    script.go();
    vim.send(&["A mine", "<Escape>", ":w!", "<Enter>"]);
    saved_by_vim(&pair, &vim, "alpha mine");
    let first = BEFORE.replace("alpha", "alpha mine").replace("theta", "theta by bob");
    pair.both("g", &first);
    pair.both("f", &first);
    script.wait_pause();
    std::thread::sleep(std::time::Duration::from_secs(3));
    pair.ann.kill();
    pair.ann.up();
    wait_until("they are connected", || pair.ann.sees("bob"));
    pair.bob_edits(&["f", "g"], "eta\ntheta by", "eta as well\ntheta by");
    script.finish();
    vim.send(&["jA mine", "<Escape>", ":w!", "<Enter>"]);
    saved_by_vim(&pair, &vim, "beta mine");
    let second = first.replace("beta", "beta mine").replace("\neta\n", "\neta as well\n");
    pair.both("f", &second);
    pair.both("g", &second);
    vim.send(&[":q!", "<Enter>"]);
    vim.wait_end();
    assert_eq!([pair.id("f"), pair.id("g")], ids);
}

#[test]
fn a_save_goes_to_what_was_read_where_a_friends_file_took_the_name() {
    const WAYS: [(&str, &str); 6] = [
        ("truncates", "open(P,'w').write(t)"),
        ("backs-up", "os.rename(P,P+'~'); open(P,'w').write(t); os.unlink(P+'~')"),
        // Longer than names gather.
        ("rests", "os.rename(P,P+'~'); time.sleep(1); open(P,'w').write(t); os.unlink(P+'~')"),
        ("removes", "os.unlink(P); time.sleep(1); open(P,'w').write(t)"),
        ("replaces", "open(P+'.new','w').write(t); os.rename(P+'.new',P)"),
        ("in-place", "f=os.open(P,os.O_WRONLY); os.ftruncate(f,0); os.write(f,t.encode()); os.close(f)"),
    ];
    let mut pair = Pair::new();
    // Bob makes his files first, and Ann, who has not heard of it, hers later.
    pair.ann.down();
    for (name, _) in WAYS {
        fs::write(pair.theirs(name), format!("bob's own {name}\n")).unwrap();
    }
    pair.bob.down();
    pair.ann.up();
    for n in 0..3 {
        // Time passes, which is entries: each of these is sealed before the next is made.
        let before = pair.ann.entries("/garden");
        fs::write(pair.mine(&format!("later{n}")), "").unwrap();
        wait_until("it is sealed", || pair.ann.entries("/garden") > before);
    }
    let mut scripts: Vec<Script> = WAYS
        .iter()
        .map(|(name, save)| {
            fs::write(pair.mine(name), BEFORE).unwrap();
            let body = format!(
                "P='{name}'\nt=open(P).read()\npause()\n\
                 t=t.replace('alpha','alpha mine')\n{save}\npause()\nt=t.replace('beta','beta mine')\n{save}"
            );
            Script::python(&pair.room(), &pair.aside(name), &body)
        })
        .collect();
    scripts.iter_mut().for_each(Script::wait_pause);
    let inos = WAYS.map(|(name, _)| fs::metadata(pair.mine(name)).unwrap().ino());
    let ids = WAYS.map(|(name, _)| pair.id(name));
    pair.bob.up();
    for (name, _) in WAYS {
        wait_until("bob's file has the name", || text(&pair.mine(name)) == format!("bob's own {name}\n"));
    }
    scripts.iter_mut().for_each(|script| {
        script.go();
        script.wait_pause();
    });
    scripts.into_iter().for_each(Script::finish);
    let wanted = BEFORE.replace("alpha", "alpha mine").replace("beta", "beta mine");
    for ((name, _), (ino, was)) in WAYS.iter().zip(inos.into_iter().zip(ids)) {
        let other = |pair: &Pair, room: std::path::PathBuf| {
            let mut names: Vec<String> = fs::read_dir(room)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|other| other.starts_with(&format!("{name}~")))
                .collect();
            assert_eq!(
                names.len(),
                1,
                "what {name} is called beside bob's: {names:?}; {}: {:?}",
                pair.ann.name,
                harness::shell(&pair.room(), "ls -la")
            );
            names.remove(0)
        };
        let mine = other(&pair, pair.room());
        pair.both(&mine, &wanted);
        pair.both(name, &format!("bob's own {name}\n"));
        assert_eq!((pair.id(&mine), other(&pair, pair.bob.path("garden"))), (was, mine), "{name}");
        assert_ne!(fs::metadata(pair.mine(name)).unwrap().ino(), ino);
    }
}

#[test]
fn a_save_brings_back_what_a_friend_removed_meanwhile() {
    let pair = Pair::new();
    pair.make(&["f"]);
    let was = pair.id("f");
    let mut script = Script::python(&pair.room(), &pair.aside("script"), &saves_twice(&pair.mine("f")));
    script.wait_pause();
    fs::remove_file(pair.theirs("f")).unwrap();
    wait_until("ann's is gone too", || !pair.mine("f").exists());
    script.go();
    script.wait_pause();
    pair.both("f", &BEFORE.replace("alpha", "alpha mine"));
    script.finish();
    pair.both("f", &BEFORE.replace("alpha", "alpha mine").replace("beta", "beta mine"));
    assert_eq!(pair.id("f"), was);
}

#[test]
fn an_editor_open_before_the_share_saves_into_the_shared_room() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, None);
    let room = ann.path("garden");
    fs::create_dir(&room).unwrap();
    for name in ["f", "g"] {
        fs::write(room.join(name), BEFORE).unwrap();
    }
    let vim = Terminal::start(
        &ann.path(""),
        "vim -u NONE -N -i NONE +'set backup backupdir=. writebackup' garden/g",
    );
    vim.wait_screen("theta");
    let mut script = Script::python(ann.dir(), &ann.dir().join("script"), &saves_twice(&room.join("f")));
    script.wait_pause();
    let was = id(&room.join("f"));
    harness::share_room(&ann, &bob, "garden", "writer");
    let pair = Pair { ann, bob };
    wait_until("bob has them", || ["f", "g"].iter().all(|name| text(&pair.theirs(name)) == BEFORE));
    assert_ne!(pair.id("f"), was, "it is another object in a shared room");
    let ids = [pair.id("f"), pair.id("g")];
    pair.bob_edits(&["f", "g"], "theta\n", "theta by bob\n");
    script.go();
    vim.send(&["A mine", "<Escape>", ":w!", "<Enter>"]);
    saved_by_vim(&pair, &vim, "alpha mine");
    let first = BEFORE.replace("alpha", "alpha mine").replace("theta", "theta by bob");
    pair.both("f", &first);
    pair.both("g", &first);
    script.wait_pause();
    pair.bob_edits(&["f", "g"], "eta\ntheta by", "eta as well\ntheta by");
    script.finish();
    vim.send(&["jA mine", "<Escape>", ":w!", "<Enter>"]);
    saved_by_vim(&pair, &vim, "beta mine");
    let second = first.replace("beta", "beta mine").replace("\neta\n", "\neta as well\n");
    pair.both("f", &second);
    pair.both("g", &second);
    assert_eq!([pair.id("f"), pair.id("g")], ids);
    vim.send(&[":q!", "<Enter>"]);
    vim.wait_end();
}

#[test]
fn the_same_replacement_shows_once_and_an_overlapping_one_is_listed() {
    let pair = Pair::new();
    pair.make(&["same", "differs"]);
    let replace = |name: &str, new: &str| {
        format!("t=open('{name}').read()\npause()\nopen('{name}','w').write(t.replace('gamma','{new}'))")
    };
    let mut same = Script::python(&pair.room(), &pair.aside("a"), &replace("same", "GAMMAS"));
    let mut differs = Script::python(&pair.room(), &pair.aside("b"), &replace("differs", "GAMMA"));
    let mut once = Script::python(&pair.room(), &pair.aside("c"), &replace("same", "GAMMAS"));
    for script in [&mut same, &mut differs, &mut once] {
        script.wait_pause();
    }
    pair.bob_edits(&["same"], "gamma\n", "GAMMAS\n");
    pair.bob_edits(&["differs"], "gamma\n", "Gamma and more\n");
    [same, differs, once].into_iter().for_each(Script::finish);
    pair.both("same", &BEFORE.replace("gamma", "GAMMAS"));
    let listed = |person: &Person| {
        let status = person.status();
        let paths: Vec<String> =
            status["overlaps"].as_array().unwrap().iter().map(|p| p.as_str().unwrap().to_owned()).collect();
        paths
    };
    for person in [&pair.ann, &pair.bob] {
        wait_until("it is listed", || listed(person) == ["/garden/differs"]);
        let both = text(&person.path("garden/differs"));
        assert!(both.contains("GAMMA") && both.contains("Gamma and more"), "{both:?}");
    }
    // Whoever makes one of the two says so to both.
    fs::write(pair.theirs("differs"), BEFORE.replace("gamma", "Gamma and more")).unwrap();
    for person in [&pair.ann, &pair.bob] {
        wait_until("it is no longer listed", || listed(person).is_empty());
    }
}
