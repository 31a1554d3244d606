//! A database in a shared room: whole on both sides whatever is written where and when.

use harness::editor::Script;
use harness::{Pair, must, text, wait_until};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

fn sql(file: &Path, statements: &str) -> String {
    must(Command::new("sqlite3").arg("-cmd").arg(".timeout 20000").arg(file).arg(statements))
        .trim()
        .to_owned()
}

fn rows(file: &Path) -> String {
    // A database that is only just arriving may not be there yet.
    let out =
        Command::new("sqlite3").arg("-readonly").arg(file).arg("select count(*) from t").output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn names(room: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(room).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_database_is_whole_on_both_sides_while_it_is_written() {
    let pair = Pair::new();
    let lookout = harness::meanwhile::Lookout::start(pair.bob.path("garden"));
    let modes = [("delete.db", "delete"), ("wal.db", "wal"), ("persist.db", "persist")];
    for (name, mode) in modes {
        sql(&pair.mine(name), &format!("pragma journal_mode={mode}; create table t(n, filler);"));
    }
    // One connection writes transaction after transaction, while Bob checks whatever comes.
    let body = "import sqlite3\n\
        for name in ('delete.db', 'wal.db', 'persist.db'):\n\
        \x20   db = sqlite3.connect(name, isolation_level=None)\n\
        \x20   for n in range(40):\n\
        \x20       db.execute('begin'); db.executemany('insert into t values (?, ?)', [(n, 'x' * 900)] * 25); db.execute('commit')\n\
        \x20       if n % 10 == 9: db.execute('update t set filler = ? where n < ?', (str(n) * 300, n))\n\
        \x20   if name == 'delete.db': pause()\n\
        \x20   db.close()";
    let mut script = Script::python(&pair.room(), &pair.aside("script"), body);
    script.wait_pause();
    // Another connection here finds the very same file and its locks.
    assert_eq!(sql(&pair.mine("delete.db"), "select count(*) from t"), "1000");
    let local = pair.ann.status()["unshared"].to_string();
    for _ in 0..10 {
        if pair.theirs("delete.db").exists() {
            let found = Command::new("sqlite3")
                .arg("-readonly")
                .arg(pair.theirs("delete.db"))
                .arg("pragma integrity_check")
                .output()
                .unwrap();
            assert_eq!(
                String::from_utf8_lossy(&found.stdout).trim(),
                "ok",
                "what bob has meanwhile; unshared: {local}"
            );
        }
    }
    script.finish();
    for (name, _) in modes {
        wait_until(&format!("bob has all rows of {name}"), || rows(&pair.theirs(name)) == "1000");
        for file in [pair.mine(name), pair.theirs(name)] {
            assert_eq!(sql(&file, "pragma integrity_check"), "ok", "{}", file.display());
        }
    }
    let mut seen = lookout.end();
    seen.retain(|name| !modes.iter().any(|(known, _)| name == known));
    // Bob's own reading makes files beside a database in WAL mode, on his device only.
    seen.retain(|name| !name.ends_with("-shm") && !name.ends_with("-wal"));
    assert!(seen.is_empty(), "nothing of ann's but the databases reached bob: {seen:?}");
}

#[test]
fn an_open_database_is_not_replaced_by_a_friends() {
    let pair = Pair::new();
    sql(&pair.mine("a.db"), "create table t(n); insert into t values (1);");
    wait_until("bob has it", || rows(&pair.theirs("a.db")) == "1");
    let body = "import sqlite3\n\
        db = sqlite3.connect('a.db', isolation_level=None)\n\
        db.execute('begin immediate'); db.execute('insert into t values (2)')\n\
        pause()\n\
        db.execute('insert into t values (3)'); db.execute('commit')\n\
        assert db.execute('pragma integrity_check').fetchone()[0] == 'ok'\n\
        assert db.execute('select count(*) from t').fetchone()[0] == 3\n\
        db.close()";
    let mut script = Script::python(&pair.room(), &pair.aside("script"), body);
    script.wait_pause();
    sql(&pair.theirs("a.db"), "insert into t values (10), (11), (12), (13);");
    let log = || pair.ann.ok(&["log", "/garden/a.db"]);
    wait_until("bob's version has come", || log().contains("bob"));
    // Who opens it here now shares the file, and the lock, with who is writing.
    let busy =
        Command::new("sqlite3").arg(pair.mine("a.db")).arg("insert into t values (9)").output().unwrap();
    assert!(String::from_utf8_lossy(&busy.stderr).contains("locked"), "{busy:?}");
    script.finish();
    // Both are there, one of them beside the other, and both are whole.
    let sides = |room: &Path| names(room).into_iter().filter(|n| n.ends_with(".db")).collect::<Vec<_>>();
    wait_until("both versions are on both sides", || {
        sides(&pair.room()).len() == 2 && sides(&pair.room()) == sides(&pair.bob.path("garden"))
    });
    for room in [pair.room(), pair.bob.path("garden")] {
        let mut counts = Vec::new();
        for name in sides(&room) {
            let copy = pair.aside("copy.db");
            fs::copy(room.join(&name), &copy).unwrap();
            assert_eq!(sql(&copy, "pragma integrity_check"), "ok", "{name}");
            counts.push(rows(&copy));
        }
        counts.sort();
        assert_eq!(counts, ["3", "5"]);
    }
}

#[test]
fn a_database_outlives_a_crash_while_a_friend_works_beside_it() {
    let mut pair = Pair::new();
    for mode in ["delete", "wal"] {
        let (file, told) = (pair.mine(&format!("{mode}.db")), pair.aside(mode));
        sql(&file, &format!("pragma journal_mode={mode}; create table t(n integer primary key, filler);"));
        let insert = "for n in $(seq 2000); do sqlite3 -cmd '.timeout 2000' -cmd 'pragma synchronous=extra' \"$0\" \
            'insert into t(filler) values(hex(randomblob(300)))' && head -c 1 \"$0\" && echo $n >> \"$1\"; done";
        let mut bash = Command::new("bash");
        bash.args(["-c", insert]).args([&file, &told]).stdout(Stdio::null()).stderr(Stdio::null());
        let (done, beside) = (AtomicBool::new(false), pair.theirs(""));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    fs::write(beside.join(format!("{mode}{}", n % 20)), format!("{n}\n").repeat(n % 300))
                        .unwrap();
                }
            });
            let mut writer = bash.spawn().unwrap();
            wait_until("some is written", || text(&told).lines().count() > 20);
            pair.ann.kill();
            let _ = writer.kill();
            writer.wait().unwrap();
            done.store(true, Ordering::SeqCst);
        });
        let told = text(&told).lines().count();
        pair.ann.up();
        assert_eq!(sql(&file, "pragma integrity_check"), "ok", "{mode}");
        let kept = rows(&file);
        assert!(kept.parse::<usize>().unwrap() >= told, "{mode}: {told} were told, {kept} kept");
        let theirs = pair.theirs(&format!("{mode}.db"));
        wait_until("bob has all rows", || rows(&theirs) == kept);
        assert_eq!(sql(&theirs, "pragma integrity_check"), "ok", "{mode}");
    }
}
