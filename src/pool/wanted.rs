//! What the members of a pool are prepared with: the migrations of the template that a static pool names, or the
//! defaults of the class that makes the members, with the seed where its rows name no tenant.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Pass;
use super::attempts::Refusal;
use super::preparation::waits;
use crate::api::condition::Reason;
use crate::api::{
    AppliedTemplate, DatabaseSource, ExposeNewTables, Orchestra, OrchestraClass, OrchestraDatabase,
    OrchestraDatabaseStatus, OrchestraPool, OrchestraSpec, Prepared, SeedPolicy, Template, TemplateReference,
};
use crate::class;
use crate::content::{self, SeedRun};
use crate::controller::error::Error;
use crate::credentials::rights;
use crate::migrate::{Options, Source, TimeLimits};
use crate::postgres::TenantRights;

/// The wanted contents of a pool's members.
pub struct MemberContents {
    /// The pool that is triggered when a preparation has ended.
    pub pool: ObjectRef<OrchestraPool>,
    /// The migrations.
    pub source: Arc<Source>,
    /// The seed, if it is applied before the claim.
    pub seed: Option<SeedRun>,
    /// What the Data API may do with the tables, where the class says it.
    pub exposed: Option<ExposeNewTables>,
    /// The rights of the future tenant, as the class says them.
    pub rights: Option<TenantRights>,
    class: String,
    what: Requester,
    limits: TimeLimits,
    per_statement: bool,
}

/// Who asks for it.
enum Requester {
    /// A static pool, by this template.
    Template(Box<Template>),
    /// The class, by its default template of this name, or by itself.
    Defaults(Option<String>),
}

/// The wanted contents of members that are entries; none when the pool asks for no preparation.
///
/// # Errors
/// When the class, the template or its source is missing.
pub async fn of_entries(pass: &Pass) -> Result<Option<Arc<MemberContents>>, Error> {
    let (ctx, pool) = (&pass.ctx, &*pass.pool);
    let of_server = pool.spec.server.as_ref().and_then(|server| server.template.as_ref());
    let (class_name, name) = match (&pool.spec.prepare, of_server) {
        (Some(preparation), _) => (Some(&preparation.class_name), &preparation.template_ref.name),
        (None, Some(template)) => (pool.spec.class_name.as_ref(), template),
        (None, None) => return Ok(None),
    };
    let class = class::resolve(&ctx.class, class_name.map(String::as_str))?;
    let class_name = class.name_any();
    let mut templates = class.spec.templates.iter().flatten();
    let template = templates.find(|template| template.name == *name).ok_or_else(|| {
        let message = format!("OrchestraClass {class_name} has no template {name}: add it there");
        Error::blocked(Reason::TemplateNotFound, message)
    })?;
    // As an Orchestra of the template would apply them.
    let (claimant, settings) = (of_template(&template.name), &ctx.core.settings);
    let Some(spec) = content::migrations_of(&claimant, Some(&*class), &settings.namespace) else {
        return Ok(None);
    };
    let (limits, per_statement) = (spec.limits(settings.migration_limit), spec.per_statement());
    Ok(Some(Arc::new(MemberContents {
        pool: ObjectRef::from_obj(pool),
        class: class_name,
        what: Requester::Template(Box::new(template.clone())),
        source: content::migrations(&ctx.content, spec.place, spec.format).await?,
        seed: None,
        exposed: None,
        rights: None,
        limits,
        per_statement,
    })))
}

/// An Orchestra that names this template of its class, and nothing else.
fn of_template(name: &str) -> Orchestra {
    let template_ref = Some(TemplateReference { name: name.to_owned() });
    let source = DatabaseSource {
        template_ref,
        ..DatabaseSource::default()
    };
    let spec = OrchestraSpec {
        source: Some(source),
        ..OrchestraSpec::default()
    };
    Orchestra::new("", spec)
}

/// The wanted contents of members that a pool creates: those of an Orchestra of the class that names neither migrations nor
/// a template. None when the class has no migrations.
///
/// # Errors
/// When a source is missing.
pub async fn of_class(pass: &Pass, class: &OrchestraClass) -> Result<Option<Arc<MemberContents>>, Error> {
    let (ctx, pool) = (&pass.ctx, &*pass.pool);
    let blank = Orchestra::new("", OrchestraSpec::default());
    let settings = &ctx.core.settings;
    let Some(spec) = content::migrations_of(&blank, Some(class), &settings.namespace) else {
        return Ok(None);
    };
    let template = content::template_of(&blank, class);
    let seed = match template {
        Some(template) => content::seed_before_claim(&ctx.content, template).await?,
        None => None,
    };
    let (limits, per_statement) = (spec.limits(settings.migration_limit), spec.per_statement());
    Ok(Some(Arc::new(MemberContents {
        pool: ObjectRef::from_obj(pool),
        class: class.name_any(),
        what: Requester::Defaults(template.map(|template| template.name.clone())),
        source: content::migrations(&ctx.content, spec.place, spec.format).await?,
        seed,
        exposed: class.spec.data_api.as_ref().and_then(|api| api.expose_new_tables),
        rights: Some(rights::of(&blank, Some(class))),
        limits,
        per_statement,
    })))
}

impl MemberContents {
    /// How the migrations are applied.
    pub fn options(&self) -> Options {
        Options {
            limits: self.limits,
            per_statement: self.per_statement,
            ..Options::default()
        }
    }

    /// Whether a member has these contents.
    pub fn is_met_by(&self, member: &OrchestraDatabase) -> bool {
        let Some(status) = &member.status else { return false };
        match &self.what {
            Requester::Template(template) => {
                status.template.as_ref() == Some(&applied(&self.class, template, &template.version))
            }
            Requester::Defaults(template) => status.prepared.as_ref().is_some_and(|has| {
                has.template == *template
                    && has.migrations.as_ref() == Some(&self.source.digest())
                    && self.is_seeded(has.seed.as_deref())
            }),
        }
    }

    /// Whether a member has contents that cannot be corrected: another template's tables, tables that are exposed to the
    /// Data API differently than the class now says, or the rows of a changed seed that runs once.
    pub fn is_outdated(&self, member: &OrchestraDatabase) -> bool {
        let (Requester::Defaults(template), Some(has)) = (&self.what, prepared(member)) else {
            return false;
        };
        let seed = match (&has.seed, &self.seed) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(has), Some(wanted)) => wanted.policy == SeedPolicy::Once && *has != wanted.digest,
        };
        let exposed = has.exposed.is_some() && has.exposed != self.exposed;
        has.template != *template || seed || exposed
    }

    fn is_seeded(&self, ran: Option<&str>) -> bool {
        let met = |wanted: &SeedRun| ran.is_some_and(|ran| wanted.policy.is_met_by(ran, &wanted.digest));
        self.seed.as_ref().is_none_or(met)
    }

    /// What attempts to prepare a member are remembered by: a script that failed in one transaction is tried again when it is to
    /// run statement by statement.
    pub fn subject(&self) -> String {
        let digest = self.source.digest();
        let manner = if self.per_statement { "/PerStatement" } else { "" };
        match &self.what {
            Requester::Template(template) => {
                let (name, version) = (&template.name, &template.version);
                format!("{}/{name}/{version}/{digest}{manner}", self.class)
            }
            Requester::Defaults(template) => {
                let seed = self.seed.as_ref().map(|seed| seed.digest.as_str());
                let (template, seed) = (template.as_deref().unwrap_or_default(), seed.unwrap_or_default());
                format!("{}/{template}/{digest}/{seed}{manner}", self.class)
            }
        }
    }

    /// What it comes from, for people.
    fn origin(&self) -> String {
        match &self.what {
            Requester::Template(template) => format!("version {} of template {}", template.version, template.name),
            Requester::Defaults(_) => format!("the defaults of OrchestraClass {}", self.class),
        }
    }

    /// What the status says about a member while it is prepared.
    pub fn running(&self) -> Refusal {
        let message = format!("it is being prepared from {}", self.origin());
        Refusal::from(&waits(Reason::Migrating, &message))
    }

    /// Records in the status of a member that it is about to be prepared, so that from now on it meets claims of this
    /// content only.
    ///
    /// # Errors
    /// When it holds another template's tables.
    pub fn begin(&self, member: &str, status: &mut OrchestraDatabaseStatus) -> Result<(), Error> {
        match &self.what {
            Requester::Template(template) => match &status.template {
                Some(is) if !is.is(&self.class, &template.name) => {
                    return Err(Error::blocked(Reason::InUse, other_template(member, is)));
                }
                Some(_) => {}
                None => status.template = Some(applied(&self.class, template, "")),
            },
            Requester::Defaults(template) => {
                let has = status.prepared.get_or_insert_with(|| Prepared {
                    template: template.clone(),
                    ..Prepared::default()
                });
                has.exposed = self.exposed.or(has.exposed);
                if !self.is_seeded(has.seed.as_deref()) {
                    has.seed = self.seed.as_ref().map(|seed| seed.digest.clone());
                    // None of it counts before the seed has run.
                    has.migrations = None;
                }
            }
        }
        Ok(())
    }

    /// Records in the status of a member that it is prepared.
    pub fn end(&self, status: &mut OrchestraDatabaseStatus) {
        match &self.what {
            Requester::Template(template) => {
                status.template = Some(applied(&self.class, template, &template.version));
            }
            Requester::Defaults(_) => {
                let has = status.prepared.get_or_insert_default();
                has.migrations = Some(self.source.digest());
            }
        }
    }
}

fn prepared(member: &OrchestraDatabase) -> Option<&Prepared> {
    member.status.as_ref()?.prepared.as_ref()
}

fn applied(class: &str, template: &Template, version: &str) -> AppliedTemplate {
    AppliedTemplate {
        class_name: class.to_owned(),
        name: template.name.clone(),
        version: version.into(),
    }
}

fn other_template(member: &str, is: &AppliedTemplate) -> String {
    format!(
        "the database holds the tables of template {} of OrchestraClass {}: only Orchestras of that template can claim \
         it. To prepare it from another template, while no Orchestra has claimed OrchestraDatabase {member}, \
         recreate the entry's database with the statements that `orchestra-operator recycle` prints",
        is.name, is.class_name,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::migrate::{SeedSource, SeedVariables};

    fn wanted(template: Option<&str>, seed: Option<(&str, SeedPolicy)>) -> MemberContents {
        let files = vec![("1_a.sql".to_owned(), b"CREATE TABLE a ();".to_vec())];
        let run = |(digest, policy): (&str, SeedPolicy)| SeedRun {
            source: Arc::new(SeedSource::read(vec![("a.sql".to_owned(), b"SELECT 1".to_vec())]).unwrap()),
            variables: SeedVariables::default(),
            policy,
            digest: digest.into(),
        };
        MemberContents {
            pool: ObjectRef::new("warm"),
            source: Arc::new(Source::read(Some(crate::api::MigrationFormat::Prisma), files).unwrap()),
            seed: seed.map(run),
            exposed: None,
            rights: None,
            class: "standard".into(),
            what: Requester::Defaults(template.map(Into::into)),
            limits: TimeLimits::default(),
            per_statement: false,
        }
    }

    fn member(status: OrchestraDatabaseStatus) -> OrchestraDatabase {
        OrchestraDatabase {
            status: Some(status),
            ..OrchestraDatabase::new("orchdb-1", crate::api::OrchestraDatabaseSpec::default())
        }
    }

    /// Whether the recorded preparation for the first contents fits the second, and is outdated by it.
    fn after(first: &MemberContents, second: &MemberContents) -> (bool, bool) {
        let mut status = OrchestraDatabaseStatus::default();
        first.begin("orchdb-1", &mut status).unwrap();
        assert!(!first.is_met_by(&member(status.clone())), "it has only begun");
        first.end(&mut status);
        let member = member(status);
        assert!(first.is_met_by(&member) && !first.is_outdated(&member));
        (second.is_met_by(&member), second.is_outdated(&member))
    }

    #[test]
    fn a_member_is_prepared_again_or_replaced() {
        use SeedPolicy::{OnChange, Once};
        let with = |digest, policy| wanted(Some("symphony"), Some((digest, policy)));
        let (done, again, replaced) = ((true, false), (false, false), (false, true));
        for (first, second, is) in [
            (wanted(None, None), wanted(None, None), done),
            (wanted(None, None), wanted(Some("symphony"), None), replaced),
            (wanted(Some("symphony"), None), wanted(Some("chamber"), None), replaced),
            (wanted(Some("symphony"), None), with("1", Once), again),
            (with("1", Once), with("1", Once), done),
            // The rows of a seed that runs once stay, and another database takes its place.
            (with("1", Once), with("2", Once), (true, true)),
            (with("1", OnChange), with("2", OnChange), again),
            (with("1", Once), wanted(Some("symphony"), None), (true, true)),
        ] {
            let (one, other) = (first.subject(), second.subject());
            assert_eq!(after(&first, &second), is, "{one} -> {other}");
        }
    }

    #[test]
    fn a_member_whose_tables_the_data_api_reaches_otherwise_is_replaced() {
        use ExposeNewTables::{All, None as Nothing};
        let with = |exposed| MemberContents {
            exposed,
            ..wanted(Some("symphony"), None)
        };
        for (first, second, is) in [
            (None, None, (true, false)),
            (Some(All), Some(All), (true, false)),
            // The claim sets it for later tables.
            (None, Some(All), (true, false)),
            (Some(All), Some(Nothing), (true, true)),
            (Some(Nothing), Some(All), (true, true)),
            (Some(All), None, (true, true)),
        ] {
            assert_eq!(after(&with(first), &with(second)), is, "{first:?} -> {second:?}");
        }
    }

    #[test]
    fn while_another_seed_runs_the_member_does_not_count() {
        let (first, second) = (
            wanted(Some("a"), Some(("1", SeedPolicy::OnChange))),
            wanted(Some("a"), Some(("2", SeedPolicy::OnChange))),
        );
        let mut status = OrchestraDatabaseStatus::default();
        first.begin("orchdb-1", &mut status).unwrap();
        first.end(&mut status);
        second.begin("orchdb-1", &mut status).unwrap();
        assert!(!first.is_met_by(&member(status.clone())) && !second.is_met_by(&member(status.clone())));
        second.end(&mut status);
        assert!(second.is_met_by(&member(status)));
    }
}
