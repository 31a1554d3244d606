//! `chorus init`: make the identity without running.

use crate::facts::Me;
use crate::fail::Failure;
use crate::home::Home;
use crate::show;
use base::Kind;

/// Make the identity without running the node
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The name suggested to friends (each chooses the one they use)
    #[arg(long)]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    home.must_be_mine()?;
    let me = match node::Node::init(home.dir(), args.name.as_deref()) {
        Ok(me) => Me::from(me),
        Err(e) if e.kind() == Kind::Exists => {
            return Err(Failure::with_hint(
                Kind::Exists,
                e.to_string(),
                "it is kept as it is; `chorus up` runs it, `--home DIR` names another home",
            ));
        }
        Err(e) => return Err(e.into()),
    };
    if args.json {
        return show::json(&me);
    }
    show::line(format!("made {} in {}", me.name, home.dir().display()));
    show::line(format!("fingerprint {}", me.fingerprint));
    show::line("next: chorus up");
    Ok(())
}
