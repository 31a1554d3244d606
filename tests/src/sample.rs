//! Files to copy: a tree as people have them, the same for the same seed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A small generator of numbers; the same seed, the same numbers.
pub struct Numbers(u64);

impl Numbers {
    /// Starts from a seed.
    pub fn from(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn any(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `most`, which is not 0.
    pub fn below(&mut self, most: u64) -> u64 {
        self.any() % most
    }

    /// Bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 8);
        while out.len() < length {
            out.extend(self.any().to_le_bytes());
        }
        out.truncate(length);
        out
    }

    /// Lines of words, some not ASCII, about `length` bytes.
    pub fn prose(&mut self, length: usize) -> String {
        const WORDS: [&str; 12] = [
            "door", "room", "garden", "friend", "over", "the", "a", "naïve", "日本", "gehört", "to", "walks",
        ];
        let mut out = String::with_capacity(length + 16);
        while out.len() < length {
            out.push_str(WORDS[self.below(12) as usize]);
            out.push(if self.below(9) == 0 { '\n' } else { ' ' });
        }
        out.push('\n');
        out
    }
}

/// A tree of `files` files and some more: text, binaries, empty files, modes, times of the past,
/// symlinks within the tree, names with spaces and letters that are not ASCII; and, where
/// `large` is not 0, one file of that many bytes.
///
/// # Panics
/// If the disk refuses.
pub fn make_tree(root: &Path, files: usize, large: usize) {
    let mut numbers = Numbers::from(files as u64);
    fs::create_dir_all(root).expect("a directory");
    for n in 0..files {
        let dir = root.join(format!("part {}", n % 17)).join(["src", "größe", "日本", "docs/deep/er"][n % 4]);
        fs::create_dir_all(&dir).expect("a directory");
        let name = match n % 7 {
            0 => format!("note {n}.txt"),
            1 => format!("ünïcode-{n}.md"),
            2 => format!("photo{n}.jpg"),
            3 => format!("empty{n}"),
            4 => format!("run{n}.sh"),
            5 => format!(".hidden{n}"),
            _ => format!("it's \"{n}\" & more.c"),
        };
        let path = dir.join(name);
        let length = 1 + numbers.below(if n % 50 == 0 { 200_000 } else { 3000 }) as usize;
        match n % 7 {
            2 => fs::write(&path, numbers.bytes(length)),
            3 => fs::write(&path, b""),
            _ => fs::write(&path, numbers.prose(length)),
        }
        .expect("a file");
        if n % 40 == 0 {
            let name = path.file_name().expect("a name");
            symlink(name, dir.join(format!("link{n}"))).expect("a symlink");
            symlink("../..", dir.join(format!("up{n}"))).expect("a symlink");
        }
        dress(&path, n);
    }
    if large > 0 {
        let mut file = File::create(root.join("large.bin")).expect("a file");
        let block = 1 << 20;
        for start in (0..large).step_by(block) {
            file.write_all(&numbers.bytes(block.min(large - start))).expect("room on the disk");
        }
        drop(file);
        dress(&root.join("large.bin"), 0);
    }
    fs::set_permissions(root.join("part 0"), fs::Permissions::from_mode(0o750)).expect("a mode");
}

fn dress(path: &Path, n: usize) {
    let mode = [0o644, 0o600, 0o755, 0o664, 0o700, 0o444][n % 6];
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000 + n as u64 * 1000, 123_456_000);
    File::options().write(true).open(path).and_then(|f| f.set_modified(time)).expect("a time");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}
