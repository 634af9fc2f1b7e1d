//! What keeps a server from having databases of tenants, in the words of every place that finds it out.

/// The first version whose CREATEROLE reaches only roles that the role itself has made, and that tells which these are.
pub const CONFINED: u32 = 16;

/// Of a server whose sessions may not write.
pub(super) const TAKES_NO_WRITES: &str =
    "its server takes no writes: it is a standby, or default_transaction_read_only is on; give the URL of the primary";

/// Of a server of a version before [`CONFINED`]. `field` of the pool accepts it.
pub(super) fn legacy(version: u32, field: &str) -> String {
    format!(
        "its server runs PostgreSQL {version}: before version {CONFINED}, a script with CREATEROLE reaches every role \
         of the server that is not a superuser, and programs of its machine. Use PostgreSQL {CONFINED} or later; if all \
         databases of the server belong to tenants that trust each other, set {field} of the pool"
    )
}
