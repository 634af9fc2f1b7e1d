//! The projects of the stand-in and how they change by themselves.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::behaviour::{Behaviour, Fate};
use super::keys::Key;
use super::reply::Reply;
use super::values::Settings;

/// Every project alive, by reference, and the references that once were.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) projects: BTreeMap<String, Project>,
    pub(super) removed: HashSet<String>,
    pub(super) last_number: i64,
}

impl World {
    /// The project, brought up to date; refused as the API does when there is none.
    pub(super) fn project(&mut self, reference: &str) -> Result<&mut Project, Reply> {
        if self.removed.contains(reference) {
            return Err(Reply::message(400, "Resource has been removed"));
        }
        let project = self
            .projects
            .get_mut(reference)
            .ok_or_else(|| Reply::message(404, "Project not found"))?;
        project.settle();
        Ok(project)
    }

    /// Every project, brought up to date.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Project> {
        self.projects.values_mut().for_each(Project::settle);
        self.projects.values_mut()
    }
}

/// Where a project is in its life.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life {
    /// Created and not read yet.
    Created(Start),
    ComingUp(Start),
    Restoring(Start),
    Healthy {
        since: Instant,
    },
    /// Its end is known once the server has stopped.
    Pausing {
        until: Instant,
    },
    Resizing {
        until: Instant,
    },
    /// A backup is being restored.
    RestoringBackup {
        until: Instant,
    },
    Inactive,
    InitFailed,
}

impl Life {
    /// Later than a stand-in lives.
    pub(super) fn much_later() -> Instant {
        Instant::now() + Duration::from_hours(1000)
    }

    /// Says when a pause or a time without a server ends.
    pub(super) fn ends(&mut self, when: Instant) {
        if let Self::Pausing { until } | Self::Resizing { until } | Self::RestoringBackup { until } = self {
            *until = when;
        }
    }
}

/// A start in progress: when it ends, if it does, and whether it ends well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) until: Option<Instant>,
    pub(super) fails: bool,
}

impl Start {
    /// A start without an end.
    pub(super) const NEVER_ENDING: Self = Self {
        until: None,
        fails: false,
    };

    pub(super) fn new(behaviour: &Behaviour) -> Self {
        Self {
            until: (behaviour.fate != Fate::Stuck).then(|| Instant::now() + behaviour.coming_up),
            fails: behaviour.fate == Fate::Failed,
        }
    }

    /// When the pooler will know the project.
    pub(super) fn pooler_from(self, behaviour: &Behaviour) -> Option<Instant> {
        self.until
            .filter(|_| !self.fails)
            .map(|until| until + behaviour.pooler_after)
    }
}

/// What the API says of a project's PostgreSQL.
pub(super) struct Image {
    /// Version of the server, and of the platform's image of it.
    pub(super) version: String,
    pub(super) engine: String,
}

impl Image {
    /// Of a server's version, such as `17.6`.
    pub(super) fn of(version: &str) -> Self {
        Self {
            version: format!("{version}.1.111"),
            engine: version.split('.').next().unwrap_or_default().to_owned(),
        }
    }
}

/// One project.
#[derive(Clone, Debug)]
pub(super) struct Project {
    pub(super) reference: String,
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) organization: String,
    pub(super) region: String,
    pub(super) size: String,
    pub(super) created: Timestamp,
    pub(super) listed_from: Instant,
    pub(super) life: Life,
    /// A status that is shown whatever the life is.
    pub(super) shown: Option<&'static str>,
    pub(super) keys: Vec<Key>,
    pub(super) legacy_keys: bool,
    pub(super) settings: Settings,
}

impl Project {
    /// The role that owns the project's database on a server of all projects.
    pub(super) fn owner(reference: &str) -> String {
        format!("owner_{reference}")
    }

    /// The project's database on a server of all projects.
    pub(super) fn database(reference: &str) -> String {
        format!("project_{reference}")
    }

    fn settle(&mut self) {
        let now = Instant::now();
        let over = |start: Start| start.until.filter(|until| *until <= now);
        self.life = match self.life {
            Life::Created(start) | Life::ComingUp(start) => match over(start) {
                Some(_) if start.fails => Life::InitFailed,
                Some(since) => Life::Healthy { since },
                None => self.life,
            },
            Life::Restoring(start) => match over(start) {
                Some(_) if start.fails => Life::Inactive,
                Some(since) => Life::Healthy { since },
                None => self.life,
            },
            Life::Pausing { until } if until <= now => Life::Inactive,
            Life::Resizing { until } | Life::RestoringBackup { until } if until <= now => {
                Life::Healthy { since: until }
            }
            other => other,
        };
    }

    /// The status to show; `UNKNOWN` is shown by the create response alone.
    pub(super) fn status(&mut self) -> &'static str {
        if let Life::Created(start) = self.life {
            self.life = Life::ComingUp(start);
        }
        if let Some(shown) = self.shown {
            return shown;
        }
        match self.life {
            Life::Created(_) | Life::ComingUp(_) => "COMING_UP",
            Life::Restoring(_) | Life::RestoringBackup { .. } => "RESTORING",
            Life::Resizing { .. } => "RESIZING",
            Life::Healthy { .. } => "ACTIVE_HEALTHY",
            Life::Pausing { .. } => "PAUSING",
            Life::Inactive => "INACTIVE",
            Life::InitFailed => "INIT_FAILED",
        }
    }

    /// How long the project has been healthy.
    pub(super) fn healthy_for(&self) -> Option<Duration> {
        match self.life {
            Life::Healthy { since } => Some(since.elapsed()),
            _ => None,
        }
    }

    /// Whether the project counts against the limit of active projects.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.life, Life::Inactive | Life::InitFailed)
    }

    /// `V1ProjectResponse`.
    pub(super) fn summary(&self, status: &str) -> Value {
        json!({
            "id": self.reference,
            "ref": self.reference,
            "organization_id": self.organization,
            "organization_slug": self.organization,
            "name": self.name,
            "region": self.region,
            "created_at": self.created.to_string(),
            "status": status,
        })
    }

    /// `V1ProjectWithDatabaseResponse`.
    pub(super) fn with_database(&mut self, domain: &str, image: &Image) -> Value {
        let status = self.status();
        let mut body = self.summary(status);
        body["database"] = json!({
            "host": format!("db.{}.{domain}", self.reference),
            "version": image.version,
            "postgres_engine": image.engine,
            "release_channel": "ga",
        });
        body
    }

    /// An entry of `OrganizationProjectsResponse`.
    pub(super) fn listed(&mut self) -> Value {
        let status = self.status();
        // The databases have an enum of their own, without the states of a pause.
        let database_status = match status {
            "PAUSING" | "INACTIVE" => "GOING_DOWN",
            other => other,
        };
        json!({
            "ref": self.reference,
            "name": self.name,
            "cloud_provider": "AWS",
            "region": self.region,
            "is_branch": false,
            "status": status,
            "inserted_at": self.created.to_string(),
            "databases": [{
                "infra_compute_size": self.size,
                "region": self.region,
                "status": database_status,
                "cloud_provider": "AWS",
                "identifier": self.reference,
                "type": "PRIMARY",
                "disk_volume_size_gb": 8,
                "disk_type": "gp3",
            }],
        })
    }

    /// `V1ProjectRefResponse`.
    pub(super) fn identity(&self) -> Value {
        json!({"id": self.number, "ref": self.reference, "name": self.name})
    }
}
