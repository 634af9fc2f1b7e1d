//! What the operator's tests and its demo run against, all of it on loopback addresses:
//! a real Kubernetes control plane ([`control_plane`]), a real PostgreSQL ([`postgres`]), databases of hosted
//! projects ([`hosted`]), the hosted
//! pooler in front of it ([`router`]), a gate before the API server ([`gate`]), and a stand-in for the Supabase Management API ([`api`]) whose
//! traffic is checked against the official OpenAPI document ([`openapi`]). An OCI registry can be
//! started beside them ([`registry`]), and a Prometheus ([`prometheus`]); other tools are asked what they make of
//! objects ([`judges`]). It does not know the operator.

use std::io::Write as _;

pub mod api;
pub mod control_plane;
mod folder;
pub mod gate;
pub mod hosted;
pub mod jobs;
pub mod judges;
pub mod loopback;
pub mod openapi;
pub mod postgres;
pub mod prometheus;
pub mod random;
pub mod registry;
pub mod router;
pub mod s3;
mod standings;
pub mod world;

pub use api::{Options, StandIn};
pub use control_plane::ControlPlane;
pub use postgres::Postgres;
pub use registry::Registry;
pub use router::Router;
pub use s3::S3;
pub use world::World;

/// Says on standard error, past what a test runner captures, that a test or a part of one is left out. `.ci/run` counts these
/// lines among what was skipped.
pub fn left_out(why: &str) {
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {why}");
}
