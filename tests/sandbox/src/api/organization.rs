//! Organizations, what they are entitled to, and the regions.

use serde_json::{Value, json};

use super::billing;
use super::reply::{Call, Reply};
use super::state::Inner;

/// A region of the platform.
pub(super) struct Region {
    pub(super) code: &'static str,
    name: &'static str,
    group: &'static str,
    continent: &'static str,
}

const fn region(code: &'static str, name: &'static str, group: &'static str, continent: &'static str) -> Region {
    Region {
        code,
        name,
        group,
        continent,
    }
}

/// The regions that the create operation names.
pub(super) const REGIONS: [Region; 18] = [
    region("us-east-1", "East US (North Virginia)", "americas", "NA"),
    region("us-east-2", "East US (Ohio)", "americas", "NA"),
    region("us-west-1", "West US (North California)", "americas", "NA"),
    region("us-west-2", "West US (Oregon)", "americas", "NA"),
    region("ca-central-1", "Canada (Central)", "americas", "NA"),
    region("sa-east-1", "South America (São Paulo)", "americas", "SA"),
    region("eu-central-1", "Central EU (Frankfurt)", "emea", "EU"),
    region("eu-central-2", "Central Europe (Zurich)", "emea", "EU"),
    region("eu-west-1", "West EU (Ireland)", "emea", "EU"),
    region("eu-west-2", "West Europe (London)", "emea", "EU"),
    region("eu-west-3", "West EU (Paris)", "emea", "EU"),
    region("eu-north-1", "North EU (Stockholm)", "emea", "EU"),
    region("ap-south-1", "South Asia (Mumbai)", "apac", "AS"),
    region("ap-east-1", "East Asia (Hong Kong)", "apac", "AS"),
    region("ap-southeast-1", "Southeast Asia (Singapore)", "apac", "AS"),
    region("ap-northeast-1", "Northeast Asia (Tokyo)", "apac", "AS"),
    region("ap-northeast-2", "Northeast Asia (Seoul)", "apac", "AS"),
    region("ap-southeast-2", "Oceania (Sydney)", "apac", "OC"),
];

/// The region that the platform takes for a group.
pub(super) fn region_of_group(group: &str) -> &'static str {
    REGIONS
        .iter()
        .find(|region| region.group == group)
        .map_or("", |region| region.code)
}

/// An organization that owns projects.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Its slug, which is also its id.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// `free`, `pro`, `team`, `enterprise` or `platform`. Only `free` may pause projects.
    pub plan: String,
}

pub(super) fn list(inner: &Inner) -> Reply {
    let organizations: Vec<Value> = inner
        .options
        .organizations
        .iter()
        .map(|it| json!({"id": it.slug, "slug": it.slug, "name": it.name}))
        .collect();
    Reply::json(200, json!(organizations))
}

pub(super) fn get(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let organization = inner.organization(call.path("slug"))?;
    Ok(Reply::json(
        200,
        json!({
            "id": organization.slug,
            "name": organization.name,
            "plan": organization.plan,
            "opt_in_tags": [],
            "allowed_release_channels": ["ga", "preview"],
        }),
    ))
}

pub(super) fn entitlements(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let free = inner.organization(call.path("slug"))?.plan == "free";
    let flag = |key: &str, access: bool| {
        json!({
            "feature": {"key": key, "type": "boolean"},
            "hasAccess": access, "type": "boolean", "config": {"enabled": access},
        })
    };
    let set = |key: &str, values: &[&str]| {
        json!({
            "feature": {"key": key, "type": "set"}, "hasAccess": !free, "type": "set",
            "config": {"enabled": !free, "set": if free { &[] } else { values }},
        })
    };
    let days = if free { 0 } else { 7 };
    let sizes: Vec<&str> = billing::sizes().collect();
    let entitlements = json!([
        flag("project_pausing", free),
        flag("ipv4", !free),
        flag("dedicated_pooler", !free),
        set("pitr.available_variants", &["pitr_7", "pitr_14", "pitr_28"]),
        set("instances.compute_update_available_sizes", &sizes),
        {
            "feature": {"key": "backup.retention_days", "type": "numeric"},
            "hasAccess": !free, "type": "numeric",
            "config": {"enabled": !free, "value": days, "unlimited": false, "unit": "days"},
        },
    ]);
    Ok(Reply::json(200, json!({"entitlements": entitlements})))
}

pub(super) fn regions(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.organization(call.query("organization_slug").unwrap_or_default())?;
    let group = match call.query("continent").unwrap_or("NA") {
        "EU" | "AF" => "emea",
        "AS" | "OC" => "apac",
        _ => "americas",
    };
    let show =
        |region: &Region| json!({"name": region.name, "code": region.code, "type": "specific", "provider": "AWS"});
    let smart = |code: &str| json!({"name": code.to_uppercase(), "code": code, "type": "smartGroup"});
    let near = |region: &&Region| match call.query("continent") {
        Some(continent @ ("NA" | "SA" | "EU" | "AS" | "OC")) => region.continent == continent,
        _ => region.group == group,
    };
    let recommended: Vec<Value> = REGIONS.iter().filter(near).map(show).collect();
    let all: Vec<Value> = REGIONS.iter().map(show).collect();
    let groups = ["americas", "emea", "apac"].map(smart);
    Ok(Reply::json(
        200,
        json!({
            "recommendations": {"smartGroup": smart(group), "specific": recommended},
            "all": {"smartGroup": groups, "specific": all},
        }),
    ))
}
