//! A directory kept like another by iroh-docs and iroh-blobs, as `make bench-peers` measures them: no relay, no
//! lookup of addresses, stores on disk.
//!
//! `chorus-iroh make DIR STORE ADDRESS` prints a ticket, `chorus-iroh join DIR STORE ADDRESS TICKET` uses it. Both then
//! read words from stdin: `scan` brings what changed in the directory into the document, `sync` compares with the
//! others, the end of stdin ends it. Each word is answered by `done`. What others wrote is put into the directory as
//! it comes.

mod folder;

use anyhow::{Context, Result, bail};
use folder::Folder;
use iroh::{Endpoint, RelayMode, endpoint::presets, protocol::Router};
use iroh_blobs::{ALPN as BLOBS, BlobsProtocol, store::fs::FsStore};
use iroh_docs::api::protocol::{AddrInfoOptions, ShareMode};
use iroh_docs::{ALPN as DOCS, DocTicket, protocol::Docs};
use iroh_gossip::{ALPN as GOSSIP, net::Gossip};
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, store, address, ticket) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", dir, store, address] => (dir, store, address, None),
        ["join", dir, store, address, ticket] => (dir, store, address, Some(ticket.parse::<DocTicket>()?)),
        _ => bail!("chorus-iroh make DIR STORE ADDRESS, or join DIR STORE ADDRESS TICKET"),
    };
    let store = PathBuf::from(store);
    std::fs::create_dir_all(store.join("docs")).context("a place for the store")?;
    let endpoint = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr(address)?
        .bind()
        .await?;
    let blobs = FsStore::load(store.join("blobs")).await?;
    let gossip = Gossip::builder().spawn(endpoint.clone());
    let docs = Docs::persistent(store.join("docs"))
        .spawn(endpoint.clone(), (*blobs).clone(), gossip.clone())
        .await?;
    let router = Router::builder(endpoint)
        .accept(BLOBS, BlobsProtocol::new(&blobs, None))
        .accept(GOSSIP, gossip)
        .accept(DOCS, docs.clone())
        .spawn();
    let author = docs.author_default().await?;
    let nodes = ticket.as_ref().map(|ticket| ticket.nodes.clone()).unwrap_or_default();
    let doc = match ticket {
        Some(ticket) => docs.import_namespace(ticket.capability).await?,
        None => docs.create().await?,
    };
    let folder = Folder::new(dir.into(), doc.clone(), (*blobs).clone(), author);
    let receiving = folder.clone().receive().await?;
    doc.start_sync(nodes.clone()).await?;
    println!("{}", doc.share(ShareMode::Write, AddrInfoOptions::Addresses).await?);
    let receiving = tokio::spawn(receiving);
    let mut words = BufReader::new(tokio::io::stdin()).lines();
    while let Some(word) = words.next_line().await? {
        match word.as_str() {
            "scan" => folder.scan().await?,
            "sync" => doc.start_sync(nodes.clone()).await?,
            _ => bail!("no such word: {word}"),
        }
        println!("done");
    }
    receiving.abort();
    router.shutdown().await?;
    Ok(())
}
