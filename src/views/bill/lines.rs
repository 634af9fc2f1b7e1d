//! The rows of a bill, gathered object by object, so that a reader of the whole cluster need not hold all objects.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use kube::ResourceExt;

use super::row::{Amounts, Row};
use crate::api::{BackupEstimate, Charges, Cost, DeletionPolicy, Orchestra, OrchestraDatabase};
use crate::class::ledger::{LedgerMonth, LedgerRecord, charges};
use crate::class::orphan::is_billed;
use crate::money;
use crate::money::charged::{self, Month};

/// Namespace and name of a tenant, and the name of its OrchestraDatabase.
type Holding = (Option<String>, Option<String>, String);

/// Rows of a bill that is still gathered. Databases are added before Orchestras.
#[derive(Debug)]
pub struct Lines {
    at: Timestamp,
    /// The label of the Orchestras whose values the rows have.
    label: Option<String>,
    rows: Vec<Row>,
    /// The place of each database's row in `rows`.
    places: HashMap<Holding, usize>,
    /// The UIDs of the databases that exist.
    existing: HashSet<String>,
}

impl Lines {
    /// No rows, of a bill at this time, whose rows have the values of a label of the Orchestras where one is named.
    pub fn with_label(at: Timestamp, label: Option<String>) -> Self {
        Self {
            at,
            label,
            rows: Vec::new(),
            places: HashMap::new(),
            existing: HashSet::new(),
        }
    }

    /// Adds the row of a database; none when it certainly has no project.
    pub fn add_database(&mut self, database: &OrchestraDatabase) {
        self.existing.extend(database.uid());
        if let Some(row) = row(database, self.at) {
            self.push(row);
        }
    }

    /// Adds what the ledger has of the bill's month: the databases that have left the bill. It is read after the databases, so that
    /// none is in neither. Of one whose deletion is not complete the row of the database counts.
    pub fn add_ledger(&mut self, ledger: &LedgerMonth) {
        let state = if ledger.closed { CLOSED } else { GONE };
        let records = ledger.records.iter();
        let gone = records.filter(|(uid, _)| !self.existing.contains(*uid));
        self.rows.extend(gone.map(|(_, record)| of_record(record, state)));
    }

    /// Adds the row of a tenant's hosted database as its Orchestra has it, for a reader who may not read OrchestraDatabases, and
    /// its backups. What it has cost this month is not known from there.
    pub fn add_tenant(&mut self, orchestra: &Orchestra) {
        let status = orchestra.status.as_ref();
        let hosted = status.filter(|status| status.cost.is_some() || status.project.is_some());
        let own = self.own(orchestra);
        if let Some(status) = hosted {
            let project = status.project.as_ref();
            let priced = status
                .cost
                .as_ref()
                .and_then(|cost| Some((cost, money::parse(&cost.monthly)?)));
            self.push(Row {
                is_hosted: true,
                project: project.map(|project| project.reference.clone()),
                region: project.map(|project| project.region.clone()),
                amounts: Amounts {
                    currency: priced.map(|(cost, _)| cost.currency.clone()),
                    monthly: priced.map(|(_, monthly)| money::text(monthly)),
                    ..Amounts::default()
                },
                ..own
            });
        }
        self.add_orchestra(orchestra);
    }

    /// Adds what an Orchestra knows of its database: the value of its label, and what its backups are estimated to cost, to the
    /// row of its project or as a row of its own.
    pub fn add_orchestra(&mut self, orchestra: &Orchestra) {
        let own = self.own(orchestra);
        let place = self.places.get(&holding(&own)).copied();
        if let Some(place) = place
            && let Some(row) = self.rows.get_mut(place)
        {
            row.label.clone_from(&own.label);
        }
        let backup = orchestra.status.as_ref().and_then(|status| status.backup.as_ref());
        let estimate = backup.and_then(|backup| backup.estimate.as_ref());
        let Some(BackupEstimate {
            currency: Some(currency),
            monthly: Some(monthly),
            ..
        }) = estimate
        else {
            return;
        };
        let row = match place {
            Some(place) => self.rows.get_mut(place),
            None => None,
        };
        let backups = Some(monthly.clone());
        match row.filter(|row| row.amounts.currency.as_ref().is_none_or(|its| its == currency)) {
            Some(row) => {
                row.amounts.currency.get_or_insert_with(|| currency.clone());
                row.amounts.backups = backups;
            }
            None => self.rows.push(Row {
                amounts: Amounts {
                    currency: Some(currency.clone()),
                    backups,
                    ..Amounts::default()
                },
                ..own
            }),
        }
    }

    /// The rows, sorted by name.
    pub fn rows(mut self) -> Vec<Row> {
        self.rows
            .sort_by(|a, b| (&a.namespace, &a.name, &a.database).cmp(&(&b.namespace, &b.name, &b.database)));
        self.rows
    }

    /// The row of an Orchestra, with the value of its label.
    fn own(&self, orchestra: &Orchestra) -> Row {
        let label = self.label.as_ref().and_then(|key| orchestra.labels().get(key));
        Row {
            label: label.cloned(),
            ..of_orchestra(orchestra)
        }
    }

    fn push(&mut self, row: Row) {
        self.places.insert(holding(&row), self.rows.len());
        self.rows.push(row);
    }
}

fn holding(row: &Row) -> Holding {
    (row.namespace.clone(), row.name.clone(), row.database.clone())
}

/// The row of a record of the ledger.
fn of_record(record: &LedgerRecord, state: &str) -> Row {
    Row {
        namespace: record.namespace.clone(),
        name: record.name.clone(),
        class: record.class.clone(),
        label: None,
        database: record.database.clone(),
        is_hosted: true,
        project: record.project.clone(),
        account: record.account.clone(),
        region: record.region.clone(),
        state: state.to_owned(),
        hours: record.hours,
        amounts: Amounts {
            currency: record.currency.clone(),
            monthly: None,
            month_to_date: record.amount.clone(),
            month_end: record.amount.clone(),
            backups: None,
        },
    }
}

/// The row of a tenant without a hosted database and without amounts.
fn of_orchestra(orchestra: &Orchestra) -> Row {
    let status = orchestra.status.as_ref();
    Row {
        namespace: orchestra.namespace(),
        name: Some(orchestra.name_any()),
        class: orchestra.decided_class().map(str::to_owned),
        label: None,
        database: status
            .and_then(|status| status.database_name.clone())
            .unwrap_or_default(),
        is_hosted: false,
        project: None,
        account: None,
        region: None,
        state: status
            .and_then(|status| status.phase.clone())
            .unwrap_or_else(|| "Pending".into()),
        hours: None,
        amounts: Amounts::default(),
    }
}

/// The row of a database; none when it certainly has no project.
fn row(database: &OrchestraDatabase, now: Timestamp) -> Option<Row> {
    let wanted = database.spec.supabase.as_ref().filter(|_| is_billed(database))?;
    let status = database.status.as_ref()?;
    let claim = database.spec.claim_ref.as_ref();
    let state = state(database);
    // The cluster does not know when a lost project ended, so no cost is computed for it.
    let cost = status.cost.as_ref().filter(|_| state != LOST);
    let project = status.project.as_ref();
    let region = project.map_or(&wanted.region, |project| &project.region);
    let end = leaves(database, &state, now).unwrap_or(Timestamp::MAX);
    let (hours, amounts) = amounts(cost, &charges(database, now), now, end);
    Some(Row {
        namespace: claim.map(|claim| claim.namespace.clone()),
        name: claim.map(|claim| claim.name.clone()),
        class: database.spec.class_name.clone(),
        label: None,
        database: database.name_any(),
        is_hosted: true,
        project: project.map(|project| project.reference.clone()),
        account: status.organization.clone(),
        region: Some(region.clone()),
        state,
        hours,
        amounts,
    })
}

const LOST: &str = "Lost";

/// Of a database that has left the bill this month.
const GONE: &str = "Gone";

/// Of any database in a month that is closed.
const CLOSED: &str = "Closed";

const DELETING: &str = "Deleting";
const RECLAIMING: &str = "Reclaiming";

fn state(database: &OrchestraDatabase) -> String {
    let status = database.status.as_ref();
    if database.is_lost() {
        return LOST.into();
    }
    if database.metadata.deletion_timestamp.is_some() {
        return DELETING.into();
    }
    if database.spec.released_at.is_some() {
        let is_reclaimed =
            database.spec.reclaim_after.is_some() && database.spec.reclaim_policy == DeletionPolicy::Delete;
        return if is_reclaimed { RECLAIMING } else { "Released" }.into();
    }
    status
        .and_then(|status| status.phase.clone())
        .unwrap_or_else(|| "Pending".into())
}

/// When a project that is being destroyed, or will be, is gone; none when it stays.
fn leaves(database: &OrchestraDatabase, state: &str, now: Timestamp) -> Option<Timestamp> {
    match state {
        DELETING => Some(now),
        RECLAIMING => database.spec.reclaim_after.as_ref().map(|at| at.0.max(now)),
        _ => None,
    }
}

/// Hours and amounts of one row, of a project that exists until `end`. Amounts are rounded to cents here, so that the rows add
/// up to the printed totals.
fn amounts(cost: Option<&Cost>, charges: &Charges, now: Timestamp, end: Timestamp) -> (Option<i32>, Amounts) {
    let read = |cost: &Cost| Some((money::parse(&cost.monthly)?, money::parse(&cost.hourly)?));
    let Some((cost, (monthly, hourly))) = cost.and_then(|cost| Some((cost, read(cost)?))) else {
        return (None, Amounts::default());
    };
    let month = Month::of(now);
    let to_date = charged::in_month(charges, month, hourly, now);
    let whole = charged::in_month(charges, month, hourly, month.end().min(end));
    let amounts = Amounts {
        currency: Some(cost.currency.clone()),
        monthly: Some(money::text(monthly)),
        month_to_date: Some(money::text(to_date.amount)),
        month_end: Some(money::text(whole.amount)),
        backups: None,
    };
    (Some(to_date.hours), amounts)
}
