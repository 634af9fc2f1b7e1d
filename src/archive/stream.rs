//! The stream of an archive to the store, through compression, encryption and a digest, and back.
//!
//! Compression and encryption are synchronous, and run on threads of their own. A channel of a few parts connects them with
//! the store, so that memory does not grow with the archive.

use std::io::{self, BufReader, Read, Write};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::error::{Error, Result};
use super::manifest::ManifestObject;
use super::outcome::OutcomeReason;
use super::store::Folder;

/// zstd's own default, which is fast enough for a fast network.
const LEVEL: i32 = 3;
/// The least bytes of a part: S3 takes no smaller one, but for the last.
const LEAST_PART: u64 = 8 << 20;
/// S3's limit is 10,000 parts. An archive is seldom larger than its database.
const PARTS: u64 = 5_000;
/// The largest part, which bounds memory.
const LARGEST_PART: u64 = 256 << 20;
/// zstd's window: what its level 3 needs. Decompression accepts no more.
const WINDOW_LOG: u32 = 27;

/// The result of a write.
pub(super) struct WrittenStream {
    pub bytes: u64,
    pub raw_bytes: u64,
    pub sha256: String,
}

/// Counter of the bytes of the archives.
#[derive(Clone, Debug, Default)]
pub struct Passed(Arc<AtomicU64>);

impl Passed {
    /// The number of bytes.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The recipients of a backup.
///
/// # Errors
/// [`OutcomeReason::InvalidOrder`], which names the invalid one.
pub(super) fn recipients(texts: &[String]) -> Result<Vec<age::x25519::Recipient>> {
    let read = |text: &String| {
        age::x25519::Recipient::from_str(text.trim()).map_err(|cause| {
            Error::new(
                OutcomeReason::InvalidOrder,
                format!("{text:?} is not an age recipient (age1…): {cause}"),
            )
        })
    };
    texts.iter().map(read).collect()
}

/// Writes what `source` yields as an object. The size of the whole database determines the size of a part.
///
/// # Errors
/// The error of the store, or of the source.
pub(super) async fn write(
    folder: &Folder,
    name: &str,
    source: impl Read + Send + 'static,
    (recipients, database_bytes): (Vec<age::x25519::Recipient>, u64),
    passed: Passed,
) -> Result<WrittenStream> {
    let part = (database_bytes / PARTS).clamp(LEAST_PART, LARGEST_PART);
    let part = usize::try_from(part).unwrap_or(usize::MAX);
    let (sender, mut parts) = mpsc::channel(1);
    let mut upload = folder.upload(name).await?;
    let packing =
        tokio::task::spawn_blocking(move || pack(source, PartWriter::new(sender, part), &recipients, &passed));
    let sent: Result<()> = async {
        while let Some(bytes) = parts.recv().await {
            upload.part(bytes).await?;
        }
        Ok(())
    }
    .await;
    drop(parts);
    let packed = packing.await.map_err(|error| io::Error::other(error.to_string()));
    let packed = packed.and_then(|packed| packed);
    match (sent, packed) {
        (Ok(()), Ok(written)) => upload.complete().await.map(|()| written),
        (sent, packed) => {
            upload.abort().await;
            sent?;
            let cause = packed.err().map(|error| error.to_string()).unwrap_or_default();
            Err(Error::new(
                OutcomeReason::DumpFailed,
                format!("the archive {name} ended early: {cause}"),
            ))
        }
    }
}

fn pack(
    mut source: impl Read,
    parts: PartWriter,
    recipients: &[age::x25519::Recipient],
    passed: &Passed,
) -> io::Result<WrittenStream> {
    let (raw_bytes, parts) = if recipients.is_empty() {
        compress(&mut source, parts, passed)?
    } else {
        let to = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(to).map_err(|error| io::Error::other(error.to_string()))?;
        let (raw_bytes, encrypted) = compress(&mut source, encryptor.wrap_output(parts)?, passed)?;
        (raw_bytes, encrypted.finish()?)
    };
    let (bytes, sha256) = parts.finish()?;
    Ok(WrittenStream {
        bytes,
        raw_bytes,
        sha256,
    })
}

fn compress<W: Write>(source: &mut impl Read, to: W, passed: &Passed) -> io::Result<(u64, W)> {
    let mut encoder = zstd::Encoder::new(to, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut buffer = vec![0; 1 << 17];
    let mut raw = 0;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok((raw, encoder.finish()?));
        }
        encoder.write_all(&buffer[..read])?;
        raw += read as u64;
        passed.add(read);
    }
}

/// Cuts what is written into parts of one size, as some services ask for, and digests it.
struct PartWriter {
    sender: mpsc::Sender<Vec<u8>>,
    size: usize,
    part: Vec<u8>,
    bytes: u64,
    digest: Sha256,
}

impl PartWriter {
    fn new(sender: mpsc::Sender<Vec<u8>>, size: usize) -> Self {
        Self {
            sender,
            size,
            part: Vec::new(),
            bytes: 0,
            digest: Sha256::new(),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let part = std::mem::take(&mut self.part);
        let sent = self.sender.blocking_send(part);
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the store takes no more"))
    }

    /// The number of all bytes, and their digest.
    fn finish(mut self) -> io::Result<(u64, String)> {
        if !self.part.is_empty() {
            self.send()?;
        }
        Ok((self.bytes, hex::encode(self.digest.finalize())))
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.size - self.part.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.part.extend_from_slice(taken);
        self.digest.update(taken);
        self.bytes += taken.len() as u64;
        if self.part.len() == self.size {
            self.send()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How an object is read.
#[derive(Clone)]
pub(super) struct Reading<'a> {
    pub folder: &'a Folder,
    pub object: &'a ManifestObject,
    /// Whether it is encrypted, and to which identity.
    pub encrypted: bool,
    pub identity: Option<SecretString>,
    pub passed: Passed,
}

impl Reading<'_> {
    /// Unpacks the whole object into `sink`, which may close early: then the rest is read for its digest only when
    /// `whole` is set.
    ///
    /// # Errors
    /// [`OutcomeReason::Damaged`], when it is not what the manifest says; [`OutcomeReason::WrongKey`]; the error of the
    /// store.
    pub async fn unpack(self, sink: impl Write + Send + 'static, whole: bool) -> Result<()> {
        let identity = self.identity()?;
        let mut stream = self.folder.stream(&self.object.name).await?;
        let (sender, receiver) = mpsc::channel::<Bytes>(4);
        let passed = self.passed.clone();
        let raw = self.object.raw_bytes;
        let unpacking = tokio::task::spawn_blocking(move || unpack(receiver, sink, identity.as_ref(), raw, &passed));
        let mut digest = Sha256::new();
        let mut bytes = 0;
        let (mut reading, mut cut) = (Ok(()), false);
        loop {
            match stream.try_next().await {
                Ok(Some(chunk)) => {
                    digest.update(&chunk);
                    bytes += chunk.len() as u64;
                    let closed = sender.send(chunk).await.is_err();
                    // Reading stops once the object is longer than the manifest says.
                    cut = closed && !whole;
                    if cut || bytes > self.object.bytes {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    reading = Err(error);
                    break;
                }
            }
        }
        drop(sender);
        let unpacked = unpacking
            .await
            .map_err(|error| Error::new(OutcomeReason::Damaged, error.to_string()))?;
        reading?;
        if let Err(Unpacked::Key(cause)) = &unpacked {
            return Err(Error::new(OutcomeReason::WrongKey, cause));
        }
        let found = hex::encode(digest.finalize());
        if !cut && (bytes != self.object.bytes || found != self.object.sha256) {
            return Err(self.damaged(&format!(
                "expected {} bytes with SHA-256 {}, found {bytes} with {found}",
                self.object.bytes, self.object.sha256
            )));
        }
        match unpacked {
            Err(Unpacked::Broken(cause)) => Err(self.damaged(&cause)),
            _ => Ok(()),
        }
    }

    fn damaged(&self, cause: &str) -> Error {
        let name = &self.object.name;
        Error::new(
            OutcomeReason::Damaged,
            format!("the archive {name} is damaged: use another backup ({cause})"),
        )
    }

    fn identity(&self) -> Result<Option<age::x25519::Identity>> {
        if !self.encrypted {
            return Ok(None);
        }
        let Some(text) = &self.identity else {
            return Err(Error::new(
                OutcomeReason::WrongKey,
                "the backup is encrypted, and the Job has no file age-identity: name a Secret with the private key in \
                 backup.encryption.identitySecretRef of the class",
            ));
        };
        // The format of age-keygen, with comments.
        let lines = text.expose_secret().lines().map(str::trim);
        let mut found = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identity = found.next().and_then(|line| line.parse().ok());
        identity.map(Some).ok_or_else(|| {
            Error::new(
                OutcomeReason::WrongKey,
                "the file age-identity has no private key (AGE-SECRET-KEY-1…): put the private key of one of the backup's \
                 recipients into the Secret of backup.encryption.identitySecretRef",
            )
        })
    }
}

enum Unpacked {
    Key(String),
    Broken(String),
}

fn unpack(
    receiver: mpsc::Receiver<Bytes>,
    sink: impl Write,
    identity: Option<&age::x25519::Identity>,
    raw: u64,
    passed: &Passed,
) -> std::result::Result<(), Unpacked> {
    let source = BufReader::with_capacity(
        1 << 17,
        Chunks {
            receiver,
            chunk: Bytes::new(),
        },
    );
    let Some(identity) = identity else {
        return decompress(source, sink, raw, passed);
    };
    let broken = |error: age::DecryptError| {
        match error {
        age::DecryptError::NoMatchingKeys => Unpacked::Key(
            "the backup is not encrypted to the recipient of this private key: put the private key of one of the manifest's \
             recipients into the Secret of backup.encryption.identitySecretRef"
                .to_owned(),
        ),
        error => Unpacked::Broken(error.to_string()),
    }
    };
    let decryptor = age::Decryptor::new_buffered(source).map_err(broken)?;
    let identities = std::iter::once(identity as &dyn age::Identity);
    let decrypted = decryptor.decrypt(identities).map_err(broken)?;
    decompress(BufReader::with_capacity(1 << 17, decrypted), sink, raw, passed)
}

fn decompress(
    source: impl io::BufRead,
    mut sink: impl Write,
    raw: u64,
    passed: &Passed,
) -> std::result::Result<(), Unpacked> {
    let broken = |error: io::Error| Unpacked::Broken(error.to_string());
    let mut decoder = zstd::Decoder::with_buffer(source).map_err(broken)?;
    decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
    let mut buffer = vec![0; 1 << 17];
    let mut count = 0;
    loop {
        let read = decoder.read(&mut buffer).map_err(broken)?;
        count += read as u64;
        if read == 0 && count != raw || count > raw {
            return Err(Unpacked::Broken(format!(
                "it unpacks to at least {count} bytes; the manifest says {raw}"
            )));
        }
        if read == 0 {
            return sink.flush().or(Ok(()));
        }
        passed.add(read);
        // A client that has read enough closes its end; its exit code shows whether it succeeded.
        if sink.write_all(&buffer[..read]).is_err() {
            return Ok(());
        }
    }
}

/// Reads from a channel.
struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    chunk: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let taken = self.chunk.split_to(buffer.len().min(self.chunk.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
