//! Tar archives, with gzip or without. They are unpacked into memory, within limits that hold whatever sizes an
//! archive states.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use super::files::Files;
use super::flaw::Flaw;
use super::limits::{MAX_BYTES, MAX_FILES};

/// The first two bytes of a gzip file (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The most bytes that an archive may unpack to, the headers of its entries included.
const MAX_STREAM: usize = MAX_BYTES + MAX_FILES * 2048;

/// The most bytes between the contents of two entries. They contain the name and the attributes of the next one, which are
/// read as a whole: a path has at most 1 KiB, and other tools write some KiB of attributes.
const MAX_HEADERS: usize = 64 << 10;

/// Bytes of a block of tar. Two blocks of zeros end an archive (POSIX `pax`, "ustar Interchange Format"): GNU tar, bsdtar,
/// Python and Go all write them.
const BLOCK: u64 = 512;

/// Endings of archives that are unpacked.
const UNPACKED: [&str; 3] = [".tar.gz", ".tgz", ".tar"];

/// Endings of packed files that are not unpacked.
const PACKED: [&str; 16] = [
    ".zip", ".7z", ".gz", ".xz", ".txz", ".bz2", ".tbz", ".tbz2", ".zst", ".tzst", ".br", ".z", ".rar", ".lz", ".lz4",
    ".lzma",
];

/// The first bytes of packed files: gzip, compress, zip (also without files), 7z, xz, bzip2, zstd, RAR, lz4, lzip and cpio.
const BEGINNINGS: [&[u8]; 13] = [
    &GZIP,
    &[0x1f, 0x9d],
    &[0x1f, 0xa0],
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"7z\xbc\xaf\x27\x1c",
    b"\xfd7zXZ\0",
    b"BZh",
    b"\x28\xb5\x2f\xfd",
    b"Rar!\x1a\x07",
    b"\x04\x22\x4d\x18",
    b"LZIP",
    b"070701",
];

/// Offset and bytes of the mark of a tar archive (POSIX `ustar`, also GNU).
const TAR: (usize, &[u8]) = (257, b"ustar");

fn ends_with(name: &str, ends: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    ends.iter().any(|end| name.ends_with(end))
}

/// Whether a file's name is that of an archive that is unpacked.
pub fn is_archive(name: &str) -> bool {
    ends_with(name, &UNPACKED)
}

/// Whether a file is packed, according to its name or its content.
pub fn is_packed(name: &str, bytes: &[u8]) -> bool {
    is_archive(name) || ends_with(name, &PACKED) || holds_packed(bytes)
}

fn holds_packed(bytes: &[u8]) -> bool {
    let begins = BEGINNINGS.iter().any(|begin| bytes.starts_with(begin));
    let is_tar = || bytes.get(TAR.0..).is_some_and(|rest| rest.starts_with(TAR.1));
    // Text can begin with the same letters.
    (begins || is_tar()) && !is_text(bytes)
}

/// Whether a file is text: UTF-8 without a NUL.
pub fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// Adds the files of an archive.
///
/// # Errors
/// The first entry that cannot be used; entries before it stay added.
pub fn unpack(packed: &[u8], files: &mut Files) -> Result<(), Flaw> {
    if packed.starts_with(&GZIP) {
        unpack_tar(MultiGzDecoder::new(packed), files)
    } else {
        unpack_tar(packed, files)
    }
}

fn unpack_tar(stream: impl Read, files: &mut Files) -> Result<(), Flaw> {
    let limits = ArchiveLimits::default();
    let mut stream = Bounded {
        stream,
        limits: &limits,
    };
    let broken = |error: io::Error| match limits.met.get() {
        Some(Met::Stream) => Flaw::TooLarge,
        Some(Met::Headers) => Flaw::Archive("the name or the attributes of a file have more than 64 KiB".into()),
        None => Flaw::Archive(error.to_string()),
    };
    let mut archive = Archive::new(&mut stream);
    let (mut count, mut end) = (0, 0);
    for entry in archive.entries().map_err(broken)? {
        limits.headers.set(None);
        count += 1;
        if count > MAX_FILES {
            return Err(Flaw::TooMany);
        }
        let entry = entry.map_err(broken)?;
        end = entry
            .raw_file_position()
            .saturating_add(entry.size().next_multiple_of(BLOCK));
        take(entry, files, broken)?;
        limits.headers.set(Some(MAX_HEADERS));
    }
    limits.headers.set(None);
    if count == 0 {
        return Err(Flaw::Archive("it is empty".into()));
    }
    // The iterator ends at a block of zeros, and also where the bytes end.
    let read = u64::try_from(MAX_STREAM - limits.stream.get()).unwrap_or(u64::MAX);
    if read < end.saturating_add(BLOCK) {
        return Err(Flaw::Archive(
            "it is cut off: its last file is not followed by the end of the archive".into(),
        ));
    }
    only_zeros(&mut stream, broken)
}

/// Reads to the end, where gzip verifies its checksum. tar fills its last block with zeros; other bytes would be files of
/// a second archive, which nobody would read.
fn only_zeros(stream: &mut impl Read, broken: impl Fn(io::Error) -> Flaw) -> Result<(), Flaw> {
    let mut buffer = [0; 8192];
    loop {
        let read = stream.read(&mut buffer).map_err(&broken)?;
        if buffer.iter().take(read).any(|byte| *byte != 0) {
            return Err(Flaw::Archive(
                "data follow the end of the archive: pack all files into one archive".into(),
            ));
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn take<R: Read>(mut entry: Entry<'_, R>, files: &mut Files, broken: impl Fn(io::Error) -> Flaw) -> Result<(), Flaw> {
    let kind = entry.header().entry_type();
    // Archives of Git begin with this entry, which holds the commit.
    if kind == EntryType::XGlobalHeader {
        return io::copy(&mut entry, &mut io::sink()).map(drop).map_err(broken);
    }
    let path = match String::from_utf8_lossy(&entry.path_bytes()) {
        Cow::Borrowed(path) => path.to_owned(),
        Cow::Owned(path) => return Err(Flaw::Path { path }),
    };
    match kind {
        EntryType::Directory => {
            io::copy(&mut entry, &mut io::sink()).map_err(broken)?;
            files.insert_folder(&path)
        }
        EntryType::Symlink | EntryType::Link => Err(Flaw::Link { path }),
        EntryType::Regular | EntryType::Continuous => {
            let room = u64::try_from(files.room()).unwrap_or(u64::MAX);
            let size = entry.size();
            if size > room {
                return Err(Flaw::TooLarge);
            }
            files.reserve(usize::try_from(size).unwrap_or(usize::MAX))?;
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

/// The number of bytes that may still be read from a stream.
struct ArchiveLimits {
    /// Of all of it.
    stream: Cell<usize>,
    /// Before the content of the next entry; none while that is read.
    headers: Cell<Option<usize>>,
    /// The limit that was met.
    met: Cell<Option<Met>>,
}

#[derive(Clone, Copy)]
enum Met {
    Stream,
    Headers,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            stream: Cell::new(MAX_STREAM),
            headers: Cell::new(Some(MAX_HEADERS)),
            met: Cell::new(None),
        }
    }
}

/// A stream that fails at its limits, and records which one was the cause.
struct Bounded<'a, R> {
    stream: R,
    limits: &'a ArchiveLimits,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ArchiveLimits { stream, headers, met } = self.limits;
        let (left, ahead) = (stream.get(), headers.get().unwrap_or(usize::MAX));
        if left == 0 || ahead == 0 {
            met.set(Some(if left == 0 { Met::Stream } else { Met::Headers }));
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let most = buffer.len().min(left).min(ahead);
        let read = self.stream.read(&mut buffer[..most])?;
        stream.set(left - read);
        headers.set(headers.get().map(|ahead| ahead - read));
        Ok(read)
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
