//! Keeps the corpus: `corpus list`, `corpus unpack DIR`, `corpus pack DIR`, `corpus seed`.
//!
//! In the repository an input is a line of hex; libFuzzer wants a file for each.

use anyhow::{Context, Result, bail};
use base::Hash;
use data_encoding::HEXLOWER;
use fuzz::{TARGETS, corpus, harm, inputs};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Bytes of inputs that are kept of one target.
const KEPT: usize = 24 << 10;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.most)),
        ["unpack", dir] => {
            for target in TARGETS {
                unpack(target.name, &Path::new(dir).join(target.name))?;
            }
        }
        ["pack", dir] => {
            for target in TARGETS {
                pack(target.name, &Path::new(dir).join(target.name))?;
            }
        }
        ["seed"] => {
            for target in TARGETS {
                let mut inputs: BTreeSet<Vec<u8>> = inputs(&corpus(target.name)).into_iter().collect();
                inputs.extend(fuzz::seed::of(target.name)?);
                write(target.name, inputs)?;
            }
        }
        _ => bail!("usage: corpus list | unpack DIR | pack DIR | seed"),
    }
    Ok(())
}

// The small ones first: they say the same with less.
fn write(name: &str, inputs: BTreeSet<Vec<u8>>) -> Result<()> {
    let mut inputs: Vec<Vec<u8>> = inputs.into_iter().collect();
    inputs.sort_by_key(Vec::len);
    let mut text = String::new();
    for input in inputs {
        if text.len() + 2 * input.len() > 2 * KEPT {
            break;
        }
        text.push_str(&HEXLOWER.encode(&input));
        text.push('\n');
    }
    fs::write(corpus(name), text).with_context(|| name.to_owned())
}

fn unpack(name: &str, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    for input in inputs(&corpus(name)).into_iter().chain(inputs(&harm(name))) {
        fs::write(dir.join(Hash::of(&[&input]).hex()), input)?;
    }
    Ok(())
}

fn pack(name: &str, dir: &Path) -> Result<()> {
    let mut inputs = BTreeSet::new();
    for file in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        inputs.insert(fs::read(file?.path())?);
    }
    write(name, inputs)
}
