//! What plain servers begin with. initdb runs once for each server that a process uses; further clusters are copies of what
//! it made, with system identifiers of their own, which costs a third of its processor time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Cluster, PLAIN, SUPERUSER, init_cluster, install};
use crate::folder::Folder;
use crate::hosted::copy;

/// A cluster that has not been started yet, and its superuser's password.
struct Made {
    data: Folder,
    password: String,
}

/// By the folder of the server's programs.
static MADE: Mutex<BTreeMap<PathBuf, Arc<Made>>> = Mutex::new(BTreeMap::new());

/// Makes a plain cluster in `dir/data`.
///
/// # Errors
/// When initdb fails, or the folder cannot be written.
pub(super) fn plain(bin: PathBuf, dir: &Path) -> anyhow::Result<Cluster> {
    let mut cluster = Cluster {
        bin,
        account: install::account(dir)?,
        superuser: SUPERUSER,
        password: crate::random::alphanumeric(32),
        settings: &PLAIN,
    };
    let data = dir.join("data");
    let mut all = MADE.lock();
    let Some(made) = all.get(&cluster.bin).cloned() else {
        init_cluster(&cluster, dir, &[])?;
        let made = Made {
            data: Folder::read(&data)?,
            password: cluster.password.clone(),
        };
        all.insert(cluster.bin.clone(), Arc::new(made));
        return Ok(cluster);
    };
    drop(all);
    made.data.write(&data)?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
    copy::identify(&data)?;
    fs::write(dir.join("postgres.log"), "")?;
    if let Some(account) = cluster.account {
        let paths = [dir.to_owned(), dir.join("postgres.log")];
        for path in paths.into_iter().chain(made.data.paths(&data)) {
            chown(path, Some(account.uid), Some(account.gid))?;
        }
    }
    cluster.password.clone_from(&made.password);
    Ok(cluster)
}
