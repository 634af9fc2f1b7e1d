//! Projects: create, read, rename, delete, pause and restore.

use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::organization::{REGIONS, region_of_group};
use super::reply::{Call, Reply};
use super::state::Inner;
use super::values::Settings;
use super::world::{Image, Life, Project, Start, World};
use super::{billing, keys};

/// What the real API says; the count of two belongs to the message.
const PROJECT_LIMIT: &str = "The following organization members have reached their maximum limits \
    for the number of active free projects within organizations where they are an administrator or \
    owner: sandbox (2 project limit). To continue, please upgrade or pause a project.";

/// The free plan's limit of active projects.
const FREE_PROJECTS: usize = 2;

/// Fields that the API takes and newer clients send, though the document does not show them.
pub(super) const NEWER_FIELDS: [&str; 3] = ["release_channel", "postgres_engine", "high_availability"];

/// The fields of `V1CreateProjectBody`, which allows no others.
const FIELDS: [&str; 10] = [
    "db_pass",
    "name",
    "organization_id",
    "organization_slug",
    "plan",
    "region",
    "region_selection",
    "kps_enabled",
    "desired_instance_size",
    "template_url",
];

pub(super) async fn create(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let organization = inner.organization(call.text("organization_slug").unwrap_or_default())?;
    if let Some(unknown) = call
        .fields()
        .find(|field| !FIELDS.contains(field) && !NEWER_FIELDS.contains(field))
    {
        let message = format!("property {unknown} should not exist");
        return Err(Reply::message(400, &message));
    }
    let password = call.text("db_pass").unwrap_or_default().to_owned();
    if password.len() < 4 {
        return Err(Reply::message(
            400,
            "db_pass must be longer than or equal to 4 characters",
        ));
    }
    if call
        .text("name")
        .is_none_or(|name| name.is_empty() || name.contains('.'))
    {
        return Err(Reply::message(400, "name should not contain a . string"));
    }
    let size = billing::size(&call.body, organization.plan == "free")?;
    if let Some(wrong) = newer(&call.body) {
        return Err(Reply::message(400, &format!("{wrong} is not valid")));
    }
    let region = region(&call.body)?;
    let body = insert(inner, call, (region, size), &password)?;
    let reference = body["ref"].as_str().unwrap_or_default();
    let switches = inner.behaviour().switches();
    match inner.databases.create(reference, &password, switches).await {
        Ok(tenant) => inner.tenants.set(reference, tenant),
        Err(error) => {
            inner.ledger.deleted(reference);
            inner.world().projects.remove(reference);
            return Err(Reply::internal(&error));
        }
    }
    begin(inner, reference);
    Ok(Reply::json(201, body))
}

/// The newer field whose value the API does not take.
fn newer(body: &Value) -> Option<&'static str> {
    let one_of = |field: &str, values: &[&str]| {
        let value = &body[field];
        value.is_null() || value.as_str().is_some_and(|value| values.contains(&value))
    };
    let channels = ["internal", "alpha", "beta", "ga", "withdrawn", "preview"];
    let good = [
        one_of("release_channel", &channels),
        one_of("postgres_engine", &["15", "17", "17-oriole"]),
        body["high_availability"].is_null() || body["high_availability"].is_boolean(),
    ];
    let wrong = good.iter().position(|good| !good)?;
    Some(NEWER_FIELDS[wrong])
}

/// Starts the clock of a project whose database is there.
fn begin(inner: &Inner, reference: &str) {
    let behaviour = inner.behaviour();
    let start = Start::new(&behaviour);
    if let Some(project) = inner.world().projects.get_mut(reference) {
        project.life = match project.life {
            Life::Created(_) => Life::Created(start),
            _ => Life::ComingUp(start),
        };
        let from = start.pooler_from(&behaviour);
        inner.tenants.usable_from(reference, from);
    }
}

fn region(body: &Value) -> Result<String, Reply> {
    let selection = &body["region_selection"];
    let code = match (body["region"].as_str(), selection["code"].as_str()) {
        (Some(_), Some(_)) => {
            return Err(Reply::message(
                400,
                "Only one of region or region_selection can be specified",
            ));
        }
        (Some(region), None) => region,
        (None, Some(group)) if selection["type"] == "smartGroup" => region_of_group(group),
        (None, Some(code)) => code,
        (None, None) => return Err(Reply::message(400, "region_selection is required")),
    };
    if REGIONS.iter().any(|region| region.code == code) {
        Ok(code.to_owned())
    } else {
        Err(Reply::message(400, "region is not available"))
    }
}

/// Enters the project, under one lock with the checks of its name and of the limit.
fn insert(inner: &Inner, call: &Call, (region, size): (String, String), password: &str) -> Result<Value, Reply> {
    let behaviour = inner.behaviour();
    let organization = call.text("organization_slug").unwrap_or_default().to_owned();
    let name = call.text("name").unwrap_or_default().to_owned();
    let mut world = inner.world();
    limit(inner, &mut world, &organization)?;
    refuse(&mut world, &behaviour, &organization, &name)?;
    world.last_number += 1;
    let reference = crate::random::letters(20);
    let settings = Settings::default();
    inner.ledger.secret(&settings.jwt_secret);
    let keys = keys::initial(&reference, &settings.jwt_secret);
    for secret in keys::secrets(&keys) {
        inner.ledger.secret(secret);
    }
    let project = Project {
        number: world.last_number,
        name,
        organization,
        region,
        size,
        created: Timestamp::now(),
        listed_from: Instant::now() + behaviour.listed_after,
        life: Life::Created(Start::NEVER_ENDING),
        shown: None,
        keys,
        legacy_keys: true,
        settings,
        reference: reference.clone(),
    };
    inner
        .ledger
        .created(&reference, &project.name, project.created, password);
    let body = project.summary("UNKNOWN");
    world.projects.insert(reference, project);
    Ok(body)
}

/// The refusal of one more active project: a user has two in organizations of the free plan.
fn limit(inner: &Inner, world: &mut World, organization: &str) -> Result<(), Reply> {
    let is_free = |slug: &str| inner.organization(slug).is_ok_and(|it| it.plan == "free");
    let mut active: Vec<&Project> = world.all().map(|project| &*project).collect();
    active.retain(|project| project.is_active());
    let free = active.iter().filter(|project| is_free(&project.organization)).count();
    let told = inner
        .behaviour()
        .project_limit
        .is_some_and(|limit| active.len() >= limit);
    if told || is_free(organization) && free >= FREE_PROJECTS {
        return Err(Reply::message(400, PROJECT_LIMIT));
    }
    Ok(())
}

fn refuse(world: &mut World, behaviour: &super::Behaviour, organization: &str, name: &str) -> Result<(), Reply> {
    let taken = |project: &mut Project| project.organization == organization && project.name == name;
    if behaviour.refuse_duplicate_names && world.all().any(taken) {
        let message = format!("Project with name {name} already exists in your organization.");
        return Err(Reply::message(400, &message));
    }
    Ok(())
}

pub(super) fn list(inner: &Inner) -> Reply {
    let image = Image::of(inner.databases.version());
    let mut world = inner.world();
    let now = Instant::now();
    let projects: Vec<Value> = world
        .all()
        .filter(|project| project.listed_from <= now)
        .map(|project| project.with_database(&inner.options.project_domain, &image))
        .collect();
    Reply::json(200, json!(projects))
}

pub(super) fn list_of_organization(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let slug = &inner.organization(call.path("slug"))?.slug;
    let statuses: Vec<&str> = call
        .query("statuses")
        .map(|all| all.split(',').collect())
        .unwrap_or_default();
    let search = call.query("search").unwrap_or_default().to_lowercase();
    let (offset, limit) = (call.number("offset", 0), call.number("limit", 100));
    let limit = limit.min(inner.behaviour().page);
    let now = Instant::now();
    let mut world = inner.world();
    let mut found: Vec<&mut Project> = world
        .all()
        .filter(|it| it.organization == *slug && it.listed_from <= now)
        .filter(|it| it.name.to_lowercase().contains(&search))
        .collect();
    if !statuses.is_empty() {
        found.retain_mut(|project| statuses.contains(&project.status()));
    }
    match call.query("sort").unwrap_or("name_asc") {
        "name_desc" => found.sort_by(|a, b| b.name.cmp(&a.name)),
        "created_asc" => found.sort_by_key(|project| project.number),
        "created_desc" => found.sort_by_key(|project| -project.number),
        _ => found.sort_by(|a, b| a.name.cmp(&b.name)),
    }
    let count = found.len();
    let page: Vec<Value> = found
        .into_iter()
        .skip(offset)
        .take(limit)
        .map(Project::listed)
        .collect();
    Ok(Reply::json(
        200,
        json!({"projects": page, "pagination": {"count": count, "limit": limit, "offset": offset}}),
    ))
}

pub(super) fn get(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let image = Image::of(inner.databases.version());
    let mut world = inner.world();
    let project = world.project(call.project())?;
    Ok(Reply::json(
        200,
        project.with_database(&inner.options.project_domain, &image),
    ))
}

pub(super) fn rename(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = world.project(call.project())?;
    call.text("name").unwrap_or_default().clone_into(&mut project.name);
    Ok(Reply::json(200, project.identity()))
}

pub(super) async fn delete(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let identity = {
        let mut world = inner.world();
        let project = world.project(call.project())?;
        if matches!(project.status(), "COMING_UP" | "RESTORING" | "RESIZING") {
            return Err(Reply::message(400, "Project not ready for deletion."));
        }
        let identity = project.identity();
        world.projects.remove(call.project());
        world.removed.insert(call.project().to_owned());
        identity
    };
    inner.tenants.remove(call.project());
    inner.ledger.deleted(call.project());
    let dropped = inner.databases.delete(call.project()).await;
    dropped.map_err(|error| Reply::internal(&error))?;
    Ok(Reply::json(200, identity))
}

pub(super) async fn pause(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    {
        let mut world = inner.world();
        let project = world.project(call.project())?;
        if inner.organization(&project.organization)?.plan != "free" {
            return Err(Reply::message(400, "Projects of a paid organization cannot be paused."));
        }
        if project.healthy_for().is_none() {
            return Err(Reply::message(400, "Project must be active and healthy."));
        }
        project.life = Life::Pausing {
            until: Life::much_later(),
        };
    }
    inner.tenants.usable_from(call.project(), None);
    let ended = inner.databases.pause(call.project()).await;
    if let Some(project) = inner.world().projects.get_mut(call.project()) {
        project.life.ends(Instant::now() + inner.behaviour().pausing);
    }
    ended.map_err(|error| Reply::internal(&error))?;
    Ok(Reply::empty(200))
}

pub(super) async fn restore(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let behaviour = inner.behaviour();
    {
        let mut world = inner.world();
        let project = world.project(call.project())?;
        let status = project.status();
        if status != "INACTIVE" {
            let message = format!("This project is no longer in a paused state, it is {status}");
            return Err(Reply::message(400, &message));
        }
        let organization = project.organization.clone();
        limit(inner, &mut world, &organization)?;
        world.project(call.project())?.life = Life::Restoring(Start::NEVER_ENDING);
    }
    let resumed = inner.databases.resume(call.project()).await;
    resumed.map_err(|error| Reply::internal(&error))?;
    let start = Start::new(&behaviour);
    if let Some(project) = inner.world().projects.get_mut(call.project()) {
        project.life = Life::Restoring(start);
    }
    inner.tenants.usable_from(call.project(), start.pooler_from(&behaviour));
    Ok(Reply::empty(200))
}

/// The project is paused again.
pub(super) async fn cancel_restore(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    {
        let mut world = inner.world();
        let project = world.project(call.project())?;
        let Life::Restoring(_) = project.life else {
            let message = format!("This project is not being restored, it is {}", project.status());
            return Err(Reply::message(400, &message));
        };
        project.life = Life::Inactive;
    }
    inner.tenants.usable_from(call.project(), None);
    let paused = inner.databases.pause(call.project()).await;
    paused.map_err(|error| Reply::internal(&error))?;
    Ok(Reply::empty(200))
}

pub(super) fn restore_versions(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    let image = Image::of(inner.databases.version());
    let version = json!({"version": image.version, "release_channel": "ga", "postgres_engine": image.engine});
    Ok(Reply::json(200, json!({"available_versions": [version]})))
}
