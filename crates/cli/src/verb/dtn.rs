//! `chorus dtn`: friends who are reached by a network that stores and forwards.

use crate::control::client::ask;
use crate::control::{DtnWish, Request};
use crate::facts::Dtn;
use crate::fail::Failure;
use crate::home::Home;
use crate::show::{ago, bytes, json, line, table};

/// Reach friends over a Bundle Protocol daemon (dtn7's dtnd); without flags: show how it stands
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the daemon answers, such as http://127.0.0.1:3000
    #[arg(long, value_name = "URL", conflicts_with = "off")]
    daemon: Option<String>,
    /// Use no daemon any more
    #[arg(long)]
    off: bool,
    /// A friend to reach by it; with an endpoint (dtn://NODE/NAME) only where routes are kept by hand
    #[arg(long, value_name = "NAME[=ENDPOINT]")]
    peer: Vec<String>,
    /// A friend not to reach by it any more, nor to answer by it
    #[arg(long, value_name = "NAME")]
    forget: Vec<String>,
    /// How long an ack may take before something is sent again: at first; each time twice as long [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    patience: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(home: &Home, args: Args) -> Result<(), Failure> {
    let daemon = if args.off { Some(String::new()) } else { args.daemon };
    let peers = args.peer.iter().map(|peer| match peer.split_once('=') {
        Some((name, endpoint)) => (name.to_owned(), Some(endpoint.to_owned())),
        None => (peer.clone(), None),
    });
    let wish = DtnWish { daemon, peers: peers.collect(), forget: args.forget, patience: args.patience };
    let status: Dtn = ask(home, &Request::Dtn(wish))?;
    if args.json {
        return json(&status);
    }
    show(&status);
    Ok(())
}

fn show(status: &Dtn) {
    match (&status.daemon, &status.node) {
        (None, _) => return line("no daemon: name one with `chorus dtn --daemon URL`"),
        (Some(url), Some(node)) => line(format!("daemon {url}, which is {node}")),
        (Some(url), None) => line(format!("daemon {url} does not answer; it is tried again")),
    }
    if let Some(trouble) = &status.trouble {
        line(format!("trouble: {trouble}"));
    }
    line(format!("what is for me goes to {}", status.endpoint));
    if status.peers.is_empty() {
        line("nobody is reached by it yet: `chorus dtn --peer NAME`");
    }
    let rows = status.peers.iter().map(|peer| {
        vec![
            peer.name.clone(),
            peer.endpoint.clone(),
            format!("{} waiting ({})", peer.waiting, bytes(peer.waiting_bytes)),
            format!("{} sent", bytes(peer.sent)),
            peer.heard.map_or_else(|| "not heard yet".into(), |at| format!("heard {}", ago(at))),
        ]
    });
    table(&rows.collect::<Vec<_>>());
}
