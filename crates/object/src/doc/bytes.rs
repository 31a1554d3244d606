//! Content that is not merged: versions stand side by side until somebody settles them.
//!
//! Writing the one that has the name replaces that version and leaves the others beside it, since
//! whoever saved it may never have seen them. [`Doc::set_version`] replaces another one,
//! [`Doc::drop_version`] hides it. A change of type writes the register; words written meanwhile into the text it replaced show
//! as another version.

use super::shape::{self, BODY, Register};
use super::{Doc, Made, show};
use crate::body::{Birth, Content};
use crate::error::{Error, Result};
use crate::heads::Heads;
use crate::kind::Type;
use crate::manifest::Manifest;
use automerge::transaction::{Transactable, Transaction};
use automerge::{ChangeHash, ObjType, ROOT, ReadDoc, ScalarValue};
use base::{Actor, Hash, limit};
use std::collections::{BTreeMap, BTreeSet};

/// One of the contents that stand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionOf {
    /// Names the content; equal contents have one name.
    pub hash: Hash,
    /// What it is as.
    pub kind: Type,
    /// The content; a text is its bytes.
    pub content: Content,
    /// When it was written: a counter that grows with every operation, and the actor. The greater is later.
    pub at: (u64, Actor),
}

impl VersionOf {
    pub(super) fn new(kind: Type, content: Content, at: (u64, Actor)) -> VersionOf {
        VersionOf { hash: VersionOf::name(&content), kind, content, at }
    }

    /// The name of a content: of bytes the SHA-256, of a manifest its hash.
    pub fn name(content: &Content) -> Hash {
        match content {
            Content::Empty => Hash::of(&[]),
            Content::Bytes(bytes) => Hash::of(&[bytes]),
            Content::Manifest(manifest) => manifest.hash(),
        }
    }
}

/// The key of the mark that the same content was written again.
const SAME: &str = "same";

pub(super) fn dropped_key(version: &Hash) -> String {
    format!("v/{}", version.hex())
}

pub(super) fn put_birth(tx: &mut Transaction<'_>, birth: &Birth) -> Result<()> {
    match (&birth.kind, &birth.content) {
        (Type::Text, Content::Bytes(bytes)) => {
            let text =
                std::str::from_utf8(bytes).map_err(|_| base::Error::Malformed { what: "birth of a text" })?;
            put_text(tx, shape::TEXT, text)
        }
        (kind, content) => {
            let register = Register { kind: *kind, text: None, content: content.clone() };
            Ok(tx.put(ROOT, BODY, register.to_value())?)
        }
    }
}

// A new Text object under its own key, and the register naming it.
fn put_text(tx: &mut Transaction<'_>, key: &str, text: &str) -> Result<()> {
    let id = tx.put_object(ROOT, key, ObjType::Text)?;
    tx.splice_text(&id, 0, 0, text)?;
    Ok(tx.put(ROOT, BODY, Register::of_text(&id).to_value())?)
}

impl Doc {
    /// Writes content as an edit of `base`; with another type than before it changes the type.
    ///
    /// Content for `Type::Text` is merged as [`Doc::edit_text`] does where it was a text at `base`. None if
    /// it was the same already. Errors: a base that is not here, content that does not fit the type, a limit.
    pub fn set_content(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        base: &Heads,
        content: Content,
        kind: Type,
    ) -> Result<Option<Made>> {
        self.check_becomes(kind)?;
        check(kind, &content)?;
        let heads = self.at(base)?;
        let standing = self.peek(|doc| shape::bodies(&doc.am, Some(&heads), &doc.shown.born))?;
        let Some(winner) = standing.first() else { return Err(Error::Unfit { wanted: "file" }) };
        if kind == Type::Text && winner.register.text.is_some() {
            let Content::Bytes(bytes) = &content else { return Err(Error::Unfit { wanted: "text" }) };
            return self.edit_text(actor, time_ms, base, std::str::from_utf8(bytes).unwrap_or_default());
        }
        if winner.register.kind == kind && winner.register.content == content {
            return Ok(None);
        }
        // Beside others, only the version that had the name is replaced.
        let beside: Vec<ChangeHash> = standing[1..].iter().map(|body| body.change).collect();
        let (on, old) = self.peek(|doc| {
            let old = winner.register.text_id().filter(|_| !beside.is_empty());
            let old = old.map(|id| doc.am.text_at(&id, &heads)).transpose()?;
            Ok((doc.without(&heads, &beside), old.map(|text| Hash::of(&[text.as_bytes()]))))
        })?;
        self.put_content(actor, time_ms, &on, old, content, kind).map(Some)
    }

    /// As [`Doc::set_content`] with bytes, and makes a change even where nothing differs.
    pub fn set_bytes(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        base: &Heads,
        bytes: &[u8],
        kind: Type,
    ) -> Result<Made> {
        self.set_anyway(actor, time_ms, base, Content::Bytes(bytes.to_vec()), kind)
    }

    /// As [`Doc::set_content`] with a manifest, and makes a change even where nothing differs.
    pub fn set_manifest(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        base: &Heads,
        manifest: &Manifest,
        kind: Type,
    ) -> Result<Made> {
        self.set_anyway(actor, time_ms, base, Content::Manifest(manifest.clone()), kind)
    }

    fn set_anyway(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        base: &Heads,
        content: Content,
        kind: Type,
    ) -> Result<Made> {
        if let Some(made) = self.set_content(actor, time_ms, base, content, kind)? {
            return Ok(made);
        }
        // The engine makes no change of a value that is there already; a mark beside it makes one.
        let heads = self.at(base)?;
        let mark = self.clock.values().fold(1i64, |sum, seq| sum.saturating_add_unsigned(*seq));
        self.guard(|doc| {
            let made = doc.commit(actor, time_ms, &heads, |tx| Ok(tx.put(ROOT, SAME, mark)?))?;
            show::again(&doc.am, &mut doc.shown, None)?;
            Ok(made)
        })
    }

    /// Replaces the version of this name, wherever it stands, and leaves the others.
    ///
    /// None if that is its content. Errors: no such version, or one that only holds what was written into a text after it was replaced;
    /// content that does not fit the type.
    pub fn set_version(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        version: &Hash,
        content: Content,
        kind: Type,
    ) -> Result<Option<Made>> {
        self.check_becomes(kind)?;
        check(kind, &content)?;
        if VersionOf::name(&content) == *version {
            return Ok(None);
        }
        let (on, old) = self.peek(|doc| doc.standing_as(version))?;
        self.put_content(actor, time_ms, &on, old, content, kind).map(Some)
    }

    // What has seen the version of this name and none beside it; and the name again, if it is a text.
    fn standing_as(&self, version: &Hash) -> Result<(Vec<ChangeHash>, Option<Hash>)> {
        let (named, beside): (Vec<_>, Vec<_>) = shape::bodies(&self.am, None, &self.shown.born)?
            .into_iter()
            .partition(|body| self.name_of(body) == *version);
        if named.is_empty() {
            return Err(Error::UnknownVersion);
        }
        let beside: Vec<ChangeHash> = beside.iter().map(|body| body.change).collect();
        let text = named.iter().any(|body| body.register.text.is_some());
        Ok((self.without(&self.am.get_heads(), &beside), text.then_some(*version)))
    }

    /// Hides a version that stands beside the one that has the name. It comes back if somebody writes it again
    /// meanwhile. None if there is no such version.
    pub fn drop_version(&mut self, actor: &Actor, time_ms: i64, version: &Hash) -> Result<Option<Made>> {
        if !self.shown.others.iter().any(|other| other.hash == *version) {
            return Ok(None);
        }
        let key = dropped_key(version);
        self.guard(|doc| {
            let heads = doc.am.get_heads();
            let made = doc
                .commit(actor, time_ms, &heads, |tx| Ok(tx.put(ROOT, key, ScalarValue::Boolean(true))?))?;
            show::again(&doc.am, &mut doc.shown, None)?;
            Ok(Some(made))
        })
    }

    // Every replica would pass it over.
    fn check_becomes(&self, kind: Type) -> Result<()> {
        if self.shown.born.becomes(kind) { Ok(()) } else { Err(Error::Unfit { wanted: "file of that type" }) }
    }

    fn name_of(&self, body: &shape::Standing) -> Hash {
        match body.register.text_id().and_then(|id| self.am.text(&id).ok()) {
            Some(text) => Hash::of(&[text.as_bytes()]),
            None => VersionOf::name(&body.register.content),
        }
    }

    // The newest version within `heads` that has not seen these changes.
    fn without(&self, heads: &[ChangeHash], unseen: &[ChangeHash]) -> Vec<ChangeHash> {
        if unseen.is_empty() {
            return heads.to_vec();
        }
        let deps: BTreeMap<ChangeHash, Vec<ChangeHash>> =
            self.am.get_changes_meta(&[]).into_iter().map(|change| (change.hash, change.deps)).collect();
        let mut open = heads.to_vec();
        let mut order = Vec::new();
        let mut within = BTreeSet::new();
        while let Some(hash) = open.pop() {
            if within.insert(hash) {
                order.push(hash);
                open.extend(deps.get(&hash).into_iter().flatten());
            }
        }
        let mut seen: BTreeSet<ChangeHash> = unseen.iter().copied().collect();
        // The engine lists changes after those they build on, so one pass spreads what was seen.
        for change in self.am.get_changes_meta(&[]) {
            if change.deps.iter().any(|dep| seen.contains(dep)) {
                seen.insert(change.hash);
            }
        }
        order.retain(|hash| !seen.contains(hash));
        let below: BTreeSet<ChangeHash> =
            order.iter().filter_map(|hash| deps.get(hash)).flatten().copied().collect();
        order.retain(|hash| !below.contains(hash));
        order
    }

    // `old`: a text that is replaced although words were written into it after others came to stand beside it. Those
    // are not among what `on` has seen, and would show as another version.
    fn put_content(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        on: &[ChangeHash],
        old: Option<Hash>,
        content: Content,
        kind: Type,
    ) -> Result<Made> {
        let key = format!("{}/{}/{}", shape::TEXT, actor.hex(), self.clock.values().sum::<u64>());
        self.guard(|doc| {
            let made = doc.commit(actor, time_ms, on, |tx| {
                if let Some(old) = old {
                    tx.put(ROOT, dropped_key(&old), ScalarValue::Boolean(true))?;
                }
                match (kind, &content) {
                    (Type::Text, Content::Bytes(bytes)) => {
                        put_text(tx, &key, std::str::from_utf8(bytes).unwrap_or_default())
                    }
                    _ => Ok(tx.put(ROOT, BODY, Register { kind, text: None, content }.to_value())?),
                }
            })?;
            show::again(&doc.am, &mut doc.shown, None)?;
            Ok(made)
        })
    }
}

fn check(kind: Type, content: &Content) -> Result<()> {
    match (kind, content) {
        (Type::Text, Content::Bytes(bytes)) if bytes.len() > limit::TEXT_BYTES => {
            Err(Error::TooLarge { what: "text", limit: limit::TEXT_BYTES })
        }
        (Type::Text, Content::Bytes(bytes)) => {
            std::str::from_utf8(bytes).map(|_| ()).map_err(|_| Error::Unfit { wanted: "text" })
        }
        (Type::Link, Content::Bytes(bytes)) if bytes.len() > limit::LINK_BYTES => {
            Err(Error::TooLarge { what: "symlink", limit: limit::LINK_BYTES })
        }
        (Type::Whole | Type::Link, Content::Bytes(_)) => Ok(()),
        (Type::Whole | Type::Blob, Content::Manifest(_)) => Ok(()),
        (Type::Blob, Content::Bytes(_)) => Ok(()),
        _ => Err(Error::Unfit { wanted: "file of that type" }),
    }
}
