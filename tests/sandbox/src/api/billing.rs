//! Add-ons: the compute size, point-in-time recovery, IPv4 and the others.

use serde_json::{Value, json};

use super::reply::{Call, Reply};
use super::state::Inner;
use super::world::{Life, Project};

/// Hourly prices of the compute sizes in US dollars: id, name, price (Supabase, "Compute and Disk").
/// Those above 16XL are not published: they are in proportion to the cores.
const COMPUTE: [(&str, &str, f64); 18] = [
    ("ci_micro", "Micro", 0.01344),
    ("ci_small", "Small", 0.0206),
    ("ci_medium", "Medium", 0.0822),
    ("ci_large", "Large", 0.1517),
    ("ci_xlarge", "XL", 0.2877),
    ("ci_2xlarge", "2XL", 0.562),
    ("ci_4xlarge", "4XL", 1.32),
    ("ci_8xlarge", "8XL", 2.562),
    ("ci_12xlarge", "12XL", 3.836),
    ("ci_16xlarge", "16XL", 5.12),
    ("ci_24xlarge", "24XL", 7.68),
    ("ci_24xlarge_optimized_cpu", "24XL, optimized for CPU", 7.68),
    ("ci_24xlarge_optimized_memory", "24XL, optimized for memory", 7.68),
    ("ci_24xlarge_high_memory", "24XL, high memory", 7.68),
    ("ci_48xlarge", "48XL", 15.36),
    ("ci_48xlarge_optimized_cpu", "48XL, optimized for CPU", 15.36),
    ("ci_48xlarge_optimized_memory", "48XL, optimized for memory", 15.36),
    ("ci_48xlarge_high_memory", "48XL, high memory", 15.36),
];

/// The compute add-ons that there are, in order of size.
pub(super) fn sizes() -> impl Iterator<Item = &'static str> {
    COMPUTE.iter().map(|(id, _, _)| *id)
}

/// The compute size of the free plan.
const NANO: &str = "nano";

/// The compute size that is asked for, or the smallest of the plan. Nano is no add-on, and paid plans do not
/// have it.
pub(super) fn size(body: &Value, is_free: bool) -> Result<String, Reply> {
    let asked = match &body["desired_instance_size"] {
        Value::Null if is_free => NANO,
        Value::Null => "micro",
        asked => asked.as_str().unwrap_or_default(),
    };
    let is_known = asked == NANO || sizes().any(|size| size.strip_prefix("ci_") == Some(asked));
    if !is_known {
        let names = sizes().filter_map(|size| size.strip_prefix("ci_"));
        let names: Vec<&str> = std::iter::once(NANO).chain(names).collect();
        let message = format!(
            "desired_instance_size must be one of the following values: {}",
            names.join(", ")
        );
        return Err(Reply::message(400, &message));
    }
    if asked == NANO && !is_free {
        return Err(Reply::message(400, "Instance size nano is not available on this plan"));
    }
    Ok(asked.to_owned())
}

/// Monthly prices in US dollars of the other add-ons: kind, its name, id, name, price.
const OTHERS: [(&str, &str, &str, &str, f64); 8] = [
    ("pitr", PITR, "pitr_7", "7 days", 100.0),
    ("pitr", PITR, "pitr_14", "14 days", 200.0),
    ("pitr", PITR, "pitr_28", "28 days", 400.0),
    ("ipv4", "Dedicated IPv4 address", "ipv4_default", "IPv4", 4.0),
    ("custom_domain", "Custom Domain", "cd_default", "Custom Domain", 10.0),
    ("log_drain", "Log Drain", "log_drain_default", "Log Drain", 60.0),
    (
        "auth_mfa_phone",
        "Phone MFA",
        "auth_mfa_phone_default",
        "Phone MFA",
        75.0,
    ),
    (
        "auth_mfa_web_authn",
        "WebAuthn MFA",
        "auth_mfa_web_authn_default",
        "WebAuthn MFA",
        75.0,
    ),
];

const PITR: &str = "Point in time recovery";

pub(super) fn list(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = world.project(call.project())?;
    let compute: Vec<Value> = COMPUTE.iter().map(hourly).collect();
    let size = format!("ci_{}", project.size);
    let mut selected: Vec<Value> = compute
        .iter()
        .filter(|variant| variant["id"] == *size)
        .map(|variant| json!({"type": "compute_instance", "variant": variant}))
        .collect();
    let mut available = vec![json!({"type": "compute_instance", "name": "Compute", "variants": compute})];
    for (kind, name, id, label, amount) in OTHERS {
        let variant = variant(id, label, amount, "monthly");
        if project.settings.addons.get(kind).is_some_and(|chosen| chosen == id) {
            selected.push(json!({"type": kind, "variant": variant}));
        }
        match available.last_mut().filter(|last| last["type"] == kind) {
            Some(last) => last["variants"]
                .as_array_mut()
                .into_iter()
                .for_each(|it| it.push(variant.clone())),
            None => available.push(json!({"type": kind, "name": name, "variants": [variant]})),
        }
    }
    let body = json!({"selected_addons": selected, "available_addons": available});
    Ok(Reply::json(200, body))
}

fn hourly((id, name, amount): &(&str, &str, f64)) -> Value {
    variant(id, name, *amount, "hourly")
}

fn variant(id: &str, name: &str, amount: f64, interval: &str) -> Value {
    json!({
        "id": id,
        "name": name,
        "price": {
            "description": format!("${amount} {interval}"),
            "type": if interval == "hourly" { "usage" } else { "fixed" },
            "interval": interval,
            "amount": amount,
        },
    })
}

/// Selects an add-on. Another compute size restarts the project, which is `RESIZING` meanwhile.
pub(super) async fn apply(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let (kind, id) = (call.text("addon_type"), call.text("addon_variant"));
    let (kind, id) = (kind.unwrap_or_default(), id.unwrap_or_default());
    {
        let mut world = inner.world();
        let project = world.project(call.project())?;
        may(inner, project)?;
        if kind == "compute_instance" {
            if !sizes().any(|size| size == id) {
                return Err(Reply::message(400, "Invalid addon variant"));
            }
        } else if !OTHERS.iter().any(|other| (other.0, other.2) == (kind, id)) {
            return Err(Reply::message(400, "Invalid addon variant"));
        } else if kind == "pitr" && ["nano", "micro"].contains(&project.size.as_str()) {
            let message = "Point in time recovery needs at least a small compute add-on.";
            return Err(Reply::message(400, message));
        } else {
            project.settings.addons.insert(kind.to_owned(), id.to_owned());
            return Ok(Reply::empty(200));
        }
    }
    resize(inner, call.project(), id.trim_start_matches("ci_")).await
}

pub(super) async fn remove(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let id = call.path("addon_variant");
    {
        let mut world = inner.world();
        let project = world.project(call.project())?;
        may(inner, project)?;
        if id != format!("ci_{}", project.size) {
            let before = project.settings.addons.len();
            project.settings.addons.retain(|_, chosen| chosen != id);
            let removed = project.settings.addons.len() < before;
            let refused = || Reply::message(404, "Addon not found");
            return removed.then(|| Reply::empty(200)).ok_or_else(refused);
        }
    }
    resize(inner, call.project(), "micro").await
}

/// The free plan has no add-ons, and nothing is changed while the project is not there.
fn may(inner: &Inner, project: &Project) -> Result<(), Reply> {
    if inner.organization(&project.organization)?.plan == "free" {
        return Err(Reply::message(402, "Add-ons are not available on the free plan."));
    }
    match project.life {
        Life::Healthy { .. } => Ok(()),
        _ => Err(Reply::message(400, "Project must be active and healthy.")),
    }
}

async fn resize(inner: &Inner, reference: &str, size: &str) -> Result<Reply, Reply> {
    {
        let mut world = inner.world();
        let project = world.project(reference)?;
        if project.size == size {
            return Ok(Reply::empty(200));
        }
        size.clone_into(&mut project.size);
        project.life = Life::Resizing {
            until: Life::much_later(),
        };
    }
    inner.restart(reference, inner.behaviour().resizing).await?;
    Ok(Reply::empty(200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_there_is_not_is_refused_without_the_document_too() {
        let asked = |size: Value, is_free| {
            let body = json!({"desired_instance_size": size});
            super::size(&body, is_free).map_err(|refused| refused.status)
        };
        for (size, is_free, expected) in [
            (Value::Null, true, Ok("nano")),
            (Value::Null, false, Ok("micro")),
            (json!("nano"), true, Ok("nano")),
            (json!("nano"), false, Err(400)),
            (json!("48xlarge_high_memory"), false, Ok("48xlarge_high_memory")),
            (json!("gigantic"), false, Err(400)),
            (json!("gigantic"), true, Err(400)),
            (json!("ci_micro"), false, Err(400)),
            (json!(""), false, Err(400)),
            (json!(7), false, Err(400)),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(asked(size.clone(), is_free), expected, "{size} {is_free}");
        }
    }
}
