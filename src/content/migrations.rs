//! The migrations of an Orchestra: its own, or those of its template or its class, and how they are
//! to be applied.

use std::time::Duration;

use kube::ResourceExt as _;

use crate::api::condition::Reason;
use crate::api::{
    DriftCheck, GoDuration, MigrationFormat, MigrationTimeouts, Migrations, Orchestra, OrchestraClass, Template,
    Transactions,
};
use crate::controller::error::Error;
use crate::migrate::TimeLimits;
use crate::source::SourcePlace;

/// The migrations of a tenant: the source of its own, of its template or of its class, and the other settings of
/// its own spec.
pub struct MigrationSpec<'a> {
    /// Where the scripts are.
    pub place: SourcePlace,
    /// Their format, when the spec names it.
    pub format: Option<MigrationFormat>,
    /// The settings of the Orchestra.
    pub own: Option<&'a Migrations>,
    /// The settings of the template or the class. When the Orchestra has a source of its own, the same as `own`.
    base: &'a Migrations,
}

impl<'a> MigrationSpec<'a> {
    /// A setting of the Orchestra, or else of its template or class.
    pub fn either<T>(&self, field: impl Fn(&'a Migrations) -> Option<T>) -> Option<T> {
        self.own.and_then(&field).or_else(|| field(self.base))
    }

    /// The settings of the drift check.
    pub fn drift(&self) -> Option<&'a DriftCheck> {
        self.either(|migrations| migrations.drift.as_ref())
    }
}

/// The migrations that apply; `None` when there are none.
pub fn migrations_of<'a>(
    object: &'a Orchestra,
    class: Option<&'a OrchestraClass>,
    namespace: &str,
) -> Option<MigrationSpec<'a>> {
    let own = object.spec.migrations.as_ref();
    let template = class.and_then(|class| template_of(object, class));
    let of_class = class.and_then(|class| class.spec.migrations.as_ref());
    let theirs = || template.map(|template| &template.migrations).or(of_class);
    let (base, place) = if let Some((own, source)) = own.and_then(|own| Some((own, own.source.as_ref()?))) {
        (own, SourcePlace::of_orchestra(object, source))
    } else {
        let theirs = theirs()?;
        (theirs, SourcePlace::of_class(namespace, theirs.source.as_ref()?))
    };
    Some(MigrationSpec {
        place,
        format: base.format,
        own,
        base,
    })
}

/// Where the migrations of an Orchestra come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationsOrigin<'a> {
    /// It names them itself, or a template that the class does not have.
    Own,
    /// A template of the class.
    Template(&'a str),
    /// The class itself.
    Class,
    /// There are none.
    Nowhere,
}

/// Where the migrations of an Orchestra of this class come from.
pub fn origin<'a>(object: &Orchestra, class: &'a OrchestraClass) -> MigrationsOrigin<'a> {
    if object.has_own_migrations() {
        return MigrationsOrigin::Own;
    }
    let of_class = class.spec.migrations.as_ref();
    match template_of(object, class) {
        Some(template) => MigrationsOrigin::Template(&template.name),
        None if object.spec.template().is_some() => MigrationsOrigin::Own,
        None if of_class.is_some_and(|own| own.source.is_some()) => MigrationsOrigin::Class,
        None => MigrationsOrigin::Nowhere,
    }
}

/// The template that an Orchestra is made from by this class.
pub fn template_of<'a>(object: &Orchestra, class: &'a OrchestraClass) -> Option<&'a Template> {
    let spec = &class.spec;
    let own = object.spec.migrations.as_ref();
    let name = match object.spec.template() {
        Some(template) => &template.name,
        None if own.is_some_and(|own| own.source.is_some()) => return None,
        None => spec.template.as_ref()?,
    };
    spec.templates.iter().flatten().find(|template| template.name == *name)
}

/// Whether the class has the template that the Orchestra names.
///
/// # Errors
/// Blocked until the class has it.
pub fn check_template(object: &Orchestra, class: &OrchestraClass) -> Result<(), Error> {
    let (Some(template), None) = (object.spec.template(), template_of(object, class)) else {
        return Ok(());
    };
    Err(Error::blocked(
        Reason::TemplateNotFound,
        format!(
            "OrchestraClass {} has no template {}: add it to the class; the operator then continues",
            class.name_any(),
            template.name
        ),
    ))
}

impl MigrationSpec<'_> {
    /// How long things may take; `total` at most, whatever the spec says.
    pub fn limits(&self, total: Duration) -> TimeLimits {
        let timeouts = self.either(|migrations| migrations.timeouts.as_ref());
        limits(timeouts, total)
    }

    /// Whether every script runs statement by statement.
    pub fn per_statement(&self) -> bool {
        self.either(|migrations| migrations.transactions) == Some(Transactions::PerStatement)
    }
}

fn limits(timeouts: Option<&MigrationTimeouts>, total: Duration) -> TimeLimits {
    let limits = TimeLimits {
        total,
        ..TimeLimits::default()
    };
    let Some(timeouts) = timeouts else { return limits };
    TimeLimits {
        table_lock: timeouts.lock.map_or(limits.table_lock, GoDuration::as_std),
        statement: timeouts.statement.map_or(limits.statement, GoDuration::as_std),
        total: timeouts
            .total
            .map_or(limits.total, |own| own.as_std().min(limits.total)),
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spec_takes_longer_than_the_operator_allows() {
        let hour = Duration::from_hours(1);
        let total = |own: Option<u64>| {
            let timeouts = MigrationTimeouts {
                total: own.map(GoDuration::from_mins),
                ..MigrationTimeouts::default()
            };
            limits(Some(&timeouts), hour).total
        };
        assert_eq!(limits(None, hour).total, hour);
        assert_eq!((total(None), total(Some(60))), (hour, hour));
        assert_eq!(total(Some(5)), Duration::from_mins(5));
        assert_eq!(total(Some(24 * 60)), hour);
    }
}
