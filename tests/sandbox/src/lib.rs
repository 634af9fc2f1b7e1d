//! The sandbox.
pub mod control_plane;
