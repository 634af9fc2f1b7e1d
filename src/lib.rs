//! The Orchestra operator: `kubectl apply -f orchestra.yaml` becomes a migrated, seeded, isolated
//! Supabase database. One line a module; start with [`orchestra`], the tenant's whole life.

pub mod api; // the contract: the kinds, their conditions and reasons
pub mod class; // which class meets a claim, its token, and the bridge from the environment
pub mod controller; // what all controllers share: wiring, retry by error class, status writing, lease
pub mod credentials; // passwords, and the Secrets that carry them
pub mod database; // the paid thing's life: plan, observe, act, status
pub mod error; // the class of an error
pub mod migrate; // source → format → history → apply, and the seed
pub mod money; // decimal amounts, hourly and monthly
pub mod orchestra; // the tenant's life: plan, observe, act, status
pub mod pool; // the static inventory: each entry becomes a database that can be claimed
pub mod postgres; // connect, roles and isolation, probe
pub mod report; // commands that only read: the bill, the orphans
pub mod rollout; // how a class's new migrations go over its tenants, and the command of that name
pub mod run; // the process: watches, leader election, shutdown
pub mod source; // where scripts come from: ConfigMaps, inline, OCI artifacts, folders
pub mod supabase; // Management API: client, wire types, rate limiter, shared project poll, errors
pub mod telemetry; // logs, metrics, health endpoints
