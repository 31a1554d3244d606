//! What README and manual show is what happens: their sessions, run.

fn page(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_session_in_the_readme_runs() {
    harness::console::run(&page("README.md"));
}

#[test]
fn the_session_in_the_manual_runs() {
    harness::console::run(&page("docs/manual.md"));
}
