//! A copy of a stopped cluster that is a cluster of its own: it has another system identifier.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result};
use crc::{CRC_32_ISCSI, Crc};
use rand::RngExt;

use crate::postgres::install::Account;

/// Where the identifier is in the first page of a segment of the log (`XLogLongPageHeaderData`).
const IN_SEGMENT: usize = 24;
/// The flag in the page's header that says so, and where the flags are.
const LONG_HEADER: (usize, u8) = (2, 0x02);

/// Copies a folder with everything in it, for this account.
pub(crate) fn folder(from: &Path, to: &Path, account: Option<Account>) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    own(to, account)?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            folder(&entry.path(), &target, account)?;
        } else {
            fs::copy(entry.path(), &target)?;
            own(&target, account)?;
        }
    }
    Ok(())
}

fn own(path: &Path, account: Option<Account>) -> Result<()> {
    if let Some(account) = account {
        chown(path, Some(account.uid), Some(account.gid))?;
    }
    Ok(())
}

/// Gives a stopped cluster a system identifier of its own, in its control file and in its log.
pub(crate) fn identify(data: &Path) -> Result<()> {
    let file = data.join("global/pg_control");
    let mut control = fs::read(&file)?;
    let old: [u8; 8] = control[..8].try_into()?;
    let end = checksum_at(&control).context("pg_control has no checksum")?;
    // A time and a random part, as initdb makes them.
    let seconds = u64::try_from(jiff::Timestamp::now().as_second())?;
    let new = ((seconds << 32) | u64::from(rand::rng().random::<u32>())).to_ne_bytes();
    control[..8].copy_from_slice(&new);
    let checksum = checksum(&control[..end]).to_ne_bytes();
    control[end..end + 4].copy_from_slice(&checksum);
    fs::write(&file, control)?;
    for entry in fs::read_dir(data.join("pg_wal"))? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let mut segment = fs::read(&path)?;
        let (flags, long) = LONG_HEADER;
        let place = IN_SEGMENT..IN_SEGMENT + 8;
        if segment.get(flags).is_some_and(|byte| byte & long != 0) && segment[place.clone()] == old {
            segment[place].copy_from_slice(&new);
            fs::write(&path, segment)?;
        }
    }
    Ok(())
}

/// The checksum follows what it covers; how much that is depends on the version.
fn checksum_at(control: &[u8]) -> Option<usize> {
    (64..512).step_by(4).find(|end| {
        let stored = control.get(*end..end + 4);
        stored == Some(&checksum(&control[..*end]).to_ne_bytes()[..])
    })
}

/// Castagnoli's.
static CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

fn checksum(bytes: &[u8]) -> u32 {
    CHECKSUM.checksum(bytes)
}
