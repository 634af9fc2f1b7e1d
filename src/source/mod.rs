//! Where scripts come from: ConfigMaps, the resource itself, OCI artifacts, and folders of the operator's
//! pod. [`Sources`] reads each of them into a bounded set of [`Files`].
//!
//! A [`SourceVersion`] identifies the current content of a source and is cheap to look up. The files of a version are
//! fetched once, however many tenants name the source.

mod archive;
mod config_map;
mod digest;
mod error;
mod files;
mod flaw;
mod flights;
mod folder;
pub mod hosts;
pub mod layout;
mod limits;
pub mod login;
mod manifest;
pub mod oci;
mod outside;
mod place;
pub mod pull_secret;
mod registry;
mod room;
mod sources;
mod token;
mod unread;

pub use config_map::add as add_config_map;
pub use error::Error;
pub use files::Files;
pub use flaw::Flaw;
pub use limits::{MAX_BYTES, MAX_FILES};
pub use place::SourcePlace;
pub use room::Share;
pub use sources::{ROOM_UNUSED, SourceVersion, Sources};
