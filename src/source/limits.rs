//! The bounds of one source.

/// The most files and folders of one source.
pub const MAX_FILES: usize = 20_000;
/// The most bytes of one source, unpacked: 64 MiB.
pub const MAX_BYTES: usize = 64 << 20;
/// The most bytes of a path.
pub const MAX_PATH_BYTES: usize = 1024;
/// The most names in a path.
pub const MAX_DEPTH: usize = 16;
