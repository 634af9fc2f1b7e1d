//! The Orchestra operator: `kubectl apply -f orchestra.yaml` becomes a migrated, seeded, isolated
//! Supabase database.
//!
//! The rooms from top to bottom, one line each. A room imports only rooms below it (`tests/layers`).
//! Start with [`orchestra`], the tenant's whole life; `docs/architecture.md` is the map.

// The order is the order of the layers; rustfmt would sort lines that are not set apart.
pub mod cli; // commands that print: bill, orphans, plan, approve, rollout

pub mod run; // flags, watches, wiring, leadership, shutdown

pub mod console; // the web console: pages over views, with the rights of their visitor

pub mod views; // data for people: bill, orphans, plans, rollouts; printed by cli, drawn by console

pub mod orchestra; // the tenant's life: plan, observe, act, status

pub mod backup; // backups as Kubernetes Jobs: plan, observe, act, status

pub mod pool; // keeps databases ready for claims; candidates and preparation

pub mod database; // the paid thing's life: plan, observe, act, status

pub mod class; // which class meets a claim, its token, prices, budget, admission, orphans, ledger

pub mod rollout; // which Orchestra is migrated when: decision, turns, fleet

pub mod content; // what an Orchestra is to have inside: migrations, seed, template, settings

pub mod health; // whether applications can use their databases: probes, schedule, verdict

pub mod credentials; // owner, tenant, inventory, and the Secrets that carry them

pub mod controller; // Core, the reconcile loop, the status writer, conditions, background work, lease

pub mod source; // where scripts come from: ConfigMaps, inline, OCI artifacts, folders

pub mod archive; // a database's backup: archives, manifest, store, restore, comparison

pub mod migrate; // source → format → history → apply, the guard, and the seed

pub mod supabase; // Management API: client, wire types, rate limiter, shared project poll, errors

pub mod postgres; // connect, roles and isolation, probe, claim record

pub mod telemetry; // logs, metrics, traces, health endpoints

pub mod money; // decimal amounts, hourly and monthly

pub mod api; // the contract: the kinds, their names, conditions and reasons

pub mod geography; // which region is nearest to a place

pub mod error; // the class of an error

pub mod cron; // when a cron expression fires, in its time zone

pub mod recent; // values that are forgotten when nothing uses them

pub mod loopback; // whether an address is on the same machine

pub mod text; // text from outside: on one line, capped, without control characters
