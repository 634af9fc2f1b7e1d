//! The migrations that manifests would have applied.

use kube::ResourceExt as _;

use super::{Action, Change, Cluster};
use crate::api::{MigrationFormat, Orchestra, ScriptSource};
use crate::content::{Origin, origin, template_of};
use crate::migrate::Source;
use crate::source::{Files, layout};

/// The migrations that would be applied, as far as their source can be read here.
pub fn pending(cluster: &Cluster, wanted: &Orchestra, current: Option<&Orchestra>, change: &mut Change) {
    let Some((source, namespace, format)) = source_of(cluster, wanted) else {
        return;
    };
    let read = match read(cluster, source, &namespace, format) {
        Ok(read) => read,
        Err(told) => return change.notes.push(told),
    };
    let applied = current.and_then(Orchestra::migrations);
    if applied.is_some_and(|applied| applied.source == read.digest() && applied.pending == 0) {
        return;
    }
    let names: Vec<_> = read
        .migrations()
        .iter()
        .map(|migration| migration.name.clone())
        .collect();
    let last = applied.and_then(|applied| applied.current.as_ref());
    let done = last
        .and_then(|last| names.iter().position(|name| name == last))
        .map_or(0, |at| at + 1);
    if last.is_some() && done == 0 {
        let told = "its history has a last migration that the source does not have: the operator compares them";
        return change.notes.push(told.into());
    }
    change.migrations = names.into_iter().skip(done).collect();
    if change.action == Action::None && !change.migrations.is_empty() {
        change.action = Action::Change;
    }
    if current.is_some() && !change.migrations.is_empty() {
        let told =
            "what these migrations destroy is found in the database: `plan NAME` says it, where they wait for approval";
        change.notes.push(told.into());
    }
}

type Wanted<'a> = (&'a ScriptSource, String, Option<MigrationFormat>);

/// The source of the migrations, and the namespace of its ConfigMaps.
fn source_of<'a>(cluster: &'a Cluster, wanted: &'a Orchestra) -> Option<Wanted<'a>> {
    let own = wanted.spec.migrations.as_ref();
    if let Some((own, source)) = own.and_then(|own| Some((own, own.source.as_ref()?))) {
        return Some((source, wanted.namespace().unwrap_or_default(), own.format));
    }
    let class = cluster.class(wanted)?;
    let theirs = match origin(wanted, class) {
        Origin::Template(_) => &template_of(wanted, class)?.migrations,
        Origin::Class => class.spec.migrations.as_ref()?,
        Origin::Own | Origin::Nowhere => return None,
    };
    Some((theirs.source.as_ref()?, cluster.operator.clone(), theirs.format))
}

fn read(
    cluster: &Cluster,
    source: &ScriptSource,
    namespace: &str,
    format: Option<MigrationFormat>,
) -> Result<Source, String> {
    if source.oci.is_some() || source.folder.is_some() {
        return Err("its migrations are in an artifact or a folder, which the operator reads".into());
    }
    let mut files = Files::default();
    let mut add = |name: &str, text: &str| {
        let added = files.insert(name, text.as_bytes().to_vec());
        added.map_err(|_| format!("{name} of its migrations cannot be used: the operator says why"))
    };
    for (name, text) in source.inline.iter().flatten() {
        add(name, text)?;
    }
    for map in source.config_maps() {
        let found = cluster.config_maps.get(&(namespace.to_owned(), map.to_owned()));
        let Some(found) = found else {
            return Err(format!(
                "its migrations are in ConfigMap {namespace}/{map}, which is not there or may not be read"
            ));
        };
        if found.binary_data.as_ref().is_some_and(|data| !data.is_empty()) {
            return Err(format!(
                "its migrations are in an archive in ConfigMap {namespace}/{map}, which the operator reads"
            ));
        }
        for (name, text) in found.data.iter().flatten() {
            add(name, text)?;
        }
    }
    let wrong = |what: String| format!("its migrations cannot be used: {what}");
    let found = layout::migrations(&files, source.path.as_deref(), format);
    let (found, format) = found.map_err(|flaw| wrong(flaw.to_string()))?;
    Source::read(format, found).map_err(|error| wrong(error.to_string()))
}
