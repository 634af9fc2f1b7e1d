//! Metrics of backups: counts, ages of the newest data in them, durations and sizes, and the tenants whose last scheduled backup
//! is not complete, or old.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{ClassLabels, PhaseLabels, TenantLabels};
use super::tenants::MOST;
use crate::api::condition::Reason;

/// Upper bounds of the durations of backups, in seconds: from a small database to the longest Job.
const BUCKETS: [f64; 10] = [
    5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 86_400.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct TroubleLabels {
    class: String,
    reason: &'static str,
}

/// The newest data of a tenant that is in a good backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantBackup {
    /// Name of its class.
    pub class: String,
    /// Namespace of its Orchestra.
    pub namespace: String,
    /// Name of its Orchestra.
    pub name: String,
    /// The age of the data in seconds: what is newer would be lost with the database.
    pub age: i64,
    /// Whether a schedule makes backups of it.
    pub scheduled: bool,
    /// Whether its class asks for metrics of its tenants.
    pub named: bool,
}

/// The metrics.
#[derive(Debug)]
pub struct Backups {
    phases: Family<PhaseLabels, Gauge>,
    attempts: Family<ReasonLabels, Counter>,
    duration: Histogram,
    stored: Family<ClassLabels, Gauge>,
    progress: Family<ClassLabels, Gauge>,
    troubles: Family<TroubleLabels, Gauge>,
    oldest: Family<ClassLabels, Gauge>,
    tenants: Family<TenantLabels, Gauge>,
    drills: Family<ReasonLabels, Counter>,
    restores: Histogram,
    unverified: Family<ClassLabels, Gauge>,
    overdue: Family<ClassLabels, Gauge>,
}

impl Default for Backups {
    fn default() -> Self {
        Self {
            phases: Family::default(),
            attempts: Family::default(),
            duration: Histogram::new(BUCKETS),
            stored: Family::default(),
            progress: Family::default(),
            troubles: Family::default(),
            oldest: Family::default(),
            tenants: Family::default(),
            drills: Family::default(),
            restores: Histogram::new(BUCKETS),
            unverified: Family::default(),
            overdue: Family::default(),
        }
    }
}

impl Backups {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("backups", "OrchestraBackups by phase", self.phases.clone());
        registry.register(
            "backup_attempts",
            "Ended Jobs that make backups, by reason: BackedUp, or why the Job failed",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "backup_duration",
            "Time from the start of a backup until it is complete, failed attempts included",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "class_backups_stored",
            "Stored size of the complete OrchestraBackups of a class",
            Unit::Bytes,
            self.stored.clone(),
        );
        registry.register(
            "tenants_not_backed_up",
            "Tenants whose last scheduled backup is not complete, or whose schedule is invalid, by reason",
            self.troubles.clone(),
        );
        registry.register_with_unit(
            "class_oldest_backup_age",
            "The greatest age of the newest data in a good backup, among the tenants of a class with a schedule",
            Unit::Seconds,
            self.oldest.clone(),
        );
        registry.register_with_unit(
            "tenant_backup_age",
            "Age of the newest data in a good backup of a tenant whose class has health.metrics: what is newer would be lost with the database",
            Unit::Seconds,
            self.tenants.clone(),
        );
        self.register_jobs(registry);
    }

    /// Registers the metrics of running Jobs, and of drills.
    fn register_jobs(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "class_backup_progress",
            "What the running Jobs of a class's backups and drills have written or read of their archives, before compression",
            Unit::Bytes,
            self.progress.clone(),
        );
        registry.register(
            "backup_drills",
            "Drills that have ended, by Verified or the reason why the backup is not verified",
            self.drills.clone(),
        );
        registry.register_with_unit(
            "backup_drill_restore_duration",
            "Time that the restore of a drill took; a real restore takes as long",
            Unit::Seconds,
            self.restores.clone(),
        );
        registry.register(
            "tenants_not_verified",
            "Tenants with scheduled drills and no verified backup for two periods of the schedule",
            self.unverified.clone(),
        );
        registry.register(
            "tenants_backup_overdue",
            "Tenants with a schedule and without newer data in a good backup for two periods of the schedule",
            self.overdue.clone(),
        );
    }

    /// Counts an ended Job that makes a backup.
    pub fn attempted(&self, reason: Reason) {
        let reason = reason.as_str();
        self.attempts.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Observes the duration of a complete backup.
    pub fn made(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a drill that has ended.
    pub fn drilled(&self, reason: Reason) {
        let reason = reason.as_str();
        self.drills.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts the restore of a drill, by how long it took.
    pub fn restored(&self, took: Duration) {
        self.restores.observe(took.as_secs_f64());
    }

    /// Replaces the counts of tenants whose last verified backup is too old, each given as its class.
    pub fn set_unverified(&self, all: impl IntoIterator<Item = String>) {
        count(&self.unverified, all);
    }

    /// Replaces the counts of tenants the newest data of whose backups is too old, each given as its class.
    pub fn set_overdue(&self, all: impl IntoIterator<Item = String>) {
        count(&self.overdue, all);
    }

    /// Replaces the counts of backups by phase. A phase that is not named loses its gauge.
    pub fn set_phases(&self, phases: impl IntoIterator<Item = (String, i64)>) {
        self.phases.clear();
        for (phase, count) in phases {
            self.phases.get_or_create(&PhaseLabels { phase }).set(count);
        }
    }

    /// Replaces the stored bytes, each given for a backup of a class.
    pub fn set_stored(&self, all: impl IntoIterator<Item = (String, i64)>) {
        sum(&self.stored, all);
    }

    /// Replaces the progress of running Jobs, each given as its bytes for a backup of a class.
    pub fn set_progress(&self, all: impl IntoIterator<Item = (String, i64)>) {
        sum(&self.progress, all);
    }

    /// Replaces the counts of tenants whose last scheduled backup is not complete, each given as its class and reason.
    pub fn set_troubles(&self, all: impl IntoIterator<Item = (String, Reason)>) {
        let mut counts = BTreeMap::new();
        for (class, reason) in all {
            let reason = reason.as_str();
            *counts.entry(TroubleLabels { class, reason }).or_insert(0) += 1;
        }
        self.troubles.clear();
        for (labels, count) in counts {
            self.troubles.get_or_create(&labels).set(count);
        }
    }

    /// Replaces the ages of the newest data: the oldest of each class, of tenants with a schedule, and those of the first tenants,
    /// by namespace and name, whose class asks for it.
    pub fn set_ages(&self, mut all: Vec<TenantBackup>) {
        all.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        let mut oldest = BTreeMap::<String, i64>::new();
        for backup in all.iter().filter(|backup| backup.scheduled) {
            let age = oldest.entry(backup.class.clone()).or_insert(backup.age);
            *age = (*age).max(backup.age);
        }
        self.oldest.clear();
        for (class, age) in oldest {
            self.oldest.get_or_create(&ClassLabels { class }).set(age);
        }
        self.tenants.clear();
        for backup in all.into_iter().filter(|backup| backup.named).take(MOST) {
            let TenantBackup {
                class,
                namespace,
                name,
                age,
                ..
            } = backup;
            let labels = TenantLabels { class, namespace, name };
            self.tenants.get_or_create(&labels).set(age);
        }
    }
}

/// Counts the tenants of each class.
fn count(gauges: &Family<ClassLabels, Gauge>, all: impl IntoIterator<Item = String>) {
    sum(gauges, all.into_iter().map(|class| (class, 1)));
}

/// Adds up what is given of each class. A class of which nothing is given loses its gauge.
fn sum(gauges: &Family<ClassLabels, Gauge>, all: impl IntoIterator<Item = (String, i64)>) {
    let mut sums = BTreeMap::<String, i64>::new();
    for (class, number) in all {
        let sum = sums.entry(class).or_default();
        *sum = sum.saturating_add(number);
    }
    gauges.clear();
    for (class, sum) in sums {
        gauges.get_or_create(&ClassLabels { class }).set(sum);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    #[allow(clippy::too_many_lines, reason = "one line for each metric")]
    fn what_is_gone_loses_its_gauge_and_the_oldest_of_a_class_counts() {
        let (backups, mut registry) = (Backups::default(), Registry::with_prefix("orchestra"));
        backups.register(&mut registry);
        let page = || {
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
            page
        };
        let tenant = |name: &str, age, named| TenantBackup {
            class: "standard".into(),
            namespace: "tenants".into(),
            name: name.into(),
            age,
            scheduled: name != "by-hand",
            named,
        };
        let standard = || "standard".to_owned();
        backups.attempted(Reason::StoreFull);
        backups.made(Duration::from_secs(20));
        backups.set_phases([("Completed".to_owned(), 2)]);
        backups.set_stored([(standard(), 5), (standard(), 7)]);
        backups.set_progress([(standard(), 5)]);
        backups.set_troubles([(standard(), Reason::StoreFull), (standard(), Reason::StoreFull)]);
        let by_hand = tenant("by-hand", 900, true);
        backups.set_ages(vec![tenant("one", 60, true), tenant("two", 90, false), by_hand]);
        backups.drilled(Reason::BackupDamaged);
        backups.restored(Duration::from_secs(20));
        backups.set_unverified([standard(), standard()]);
        backups.set_overdue([standard()]);
        for line in [
            r#"orchestra_backup_attempts_total{reason="StoreFull"} 1"#,
            r#"orchestra_backup_duration_seconds_bucket{le="60.0"} 1"#,
            r#"orchestra_backups{phase="Completed"} 2"#,
            r#"orchestra_class_backups_stored_bytes{class="standard"} 12"#,
            r#"orchestra_class_backup_progress_bytes{class="standard"} 5"#,
            r#"orchestra_tenants_not_backed_up{class="standard",reason="StoreFull"} 2"#,
            r#"orchestra_class_oldest_backup_age_seconds{class="standard"} 90"#,
            r#"orchestra_backup_drills_total{reason="BackupDamaged"} 1"#,
            r#"orchestra_backup_drill_restore_duration_seconds_bucket{le="60.0"} 1"#,
            r#"orchestra_tenants_not_verified{class="standard"} 2"#,
            r#"orchestra_tenants_backup_overdue{class="standard"} 1"#,
            r#"orchestra_tenant_backup_age_seconds{class="standard",namespace="tenants",name="by-hand"} 900"#,
            r#"orchestra_tenant_backup_age_seconds{class="standard",namespace="tenants",name="one"} 60"#,
        ] {
            assert!(page().contains(line), "{line} is not in\n{}", page());
        }
        assert!(!page().contains(r#"name="two""#), "its class does not ask for it");
        backups.set_phases([]);
        backups.set_stored([]);
        backups.set_progress([]);
        backups.set_troubles([]);
        backups.set_unverified([]);
        backups.set_overdue([]);
        backups.set_ages(
            (0..MOST + 3)
                .map(|number| tenant(&format!("t{number}"), 1, true))
                .collect(),
        );
        let lines = page();
        let named = lines
            .lines()
            .filter(|line| line.starts_with("orchestra_tenant_backup_age_seconds{"));
        assert_eq!(named.count(), MOST);
        backups.set_ages(Vec::new());
        assert!(!page().contains("class=") && !page().contains("phase="), "{}", page());
    }
}
