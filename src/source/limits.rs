//! The bounds of one source.

/// The most files and folders of one source.
pub const MAX_FILES: usize = 20_000;
/// The most bytes of one source, unpacked: 64 MiB.
pub const MAX_BYTES: usize = 64 << 20;
/// The most bytes of a small source: 4 MiB. Of larger ones, one that an Orchestra names and one that a class names are in
/// memory at a time, so that 256 MiB are enough for the operator.
pub const SMALL_BYTES: usize = 4 << 20;
/// The most bytes of the small sources in memory that Orchestras name: 32 MiB, those in use and those that are kept.
pub const SMALL_OF_ORCHESTRAS: usize = 32 << 20;
/// As [`SMALL_OF_ORCHESTRAS`], of those that classes name: 24 MiB.
pub const SMALL_OF_CLASSES: usize = 24 << 20;
/// The most bytes of files that are kept after they were read, for another reader of the same version: 8 MiB.
pub const KEPT_BYTES: usize = 8 << 20;
/// The most bytes of manifests that are kept: 8 MiB. Others are looked up again when they are needed.
pub const KEPT_MANIFESTS: usize = 8 << 20;
/// The most manifests that are looked up at the same time, each of at most 4 MiB.
pub const LOOK_UPS: usize = 8;
/// The most small artifacts that are downloaded at the same time, each of at most [`SMALL_BYTES`].
pub const DOWNLOADS: usize = 16;
/// The most bytes of a path.
pub const MAX_PATH_BYTES: usize = 1024;
/// The most names in a path.
pub const MAX_DEPTH: usize = 16;
