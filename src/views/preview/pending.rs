//! The migrations that manifests would have applied.

use super::{ClusterObjects, PreviewAction, PreviewChange};
use crate::api::{MigrationFormat, Orchestra};
use crate::content::{check_template, migrations_of};
use crate::migrate::Source;
use crate::source::{Files, SourcePlace, add_config_map, layout};

/// The place of migrations, and their format where the spec names it.
pub type PreviewSource = (SourcePlace, Option<MigrationFormat>);

/// The migrations of a source.
#[derive(Clone, Debug)]
pub struct ListedMigrations {
    /// Their digest, as the status of an Orchestra has it.
    pub digest: String,
    /// Their names, in the order in which they are applied.
    pub names: Vec<String>,
    /// What a person should know about how the source was read.
    pub notes: Vec<String>,
}

impl ListedMigrations {
    /// The migrations in the files of a place.
    ///
    /// # Errors
    /// Why the operator would refuse them.
    pub fn read(files: &Files, (place, format): &PreviewSource) -> Result<Self, String> {
        let wrong = |what: String| format!("its migrations cannot be used: {what}");
        let found = layout::migrations(files, place.source.path.as_deref(), *format);
        let (found, format) = found.map_err(|flaw| wrong(flaw.to_string()))?;
        let without = layout::without_migration(&found, &place.source);
        let source = Source::read(format, found).map_err(|error| wrong(error.to_string()))?;
        let above = layout::settings_above(files, place.source.path.as_deref());
        source
            .check_settings(&above)
            .map_err(|error| wrong(error.to_string()))?;
        if let Some(without) = without.filter(|_| source.is_empty()) {
            return Err(wrong(without.to_string()));
        }
        let names = source.migrations().iter().map(|migration| migration.name.clone());
        Ok(Self {
            digest: source.digest(),
            names: names.collect(),
            notes: Vec::new(),
        })
    }
}

/// Where the migrations of an Orchestra are; none when it has none.
///
/// # Errors
/// When the class does not have the template that the Orchestra names.
pub fn scripts_of(cluster: &ClusterObjects, wanted: &Orchestra) -> Result<Option<PreviewSource>, String> {
    let class = cluster.class(wanted);
    if let Some(class) = class {
        check_template(wanted, class).map_err(|error| error.to_string())?;
    }
    let spec = migrations_of(wanted, class, &cluster.operator);
    Ok(spec.map(|spec| (spec.place, spec.format)))
}

/// The migrations that would be applied, if their source can be read here.
pub fn pending(cluster: &ClusterObjects, wanted: &Orchestra, current: Option<&Orchestra>, change: &mut PreviewChange) {
    let read = match scripts_of(cluster, wanted) {
        Ok(None) => return,
        Ok(Some(scripts)) => read(cluster, &scripts),
        Err(told) => Err(told),
    };
    let ListedMigrations { digest, names, notes } = match read {
        Ok(read) => read,
        Err(told) => return change.notes.push(told),
    };
    change.notes.extend(notes);
    let applied = current.and_then(Orchestra::migrations);
    if applied.is_some_and(|applied| applied.source == digest && applied.pending == 0) {
        return;
    }
    let last = applied.and_then(|applied| applied.current.as_ref());
    let done = last
        .and_then(|last| names.iter().position(|name| name == last))
        .map_or(0, |at| at + 1);
    if last.is_some() && done == 0 {
        let told = "the last migration of its history is not in the source: the operator compares the two when it runs";
        return change.notes.push(told.into());
    }
    change.migrations = names.into_iter().skip(done).collect();
    if change.action == PreviewAction::None && !change.migrations.is_empty() {
        change.action = PreviewAction::Change;
    }
    if current.is_some() && !change.migrations.is_empty() {
        let told =
            "what these migrations destroy is found in the database: `plan NAME` says it, where they wait for approval";
        change.notes.push(told.into());
    }
}

fn read(cluster: &ClusterObjects, scripts: &PreviewSource) -> Result<ListedMigrations, String> {
    let place = &scripts.0;
    if let Some(folder) = &place.source.folder {
        return Err(format!(
            "its migrations are in the folder {folder} below --sources-folder of the operator's pod, which only the \
             operator reads: they are not listed here"
        ));
    }
    if place.source.oci.is_some() {
        let found = cluster.artifacts.get(scripts).cloned();
        return found.unwrap_or_else(|| Err(format!("{place} was not read")));
    }
    let mut files = Files::default();
    for (name, text) in place.source.inline.iter().flatten() {
        let added = files.insert(name, text.as_bytes().to_vec());
        added.map_err(|flaw| format!("its migrations cannot be used: {flaw}"))?;
    }
    for map in place.source.config_maps() {
        let at = (place.namespace.clone(), map.to_owned());
        let named = || format!("its migrations are in ConfigMap {}/{map}", place.namespace);
        let found = match cluster.config_maps.get(&at) {
            Some(Ok(found)) => found.clone(),
            Some(Err(why)) => return Err(format!("{}, which {why}", named())),
            None => return Err(format!("{}, which was not read", named())),
        };
        let added = add_config_map(found, &mut files);
        added.map_err(|(key, flaw)| {
            format!(
                "its migrations cannot be used: key {key} of ConfigMap {}/{map}: {flaw}",
                place.namespace
            )
        })?;
    }
    ListedMigrations::read(&files, scripts)
}
