//! A save never loses a friend's words and never doubles one's own, whatever program saves: each is
//! run on a real mount, against an edit made beside it meanwhile.

mod house;

use house::House;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Command;

const TEXT: &str = "one\ntwo\nthree\nfour\nfive\n";

fn has(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .is_ok_and(|run| run.status.success())
}

/// A file, read and saved by `script` with "one" made "1", while a friend makes "five" "5".
fn both_edits_survive(script: &str) {
    let house = House::new();
    house.write("f", TEXT);
    house.settle();
    let id = house.id("f");
    let beside = house.oid("f");
    let node = house.node.clone();
    let go = house.scratch().join("go");
    let read = house.scratch().join("read");
    // The script makes `read` once it has read, and waits for `go` before it saves.
    let (waiting, signal) = (read.clone(), go.clone());
    let friend = std::thread::spawn(move || {
        for _ in 0..1000 {
            if waiting.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(waiting.exists(), "the script never read");
        let (version, node::Body::Bytes(bytes)) = node.read(beside).unwrap() else { panic!() };
        let new = String::from_utf8(bytes.to_vec()).unwrap().replace("five", "5");
        node.save(beside, &version, node::NewContent::Bytes(new.into())).unwrap();
        std::fs::write(signal, "").unwrap();
    });
    let (ok, said) = house.try_sh(script);
    friend.join().unwrap();
    assert!(ok, "{said}");
    assert_eq!(house.text("f"), "1\ntwo\nthree\nfour\n5\n", "{script}\n{said}");
    assert_eq!(house.id("f"), id, "the object stays with the name");
}

fn python(body: &str) -> String {
    let wait = "import os,time\ndef wait():\n    open('../read','w').close()\n    while not os.path.exists('../go'): time.sleep(0.01)\n";
    format!("cat > ../p.py <<'X'\n{wait}{body}\nX\npython3 ../p.py")
}

#[test]
fn truncating_in_place() {
    both_edits_survive(&python(
        "t=open('f').read()\nwait()\nwith open('f','w') as f: f.write(t.replace('one','1'))",
    ));
}

#[test]
fn truncating_through_the_handle() {
    both_edits_survive(&python(
        "t=open('f').read()\nwait()\nf=open('f','r+'); f.truncate(0); f.write(t.replace('one','1')); f.close()",
    ));
}

#[test]
fn writing_in_place_through_the_handle_that_read() {
    both_edits_survive(&python(
        "f=open('f','r+'); t=f.read()\nwait()\nf.seek(0); f.write(t.replace('one','1')); f.truncate(); f.close()",
    ));
}

#[test]
fn a_temporary_renamed_over() {
    both_edits_survive(&python(
        "t=open('f').read()\nwait()\nf=open('f.tmp','w'); f.write(t.replace('one','1')); f.flush(); os.fsync(f.fileno()); f.close(); os.replace('f.tmp','f')",
    ));
}

#[test]
fn a_temporary_renamed_over_while_open() {
    both_edits_survive(&python(
        "t=open('f').read()\nwait()\nf=open('f.tmp','w'); f.write(t[:-1].replace('one','1')); f.flush(); os.replace('f.tmp','f'); f.write('\\n'); f.close()",
    ));
}

#[test]
fn a_backup_by_rename_then_a_new_file() {
    both_edits_survive(&python(
        "t=open('f').read()\nwait()\nos.rename('f','f~'); f=open('f','w'); f.write(t.replace('one','1')); f.close(); os.unlink('f~')",
    ));
}

#[test]
fn a_backup_by_rename_then_a_temporary_renamed() {
    both_edits_survive(&python(
        "t=open('f').read()\nwait()\nf=open('f.new','w'); f.write(t.replace('one','1')); f.close(); os.rename('f','f~'); os.rename('f.new','f')",
    ));
}

#[test]
fn removing_then_a_new_file() {
    both_edits_survive(&python(
        "t=open('f').read()\nwait()\nos.unlink('f'); f=os.open('f',os.O_CREAT|os.O_EXCL|os.O_WRONLY,0o644); os.write(f,t.replace('one','1').encode()); os.close(f)",
    ));
}

#[test]
fn vim_in_its_usual_way() {
    if !has("vim") {
        return;
    }
    for way in ["no", "auto", "yes"] {
        // `yes` copies the file to its backup just before it truncates it, and that reading is not the user's.
        both_edits_survive(&format!(
            "yes | vim -u NONE -i NONE -N -es -c 'set backupcopy={way} writebackup' -c 'edit f' -c '%s/one/1/' \
             -c 'call writefile([], \"../read\")' -c 'while !filereadable(\"../go\") | sleep 10m | endwhile' -c 'w!' -c 'qa!'"
        ));
    }
}

#[test]
fn emacs_with_its_backup() {
    if !has("emacs") {
        return;
    }
    both_edits_survive(
        "emacs -Q --batch --eval '(progn (find-file \"f\") (while (search-forward \"one\" nil t) (replace-match \"1\")) \
         (write-region \"\" nil \"../read\") (while (not (file-exists-p \"../go\")) (sleep-for 0.01)) \
         (set-visited-file-modtime) (save-buffer))'",
    );
}

#[test]
fn ed_in_place() {
    if !has("ed") {
        return;
    }
    both_edits_survive(
        "printf '1s/one/1/\\n!touch ../read; while ! [ -e ../go ]; do sleep 0.01; done\\nw\\nq\\n' | ed -s f",
    );
}

#[test]
fn nano_in_place() {
    if !has("nano") || !has("script") {
        return;
    }
    for backup in ["", "-B"] {
        // Typed: replace the first line, wait for the friend, write out (twice "yes": the file has changed).
        both_edits_survive(&format!(
            "(sleep 1; printf '\\013' ; printf '1\\r'; sleep 0.3; touch ../read; while ! [ -e ../go ]; do sleep 0.01; done; \
              sleep 0.2; printf '\\017'; sleep 0.2; printf '\\r'; sleep 0.2; printf 'y'; sleep 0.3; printf '\\030'; sleep 0.3; printf 'n') \
             | TERM=xterm script -qec 'nano --ignorercfiles {backup} f' /dev/null"
        ));
    }
}

#[test]
fn tools_that_read_and_save_at_once_keep_the_object() {
    let house = House::new();
    house.write("f", TEXT);
    let id = house.id("f");
    for (script, text) in [
        ("sed -i s/one/1/ f", "1\ntwo\nthree\nfour\nfive\n"),
        ("perl -i -pe s/two/2/ f", "1\n2\nthree\nfour\nfive\n"),
        ("sed s/three/3/ f > f.new && mv f.new f", "1\n2\n3\nfour\nfive\n"),
        ("cp f ../keep && sed -i s/four/4/ ../keep && cp ../keep f", "1\n2\n3\n4\nfive\n"),
        ("t=$(cat f); echo \"$t\" | sed s/five/5/ > f", "1\n2\n3\n4\n5\n"),
        ("echo six >> f", "1\n2\n3\n4\n5\nsix\n"),
        ("printf '%s' x | dd of=f bs=1 conv=notrunc 2>/dev/null", "x\n2\n3\n4\n5\nsix\n"),
        ("truncate -s 2 f", "x\n"),
        ("install -m 644 ../keep f", "1\n2\n3\n4\nfive\n"),
    ] {
        if script.starts_with("install") {
            // What is removed before it was sealed was never there.
            house.settle();
        }
        house.sh(script);
        assert_eq!(house.text("f"), text, "{script}");
        assert_eq!(house.id("f"), id, "{script}");
    }
    assert_eq!(house.sh("ls -A"), "f\n");
}

#[test]
fn the_mode_and_time_of_a_replacement_are_the_files() {
    let house = House::new();
    house.write("f", TEXT);
    house.sh(
        "echo new > t && chmod 711 t && touch -d 2005-05-05 t && mv t f && stat -c '%a %Y' f > ../s && cat f",
    );
    let stat = std::fs::read_to_string(house.scratch().join("s")).unwrap();
    assert_eq!(stat.trim(), format!("711 {}", house.sh("date -d 2005-05-05 +%s").trim()));
}

#[test]
fn a_handle_shows_one_version_to_its_end() {
    let house = House::new();
    let first: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    house.write("f", &first);
    house.settle();
    let mut slow = std::fs::File::open(house.at("f")).unwrap();
    let mut seen = vec![0; 10_000];
    slow.read_exact(&mut seen).unwrap();
    house.edit_beside("f", "line 19999", "the end");
    assert!(house.text("f").ends_with("the end\n"), "who opens it now sees the new version");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    seen.extend(rest);
    assert!(seen == first.as_bytes(), "who had it open sees the old one to its end");
}

#[test]
fn a_reader_at_the_end_goes_on() {
    let house = House::new();
    house.write("log", "one\n");
    house.settle();
    let mut tail = std::fs::File::open(house.at("log")).unwrap();
    let mut read = || {
        let mut text = String::new();
        tail.read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(read(), "one\n");
    house.edit_beside("log", "one\n", "one\ntwo\n");
    assert_eq!(read(), "two\n");
    house.edit_beside("log", "one", "1");
    assert_eq!(read(), "", "what does not only extend it is for who opens it anew");
    assert_eq!(house.text("log"), "1\ntwo\n");
}

#[test]
fn local_writes_are_seen_at_once_by_all_who_have_it_open() {
    let house = House::new();
    house.write("f", "old");
    let mut reader = std::fs::File::open(house.at("f")).unwrap();
    let mut writer = std::fs::File::options().append(true).open(house.at("f")).unwrap();
    writer.write_all(b" and new").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old and new");
    assert_eq!(house.text("f"), "old and new");
    assert_eq!(house.at("f").metadata().unwrap().len(), 11);
}

#[test]
fn an_emptying_is_not_a_version() {
    let house = House::new();
    house.write("f", TEXT);
    house.settle();
    let oid = house.oid("f");
    let version = || house.node.attr(oid).unwrap().version;
    let before = version();
    // Opened for writing, nothing written: nothing changes.
    drop(std::fs::File::options().write(true).open(house.at("f")).unwrap());
    assert_eq!(version(), before);
    let mut file = std::fs::File::create(house.at("f")).unwrap();
    drop(file.try_clone().unwrap());
    assert_eq!(version(), before, "emptied and flushed");
    assert_eq!(house.text("f"), "", "though everybody here sees it");
    file.write_all(b"new\n").unwrap();
    drop(file);
    assert_ne!(version(), before);
    // Left empty, it is empty, whether closed or only left alone.
    std::fs::write(house.at("f"), "").unwrap();
    let file = std::fs::File::create(house.at("f")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(house.node.attr(oid).unwrap().size, 0);
    drop(file);
}

#[test]
fn what_is_written_and_left_open_is_saved_after_a_moment() {
    let house = House::new();
    let mut file = std::fs::File::create(house.at("log")).unwrap();
    file.write_all(b"words").unwrap();
    let oid = house.oid("log");
    let start = std::time::Instant::now();
    while house.node.attr(oid).unwrap().size != 5 {
        assert!(start.elapsed().as_secs() < 10);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    file.write_all(b" more").unwrap();
    file.sync_all().unwrap();
    assert_eq!(house.node.attr(oid).unwrap().size, 10);
    file.seek(SeekFrom::Start(0)).unwrap();
    drop(file);
}

#[test]
fn appends_by_two_go_after_each_other() {
    let house = House::new();
    house.write("f", "start\n");
    house.settle();
    let mut a = std::fs::File::options().append(true).open(house.at("f")).unwrap();
    house.edit_beside("f", "start\n", "start\nfriend\n");
    a.write_all(b"mine\n").unwrap();
    drop(a);
    assert_eq!(house.text("f"), "start\nfriend\nmine\n");
    house.sh("for i in 1 2 3 4; do (for j in $(seq 25); do echo $i.$j >> g; done) & done; wait");
    assert_eq!(house.sh("sort -u g | wc -l; wc -l < g"), "100\n100\n");
}

// Who appends has not read what it appends to: neither it nor those who share its bytes may be taken to know that.
#[test]
fn what_is_added_unread_never_hides_a_friends_words() {
    for reads in [false, true] {
        let house = House::new();
        house.write("f", "start\nlast\n");
        house.settle();
        let early = std::fs::File::open(house.at("f")).unwrap();
        let mut options = std::fs::File::options();
        let mut log = options.read(reads).append(true).open(house.at("f")).unwrap();
        house.edit_beside("f", "start\n", "start\nfriend\n");
        log.write_all(b"mine\n").unwrap();
        log.sync_all().unwrap();
        // It stays open, and what is opened beside it shows everything.
        assert_eq!(house.text("f"), "start\nfriend\nlast\nmine\n");
        // An edit of what is shown there, in place, keeps it too.
        house.sh("python3 -c \"t = open('f').read().replace('last', 'LAST'); open('f', 'w').write(t)\"");
        assert_eq!(house.text("f"), "start\nfriend\nLAST\nmine\n");
        // One that began before shows none of it, but for what was added to the same bytes.
        let shown = std::io::read_to_string(early).unwrap();
        assert!(shown == "start\nlast\n" || shown == "start\nlast\nmine\n", "{shown}");
        house.edit_beside("f", "LAST", "Last");
        log.write_all(b"more\n").unwrap();
        drop(log);
        assert_eq!(house.text("f"), "start\nfriend\nLast\nmine\nmore\n");
    }
}

// The newest version has the same bytes and another base: what was appended is in it.
#[test]
fn an_append_beside_a_chmod_is_not_taken_off_again() {
    let house = House::new();
    house.write("f", "a\n");
    house.settle();
    let mut log = std::fs::File::options().read(true).append(true).open(house.at("f")).unwrap();
    house.sh("chmod 640 f");
    log.write_all(b"x\n").unwrap();
    log.sync_all().unwrap();
    house.sh("printf b | dd of=f conv=notrunc status=none");
    assert_eq!(house.text("f"), "b\nx\n");
    log.write_all(b"y\n").unwrap();
    log.sync_all().unwrap();
    assert_eq!(house.text("f"), "b\nx\ny\n");
}

#[test]
fn scratch_is_local_and_a_rotated_log_is_not() {
    let house = House::new();
    house.sh("echo x > .f.swp; echo y > f; echo l > log");
    let local = |path: &str| house.node.attr(house.oid(path)).unwrap().local;
    assert!(local(".f.swp") && !local("f"));
    house.sh(&python("os.rename('log','log.1'); open('log','w').write('new\\n')").replace("wait()\n", ""));
    assert!(!local("log.1") && !local("log"));
    assert_eq!(house.text("log.1") + &house.text("log"), "l\nnew\n");
    house.sh(&python("os.rename('f','f~'); open('f','w').write('z\\n')"));
    assert!(local("f~") && !local("f"));
    assert_eq!(house.text("f~") + &house.text("f"), "y\nz\n");
}

#[test]
fn one_process_that_writes_a_file_anew_by_a_temporary_has_one_file() {
    let house = House::new();
    // Each time from what is there, sealed in between or not, and under the same temporary name or another.
    let body = "for n in range(60):\n\
        \x20   t = open('f').read() if n else ''\n\
        \x20   tmp = 'f.lock' if n % 3 else 'new'\n\
        \x20   with open(tmp, 'x') as f: f.write(t + '%d\\n' % n)\n\
        \x20   os.rename(tmp, 'f')\n\
        \x20   assert os.listdir('.') == ['f'], os.listdir('.')\n\
        \x20   time.sleep(n % 7 * 0.02)";
    house.sh(&python(body));
    assert_eq!(house.text("f"), (0..60).map(|n| format!("{n}\n")).collect::<String>());
    assert!(!house.node.attr(house.oid("f")).unwrap().local);
    // What is moved away under a name that has nothing to do with it is not its backup.
    house.sh(&python("os.rename('f','done'); open('f','w').write('next\\n')").replace("wait()\n", ""));
    assert!(house.text("done").ends_with("59\n") && house.text("f") == "next\n");
    assert!(!house.node.attr(house.oid("done")).unwrap().local);
}

#[test]
fn names_changed_beside_the_mount_are_seen_at_once() {
    let house = House::new();
    house.sh("mkdir d; echo x > d/f; ls -l d; cat d/f");
    let (d, root) = (house.oid("d"), house.node.root());
    house.node.rename(d, "f", d, "g", false).unwrap();
    let seen = |script: &str, text: &str| {
        let start = std::time::Instant::now();
        while house.try_sh(script).1 != text {
            assert!(start.elapsed().as_secs() < 5, "{script}: {}", house.try_sh(script).1);
        }
    };
    seen("ls d", "g\n");
    seen("cat d/f || true", "cat: d/f: No such file or directory\n");
    house.node.unlink(d, "g").unwrap();
    seen("cat d/g || true", "cat: d/g: No such file or directory\n");
    house.node.rmdir(root, "d").unwrap();
    seen("ls -A", "");
}
