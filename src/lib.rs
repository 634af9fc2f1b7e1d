//! The Orchestra operator: `kubectl apply -f orchestra.yaml` becomes a migrated, seeded, isolated
//! Supabase database. One line a module; start with [`orchestra`], the tenant's whole life.

pub mod api; // the contract: the kinds, their conditions and reasons
pub mod controller; // what all controllers share: wiring, retry by error class, status writing, lease
pub mod credentials; // passwords, and the Secrets that carry them
pub mod migrate; // source → format → history → apply, and the seed
pub mod postgres; // connect, roles and isolation, probe
pub mod supabase; // Management API: client, wire types, request budget, shared project poll, errors
pub mod telemetry; // logs, metrics, health endpoints
