//! Backups of databases with real servers, real clients and a real store: made, restored, compared, damaged.

#[path = "archive/changes.rs"]
mod changes;
#[path = "archive/cut_off.rs"]
mod cut_off;
#[path = "archive/damage.rs"]
mod damage;
#[path = "archive/forged.rs"]
mod forged;
#[path = "archive/hosted.rs"]
mod hosted;
#[path = "archive/job.rs"]
mod job;
#[path = "archive/left_out.rs"]
mod left_out;
#[path = "archive/pool.rs"]
mod pool;
#[path = "archive/restored.rs"]
mod restored;
#[path = "archive/s3.rs"]
mod s3;
#[path = "archive/trouble.rs"]
mod trouble;
#[path = "archive/walls.rs"]
mod walls;
