//! "Skapa databas": a form, what the API server would make of it, and the creation.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, Patch};
use kube::core::DynamicObject;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::Console;
use super::answer;
use super::cluster::list;
use super::form::{Fields, NAMESPACE, QueryFields, link, tenant_path};
use super::format;
use super::frame::Frame;
use super::text::Lang;
use super::visitor::Visitor;
use super::yaml;
use crate::api::names::{CONSOLE_MANAGER, is_object_name};
use crate::api::{DEFAULT_CLASS_ANNOTATION, Near, Orchestra, OrchestraClass, Placement};
use crate::class::placement::choose;
use crate::controller::error::Error;
use crate::controller::write::{patch_parameters, post_parameters};
use crate::money;

/// The longest name of an Orchestra.
const NAME: usize = 200;

/// The fields of the form, by the names that they have there.
const FIELDS: [&str; 7] = ["namespace", "name", "display", "class", "template", "country", "ttl"];

struct ClassChoice {
    name: String,
    shown: String,
    here: bool,
}

/// What a class charges, and what its budget leaves.
struct ShownPrice {
    monthly: String,
    left: Option<String>,
}

/// What is applied when the visitor agrees.
struct Preview {
    yaml: String,
    price: Option<ShownPrice>,
    region: Option<String>,
}

struct Hidden {
    name: &'static str,
    value: String,
}

#[derive(Template)]
#[template(path = "console/create.html")]
struct CreatePage {
    frame: Frame,
    namespace: String,
    name: String,
    display: String,
    class: String,
    template: String,
    country: String,
    ttl: String,
    classes: Vec<ClassChoice>,
    templates: Vec<String>,
    wrong: Option<String>,
    preview: Option<Preview>,
    kept: Vec<Hidden>,
}

impl CreatePage {
    fn new(frame: Frame, form: &Fields, classes: &[OrchestraClass]) -> Self {
        let text = |name: &str| form.get(name).to_owned();
        let mut templates: Vec<_> = classes
            .iter()
            .flat_map(|class| class.spec.templates.iter().flatten())
            .map(|template| template.name.clone())
            .collect();
        templates.sort();
        templates.dedup();
        Self {
            classes: classes
                .iter()
                .map(|class| choice(frame.t, class, form.get("class")))
                .collect(),
            templates,
            namespace: text("namespace"),
            name: text("name"),
            display: text("display"),
            class: text("class"),
            template: text("template"),
            country: text("country"),
            ttl: text("ttl"),
            wrong: None,
            preview: None,
            kept: FIELDS
                .map(|name| Hidden {
                    name,
                    value: text(name),
                })
                .into(),
            // Another language shows the form as it is filled in, and not an empty one.
            frame: Frame {
                here: link("/create", &form.pairs(&FIELDS)),
                ..frame
            },
        }
    }

    fn refused(mut self, wrong: String) -> Response {
        self.wrong = Some(wrong);
        answer::with_status(StatusCode::UNPROCESSABLE_ENTITY, &self)
    }
}

fn choice(lang: Lang, class: &OrchestraClass, here: &str) -> ClassChoice {
    let name = class.name_any();
    let price = price(lang, class);
    ClassChoice {
        shown: price.map_or_else(|| name.clone(), |price| format!("{name} · {}", price.monthly)),
        here: name == here,
        name,
    }
}

fn price(lang: Lang, class: &OrchestraClass) -> Option<ShownPrice> {
    let cost = class.status.as_ref()?.cost.as_ref()?;
    let limit = class
        .spec
        .budget
        .as_ref()
        .and_then(|budget| budget.monthly_limit.as_deref());
    let left = limit
        .and_then(money::parse)
        .and_then(|limit| limit.checked_sub(money::parse(&cost.projected)?));
    Some(ShownPrice {
        monthly: format::money(lang, &cost.price_per_project, &cost.currency),
        left: left.map(|left| format::money(lang, &money::text(left.max(Decimal::ZERO)), &cost.currency)),
    })
}

/// The class that meets the claim: the named one, or else the default one.
fn class<'a>(classes: &'a [OrchestraClass], name: &str) -> Option<&'a OrchestraClass> {
    let is_default = |class: &&OrchestraClass| {
        class
            .annotations()
            .get(DEFAULT_CLASS_ANNOTATION)
            .is_some_and(|it| it == "true")
    };
    match name {
        "" => classes.iter().find(is_default),
        name => classes.iter().find(|class| class.name_any() == name),
    }
}

/// The region that the class requests first, for a class with hosted projects.
fn region(class: &OrchestraClass, form: &Fields) -> Result<Option<String>, Error> {
    if class.spec.provider.is_none() {
        return Ok(None);
    }
    let placement = near(form).map(|near| Placement {
        region: None,
        near: Some(Near::Country(near)),
    });
    Ok(Some(choose(class, placement.as_ref())?.region))
}

/// The country that the form names.
fn near(form: &Fields) -> Option<String> {
    form.some("country").map(str::to_uppercase)
}

/// The manifest of a form.
fn manifest(form: &Fields) -> Value {
    let mut spec = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            spec.insert(name.into(), value);
        }
    };
    set("className", form.some("class").map(Into::into));
    set("displayName", form.some("display").map(Into::into));
    set(
        "source",
        form.some("template").map(|name| json!({"templateRef": {"name": name}})),
    );
    set("placement", near(form).map(|country| json!({"near": country})));
    set("ttl", form.some("ttl").map(Into::into));
    set("deletionPolicy", form.some("ttl").map(|_| json!("Delete")));
    json!({
        "apiVersion": "stagesub.io/v1alpha1",
        "kind": "Orchestra",
        "metadata": {"namespace": form.get("namespace"), "name": form.get("name")},
        "spec": spec,
    })
}

/// `GET /create`. A query fills the form in, so that a link to it can be sent.
pub async fn page(State(_): State<Arc<Console>>, visitor: Visitor, QueryFields(query): QueryFields) -> Response {
    // Without the right to list classes the form has a text instead of a choice.
    let classes = list::<OrchestraClass>(&visitor.client).await.unwrap_or_default();
    answer::page(&CreatePage::new(visitor.frame, &query, &classes))
}

/// `POST /create`: a dry run and what it shows, or, with `agreed`, the creation.
pub async fn submit(State(_): State<Arc<Console>>, visitor: Visitor, form: Fields) -> Response {
    let (lang, client) = (visitor.lang(), visitor.client.clone());
    let classes = list::<OrchestraClass>(&client).await.unwrap_or_default();
    let mut page = CreatePage::new(visitor.frame.clone(), &form, &classes);
    let (namespace, name) = (form.get("namespace"), form.get("name"));
    if !is_object_name(name, NAME) || !is_object_name(namespace, NAMESPACE) {
        return page.refused(lang.say("create-name"));
    }
    let kind = ApiResource::erase::<Orchestra>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
    let manifest = manifest(&form);
    let agreed = form.some("agreed").is_some();
    match api.get_opt(name).await {
        Ok(None) => {}
        // The same form was sent twice.
        Ok(Some(found)) if agreed && is_made_by(&found, &manifest) => return created(namespace, name),
        Ok(Some(_)) => return page.refused(lang.named("create-exists", name)),
        // Who may not read may still create. The apply would change what is there.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            if is_there(&api, &manifest).await {
                return page.refused(lang.named("create-exists", name));
            }
        }
        Err(error) => return visitor.failed(&error),
    }
    let mut params = patch_parameters(CONSOLE_MANAGER);
    params.dry_run = !agreed;
    match api.patch(name, &params, &Patch::Apply(&manifest)).await {
        Ok(_) if agreed => created(namespace, name),
        Ok(_) => {
            let class = class(&classes, form.get("class"));
            // The operator would not place it.
            let region = match class.map(|class| region(class, &form)).transpose() {
                Ok(region) => region.flatten(),
                Err(error) => return page.refused(error.to_string()),
            };
            page.preview = Some(Preview {
                yaml: yaml::of(&manifest),
                price: class.and_then(|class| price(lang, class)),
                region,
            });
            answer::page(&page)
        }
        Err(kube::Error::Api(status)) if [400, 403, 404, 409, 422].contains(&status.code) => {
            page.refused(status.message.clone())
        }
        Err(error) => visitor.failed(&error),
    }
}

/// Whether the object of this manifest exists, for a visitor who may not read it.
async fn is_there(api: &Api<DynamicObject>, manifest: &Value) -> bool {
    let Ok(object) = serde_json::from_value(manifest.clone()) else {
        return false;
    };
    let mut params = post_parameters(CONSOLE_MANAGER);
    params.dry_run = true;
    matches!(api.create(&params, &object).await, Err(kube::Error::Api(status)) if status.is_already_exists())
}

fn created(namespace: &str, name: &str) -> Response {
    answer::see(&link(&tenant_path(namespace, name), &[("done", "create")]))
}

/// Whether the console has made an object from this manifest.
fn is_made_by(found: &DynamicObject, manifest: &Value) -> bool {
    let wanted = manifest["spec"].as_object().into_iter().flatten();
    let managers = found.metadata.managed_fields.iter().flatten();
    wanted
        .into_iter()
        .all(|(field, value)| found.data["spec"].get(field) == Some(value))
        && managers
            .into_iter()
            .any(|entry| entry.manager.as_deref() == Some(CONSOLE_MANAGER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_becomes_a_small_manifest() {
        let form = |fields: &[(&str, &str)]| manifest(&Fields::from_pairs(fields));
        let small = form(&[("namespace", "tenants"), ("name", "acme"), ("ttl", "")]);
        assert_eq!(small["spec"], json!({}));
        let demo = form(&[
            ("name", "acme"),
            ("ttl", "72h"),
            ("country", "se"),
            ("template", "choir"),
        ]);
        assert_eq!(
            demo["spec"],
            json!({
                "ttl": "72h", "deletionPolicy": "Delete", "placement": {"near": "SE"},
                "source": {"templateRef": {"name": "choir"}},
            })
        );
    }
}
