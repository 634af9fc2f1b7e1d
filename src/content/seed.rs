//! The seed of a tenant: which seed applies, with which values, and whether it has to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt as _;

use super::{Context, TenantContext, scripts};
use crate::api::{Orchestra, OrchestraDatabase, OrchestraStatus, SEED_LABEL_PREFIX, Seed, SeedPolicy, Template};
use crate::controller::error::Error;
use crate::migrate::{self, SeedSource, SeedVariables, Source};
use crate::source::SourcePlace;

/// The language of an Orchestra whose spec names none.
const LOCALE: &str = "en";

/// The seed that an Orchestra is to have.
pub enum SeedRows {
    /// No seed applies.
    None,
    /// The seed that ran is enough, whatever its source is now: with policy Once, and while a rollout of its
    /// template has not reached the Orchestra.
    Applied,
    /// This seed applies.
    Wanted(SeedRun),
}

/// A seed with the values of one Orchestra.
pub struct SeedRun {
    /// The scripts and rows.
    pub source: Arc<SeedSource>,
    /// The values that they may use.
    pub variables: SeedVariables,
    /// When it runs again.
    pub policy: SeedPolicy,
    /// Over the files and the values that they use.
    pub digest: String,
}

impl SeedRows {
    /// The seed that applies.
    pub async fn of(ctx: &Context, tenant: &TenantContext<'_>, kept: bool) -> Result<Self, Error> {
        let Some((seed, _)) = named(ctx, tenant) else {
            return Ok(Self::None);
        };
        // The backup contains the initial rows, as they were at that time.
        if seed.policy == SeedPolicy::Once && tenant.object.spec.backup().is_some() {
            return Ok(Self::None);
        }
        let status = tenant.object.status.as_ref();
        let waits = kept && tenant.object.spec.seed.is_none();
        // The template got its first seed after the Orchestra was seeded.
        if waits && status.is_none_or(|status| status.seed.is_none()) {
            return Ok(Self::None);
        }
        // Not the Seeded condition: it is False when a new generation is observed, until its seed was looked at.
        let ran = |status: &OrchestraStatus| status.seed.is_some() && !status.has_failed_seed();
        if waits || seed.policy == SeedPolicy::Once && status.is_some_and(ran) {
            return Ok(Self::Applied);
        }
        Self::again(ctx, tenant).await
    }

    /// The seed that applies to a database that has lost it, read whatever its policy says.
    ///
    /// # Errors
    /// When the seed cannot be read.
    pub async fn again(ctx: &Context, tenant: &TenantContext<'_>) -> Result<Self, Error> {
        Ok(wanted(ctx, tenant).await?.map_or(Self::None, Self::Wanted))
    }

    /// Whether no seed has to run in a database where the seed with this digest ran last.
    pub fn are_met_by(&self, ran: Option<&str>) -> bool {
        match (self, ran) {
            (Self::None, _) | (Self::Applied, Some(_)) => true,
            (_, None) => false,
            (Self::Wanted(wanted), Some(ran)) => wanted.policy.is_met_by(ran, &wanted.digest),
        }
    }

    /// The seed that would run, and the migrations before it. A failure is remembered for both together, because
    /// the seed may lack a table that the next migration creates.
    pub fn attempt(&self, source: Option<&Source>) -> Option<String> {
        match self {
            Self::None | Self::Applied => None,
            Self::Wanted(wanted) => {
                let migrations = source.map(Source::digest).unwrap_or_default();
                Some(format!("{} after {migrations}", wanted.digest))
            }
        }
    }
}

/// The seed of the Orchestra itself, or else of its template, with its place.
fn named<'a>(ctx: &Context, tenant: &TenantContext<'a>) -> Option<(&'a Seed, SourcePlace)> {
    if let Some(own) = &tenant.object.spec.seed {
        return Some((own, SourcePlace::of_orchestra(tenant.object, &own.source)));
    }
    let theirs = tenant.template_seed()?;
    Some((
        theirs,
        SourcePlace::of_class(&ctx.core.settings.namespace, &theirs.source),
    ))
}

/// Where the seed that applies is.
pub fn place(ctx: &Context, tenant: &TenantContext<'_>) -> Option<SourcePlace> {
    named(ctx, tenant).map(|(_, place)| place)
}

/// The seed that applies, read whatever its policy says.
async fn wanted(ctx: &Context, tenant: &TenantContext<'_>) -> Result<Option<SeedRun>, Error> {
    let Some((seed, place)) = named(ctx, tenant) else {
        return Ok(None);
    };
    let source = scripts::seed(ctx, place).await?;
    let settings = tenant.template().and_then(|template| template.settings.as_ref());
    let variables = variables(tenant.object, tenant.database, settings);
    let digest = source.digest(&variables).map_err(migrate::Error::from)?;
    Ok(Some(SeedRun {
        source,
        variables,
        policy: seed.policy,
        digest,
    }))
}

/// The seed of a template as it can run before an Orchestra claims the database: with the settings of the template alone.
/// None when there is no seed, or when it uses a variable that only an Orchestra has. Its digest is the one that an
/// Orchestra's seed has.
///
/// # Errors
/// When the seed cannot be read.
pub async fn before_claim(ctx: &Context, template: &Template) -> Result<Option<SeedRun>, Error> {
    let Some(seed) = &template.seed else { return Ok(None) };
    let place = SourcePlace::of_class(&ctx.core.settings.namespace, &seed.source);
    let source = scripts::seed(ctx, place).await?;
    let mut variables = SeedVariables::default();
    set_settings(&mut variables, template.settings.as_ref());
    let Ok(digest) = source.digest(&variables) else {
        return Ok(None);
    };
    Ok(Some(SeedRun {
        source,
        variables,
        policy: seed.policy,
        digest,
    }))
}

fn set_settings(variables: &mut SeedVariables, settings: Option<&BTreeMap<String, String>>) {
    for (key, value) in settings.into_iter().flatten() {
        variables.set(&format!("setting_{key}"), value, &format!("the setting {key}"));
    }
}

/// The variables of a seed: the values that it may use from its Orchestra.
fn variables(
    object: &Orchestra,
    database: Option<&OrchestraDatabase>,
    settings: Option<&BTreeMap<String, String>>,
) -> SeedVariables {
    let name = object.name_any();
    let spec = &object.spec;
    let project = database.and_then(|database| database.status.as_ref()?.project.as_ref());
    let region = project
        .map(|project| &project.region)
        .or(spec.placement.as_ref().and_then(|placement| placement.region.as_ref()));
    let mut variables = SeedVariables::default();
    for (name, value) in [
        ("orchestra", name.as_str()),
        ("namespace", object.metadata.namespace.as_deref().unwrap_or_default()),
        ("display_name", spec.display_name.as_deref().unwrap_or(&name)),
        ("locale", spec.locale.as_deref().unwrap_or(LOCALE)),
        ("region", region.map_or("", String::as_str)),
    ] {
        variables.set(name, value, name);
    }
    set_settings(&mut variables, settings);
    for (label, value) in object.labels() {
        if let Some(key) = label.strip_prefix(SEED_LABEL_PREFIX) {
            let name = format!("label_{}", key.replace(['-', '.', '/'], "_"));
            variables.set(&name, value, &format!("the label {label}"));
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::migrate::Script;

    fn told(object: &serde_json::Value, script: &str) -> Result<String, String> {
        let settings = BTreeMap::from([("currency".to_owned(), "SEK".to_owned())]);
        let object: Orchestra = serde_json::from_value(object.clone()).unwrap();
        let script = Script::read("a.sql", script.as_bytes().to_vec()).unwrap();
        let rendered = script.render(&variables(&object, None, Some(&settings)));
        rendered
            .map(|rendered| rendered.text.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_seed_knows_its_orchestra() {
        let metadata = serde_json::json!({"name": "acme", "namespace": "tenants", "labels": {
            "seed.stagesub.io/pay-scale.2026": "A", "seed.stagesub.io/a-b": "1", "seed.stagesub.io/a.b": "2", "app": "x",
        }});
        let kind = ("stagesub.io/v1alpha1", "Orchestra");
        let bare = serde_json::json!({"apiVersion": kind.0, "kind": kind.1, "metadata": metadata, "spec": {}});
        let full = serde_json::json!({"apiVersion": kind.0, "kind": kind.1, "metadata": metadata,
            "spec": {"displayName": "L'Été", "locale": "fr-FR", "placement": {"region": "eu-west-3"}}});
        let all = ":'orchestra':'namespace':'display_name':'locale':'region':'label_pay_scale_2026':'setting_currency'";
        assert_eq!(told(&bare, all).unwrap(), " 'acme' 'tenants' 'acme' 'en' '' 'A' 'SEK'");
        assert_eq!(
            told(&full, all).unwrap(),
            " 'acme' 'tenants' 'L''Été' 'fr-FR' 'eu-west-3' 'A' 'SEK'"
        );
        let torn = told(&bare, "SELECT :'label_a_b'").unwrap_err();
        assert!(
            torn.starts_with("a.sql:1:8: the variable label_a_b has two values"),
            "{torn}"
        );
        assert!(told(&bare, "SELECT :'app'").unwrap_err().ends_with(
            "the variable app is not known; there are: display_name, label_a_b, label_pay_scale_2026, locale, namespace, \
             orchestra, region, setting_currency"
        ));
    }
}
