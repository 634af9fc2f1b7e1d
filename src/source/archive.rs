//! Tar archives, compressed with gzip or not. Nothing is written anywhere, and memory is bounded
//! whatever an archive claims of itself.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use super::files::{Files, MAX_BYTES, MAX_FILES};
use super::flaw::Flaw;

/// Begins what gzip compressed (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The most that an archive of a source may unpack to, with the headers of its entries.
const MAX_STREAM: usize = MAX_BYTES + MAX_FILES * 2048;

/// Whether a file's name is that of an archive.
pub fn is_archive(name: &str) -> bool {
    [".tar.gz", ".tgz"].iter().any(|end| name.ends_with(end))
}

/// Adds the files of an archive.
///
/// # Errors
/// The first thing that cannot be used; what was added before stays.
pub fn unpack(packed: &[u8], files: &mut Files) -> Result<(), Flaw> {
    if packed.starts_with(&GZIP) {
        unpack_tar(MultiGzDecoder::new(packed), files)
    } else {
        unpack_tar(packed, files)
    }
}

fn unpack_tar(stream: impl Read, files: &mut Files) -> Result<(), Flaw> {
    let full = Cell::new(false);
    let mut stream = Bounded {
        stream,
        left: MAX_STREAM,
        full: &full,
    };
    let broken = |error: io::Error| {
        if full.get() {
            Flaw::TooLarge
        } else {
            Flaw::Archive(error.to_string())
        }
    };
    let mut archive = Archive::new(&mut stream);
    let mut count = 0;
    for entry in archive.entries().map_err(broken)? {
        count += 1;
        if count > MAX_FILES {
            return Err(Flaw::TooMany);
        }
        take(entry.map_err(broken)?, files, broken)?;
    }
    if count == 0 {
        return Err(Flaw::Archive("it holds nothing".into()));
    }
    // What follows the last entry: gzip's checksum is at the end.
    io::copy(&mut stream, &mut io::sink()).map_err(broken)?;
    Ok(())
}

fn take<R: Read>(mut entry: Entry<'_, R>, files: &mut Files, broken: impl Fn(io::Error) -> Flaw) -> Result<(), Flaw> {
    let kind = entry.header().entry_type();
    // Git's archives begin with one, for the commit.
    if kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    let path = match String::from_utf8_lossy(&entry.path_bytes()) {
        Cow::Borrowed(path) => path.to_owned(),
        Cow::Owned(path) => return Err(Flaw::Path { path }),
    };
    match kind {
        EntryType::Directory => files.insert_folder(&path),
        EntryType::Symlink | EntryType::Link => Err(Flaw::Link { path }),
        EntryType::Regular | EntryType::Continuous => {
            let room = u64::try_from(files.room()).unwrap_or(u64::MAX);
            let size = entry.size();
            if size > room {
                return Err(Flaw::TooLarge);
            }
            let mut bytes = Vec::new();
            let read = (&mut entry).take(room).read_to_end(&mut bytes).map_err(broken)?;
            if u64::try_from(read) != Ok(size) {
                return Err(Flaw::Archive(format!("it ends within {path:?}")));
            }
            files.insert(&path, bytes)
        }
        _ => Err(Flaw::Special { path }),
    }
}

/// Fails at its limit, and remembers that this was why.
struct Bounded<'a, R> {
    stream: R,
    left: usize,
    full: &'a Cell<bool>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.full.set(true);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let most = buffer.len().min(self.left);
        let read = self.stream.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
