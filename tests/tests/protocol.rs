//! The page about the protocol is enough to read what chorus writes: a reader made from it alone does.

use harness::must;
use std::path::Path;
use std::process::Command;

#[test]
fn a_second_implementation_reads_the_examples_and_the_golden_bytes() {
    let reader = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/protocol_reader.py"));
    // Debian's own, for which `.ci/prepare` installs what it needs.
    let said = must(Command::new("/usr/bin/python3").arg("-I").arg(reader));
    assert!(said.ends_with("examples read, and the golden vectors\n"), "{said}");
    let shown = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md")).unwrap();
    assert!(shown.matches("```example").count() > 10);
}

#[test]
fn it_notices_a_page_that_is_wrong() {
    let dir = harness::scratch_dir();
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    for part in ["docs", "schema/vectors", "tests"] {
        std::fs::create_dir_all(dir.path().join(part)).unwrap();
    }
    for file in std::fs::read_dir(root.join("schema/vectors")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.path().join("schema/vectors").join(file.file_name())).unwrap();
    }
    let reader = dir.path().join("tests/protocol_reader.py");
    std::fs::copy(root.join("tests/protocol_reader.py"), &reader).unwrap();
    let page = std::fs::read_to_string(root.join("docs/protocol.md")).unwrap();
    let run = |page: &str| {
        std::fs::write(dir.path().join("docs/protocol.md"), page).unwrap();
        Command::new("/usr/bin/python3").arg("-I").arg(&reader).output().unwrap()
    };
    assert!(run(&page).status.success());
    // A digit of the digest of a hello, of the key of a chunk, of a tag.
    for name in ["hello.digest ", "chunk.key ", "space.tag "] {
        let at = page.find(name).unwrap() + name.len();
        let other = if page.as_bytes()[at] == b'0' { "1" } else { "0" };
        let wrong = format!("{}{other}{}", &page[..at], &page[at + 1..]);
        let out = run(&wrong);
        assert!(!out.status.success(), "{name}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("not so: "), "{name}");
    }
}
