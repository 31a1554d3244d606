//! What a face answers to its own replaying thread: the kernel hears what it asks for, and nothing is done.

use crate::error::{Error, Result, not_found};
use crate::replay::{Act, Replay, Replays, Spot};
use crate::tree::{Sort, Stat};
use base::Kind;
use std::time::SystemTime;

impl Replays {
    /// What a name leads to, and whether the kernel may go on believing that.
    ///
    /// Errors: to nothing, as far as this replay goes.
    pub fn lookup(&self, now: Option<&Replay>, parent: u64, name: &[u8]) -> Result<(Stat, bool)> {
        let text = std::str::from_utf8(name).map_err(|_| not_found())?;
        let is = |spot: &Spot| spot.parent == parent && spot.name == text;
        if let Some(replay) = now {
            match &replay.act {
                Act::Appear { at, .. } if is(at) => return Err(not_found()),
                Act::Move { to, .. } if is(to) => return Err(not_found()),
                Act::Vanish { at, sort } if is(at) => {
                    return Ok((self.last_seen(replay, *sort, parent, text), false));
                }
                Act::Move { from, .. } if is(from) => {
                    let key = replay.key.clone().ok_or_else(not_found)?;
                    return Ok((self.tree.enter(key, parent, text)?, false));
                }
                _ => {}
            }
        }
        // On the way to it.
        match self.tree.lookup(parent, name) {
            Ok(stat) => Ok((stat, true)),
            Err(error) => {
                let key = self.believed(parent, text).ok_or(error)?;
                Ok((self.tree.enter(key, parent, text)?, false))
            }
        }
    }

    /// A file, room or symlink is made: it is there already.
    ///
    /// Errors: it is not, or no longer.
    pub fn enter(&self, now: Option<&Replay>, parent: u64, name: &[u8]) -> Result<Stat> {
        let replay = now.ok_or_else(over)?;
        match &replay.act {
            Act::Appear { at, .. } if at.parent == parent && at.name.as_bytes() == name => {}
            _ => return Err(over()),
        }
        let key = self.tree.find(parent, name)?;
        if Some(&key) != replay.key.as_ref() {
            return Err(not_found());
        }
        self.tree.enter(key, parent, &String::from_utf8_lossy(name))
    }

    /// A name is removed: it is not there any more.
    ///
    /// Errors: it is.
    pub fn remove(&self, now: Option<&Replay>, parent: u64, name: &[u8]) -> Result<()> {
        let replay = now.ok_or_else(over)?;
        match &replay.act {
            Act::Vanish { at, .. } if at.parent == parent && at.name.as_bytes() == name => {}
            _ => return Err(over()),
        }
        let truth = self.tree.find(parent, name).ok();
        if truth.is_some() && truth == replay.key {
            return Err(not_found());
        }
        let mut inodes = self.tree.0.inodes.lock();
        let text = String::from_utf8_lossy(name);
        // Somebody has made it anew meanwhile: to the kernel that one would be removed.
        let known = inodes.told(parent, &text);
        if truth.is_some_and(|truth| known.is_some() && inodes.primary(&truth) == known) {
            return Err(not_found());
        }
        // The kernel lets nobody into a removed room again, under that number.
        if matches!(&replay.act, Act::Vanish { sort: Sort::Room, .. }) && inodes.told(parent, &text).is_some()
        {
            match &replay.key {
                Some(key) if replay.ends => drop(inodes.set_apart(key)),
                _ => return Err(not_found()),
            }
        }
        inodes.untell(parent, &text);
        Ok(())
    }

    /// A name is changed: it is so already.
    ///
    /// Errors: it is not, or no longer.
    pub fn rename(&self, now: Option<&Replay>, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<()> {
        let replay = now.ok_or_else(over)?;
        let is = |spot: &Spot, place: (u64, &[u8])| spot.parent == place.0 && spot.name.as_bytes() == place.1;
        match &replay.act {
            Act::Move { from: old, to: new } if is(old, from) && is(new, to) => {}
            _ => return Err(over()),
        }
        let key = replay.key.as_ref().ok_or_else(over)?;
        let (there, here) = (self.tree.find(to.0, to.1)?, self.tree.find(from.0, from.1).ok());
        if there != *key || here.as_ref() == Some(key) {
            return Err(not_found());
        }
        let mut inodes = self.tree.0.inodes.lock();
        let ino = inodes.primary(key).ok_or_else(not_found)?;
        let held = inodes.told(from.0, &String::from_utf8_lossy(from.1));
        if held.is_some_and(|held| held != ino) {
            return Err(not_found());
        }
        inodes.untell(from.0, &String::from_utf8_lossy(from.1));
        inodes.tell(to.0, &String::from_utf8_lossy(to.1), ino);
        Ok(())
    }

    // What is gone, shown one last time: under its own number where the kernel holds that and nothing else leads
    // to it, so that who watches the thing itself hears of its end.
    fn last_seen(&self, replay: &Replay, sort: Sort, parent: u64, name: &str) -> Stat {
        let held = replay.key.as_ref().filter(|_| replay.ends).and_then(|key| {
            let mut inodes = self.tree.0.inodes.lock();
            inodes.primary(key).map(|_| inodes.look_up(key.clone(), parent, name))
        });
        let ino = held.unwrap_or(replay.ghost);
        let (size, perm) = (0, if sort == Sort::Room { 0o755 } else { 0o644 });
        let gone = Stat::plain(ino, sort, size, SystemTime::UNIX_EPOCH, perm);
        match held.map(|ino| self.tree.getattr(ino)) {
            Some(Ok(stat)) if stat.sort == sort => Stat { links: 1, ..stat },
            _ => gone,
        }
    }
}

fn over() -> Error {
    Error::refused(Kind::Stale, "not what is being replayed")
}
