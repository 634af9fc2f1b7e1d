//! Checks of requests and answers against the official OpenAPI document of the Management API.
//!
//! The document is not part of this project. It is read from the file that `SUPABASE_OPENAPI`
//! names, else from `../shared/reference/management-openapi.json` beside the workspace; without
//! it nothing is checked and [`document`] gives `None`.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use anyhow::Context;
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

/// The file the document is read from.
pub fn path() -> PathBuf {
    std::env::var_os("SUPABASE_OPENAPI").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/management-openapi.json"),
        PathBuf::from,
    )
}

/// The official document, if it is there. Where it is not, the first who asks says once that the
/// checks are ignored, past what a test runner captures.
pub fn document() -> Option<Value> {
    let document = std::fs::read(path())
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if document.is_none() {
        IGNORED.call_once(|| {
            let line =
                "OpenAPI checks ignored: name the official document in SUPABASE_OPENAPI (see docs/development.md)";
            // Nothing depends on whether it can be said.
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }
    document
}

static IGNORED: Once = Once::new();

/// What the document says of each operation, by operation id.
#[derive(Debug)]
pub struct Contract {
    components: Value,
    operations: HashMap<String, Value>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// A request as it is checked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Path parameters by name.
    pub path: &'a [(String, String)],
    /// Query parameters in order.
    pub query: &'a [(String, String)],
    /// The JSON body; `Null` when there is none.
    pub body: &'a Value,
}

impl Contract {
    /// Reads the document; its schemas are turned from OpenAPI 3.0 into JSON Schema.
    pub fn new(mut document: Value) -> Self {
        let mut operations = HashMap::new();
        convert(&mut document);
        if let Some(paths) = document["paths"].as_object() {
            for operation in paths.values().filter_map(Value::as_object).flat_map(Map::values) {
                if let Some(id) = operation["operationId"].as_str() {
                    operations.insert(id.to_owned(), operation.clone());
                }
            }
        }
        Self {
            components: document["components"].take(),
            operations,
            validators: Mutex::default(),
        }
    }

    /// Whether the document has the operation.
    pub fn knows(&self, operation: &str) -> bool {
        self.operations.contains_key(operation)
    }

    /// What of the request the document does not allow. Values are not shown, only their places.
    pub fn check_request(&self, id: &str, request: Request<'_>) -> Vec<String> {
        let Some(operation) = self.operations.get(id) else {
            return vec![format!("the document has no operation {id}")];
        };
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none);
        let mut found = Vec::new();
        for (name, _) in request.query {
            if !parameters.iter().any(|it| it["in"] == "query" && it["name"] == **name) {
                found.push(format!("query parameter {name} is not in the document"));
            }
        }
        for parameter in parameters {
            found.extend(self.check_parameter(id, parameter, request));
        }
        let body = &operation["requestBody"];
        let schema = &body["content"]["application/json"]["schema"];
        if schema.is_object() {
            if !request.body.is_null() || body["required"] == true {
                found.extend(self.check(&format!("{id} request"), schema, request.body));
            }
        } else if !request.body.is_null() {
            found.push("a body where the document has none".to_owned());
        }
        found
    }

    fn check_parameter(&self, id: &str, parameter: &Value, request: Request<'_>) -> Vec<String> {
        let name = parameter["name"].as_str().unwrap_or_default();
        let source = match parameter["in"].as_str() {
            Some("query") => request.query,
            Some("path") => request.path,
            _ => return Vec::new(),
        };
        let schema = &parameter["schema"];
        let given: Vec<&str> = source
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect();
        let value = match (schema["type"].as_str(), given.as_slice()) {
            (_, []) if parameter["required"] == true => {
                return vec![format!("parameter {name} is missing")];
            }
            (_, []) => return Vec::new(),
            // Several times, or once with commas.
            (Some("array"), all) => json!(all.iter().flat_map(|it| it.split(',')).collect::<Vec<_>>()),
            (Some("integer" | "number" | "boolean"), [one]) => serde_json::from_str(one).unwrap_or_else(|_| json!(one)),
            (_, [one]) => json!(one),
            _ => return vec![format!("parameter {name} is given more than once")],
        };
        self.check(&format!("{id} {name}"), schema, &value)
    }

    /// What of an answer with a 2xx status the document does not allow.
    pub fn check_response(&self, id: &str, status: u16, body: &[u8]) -> Vec<String> {
        let Some(operation) = self.operations.get(id) else {
            return Vec::new();
        };
        let response = &operation["responses"][status.to_string()];
        if !response.is_object() {
            return vec![format!("status {status} is not in the document")];
        }
        let schema = &response["content"]["application/json"]["schema"];
        if !schema.is_object() {
            return Vec::new();
        }
        match serde_json::from_slice(body) {
            Ok(value) => self.check(&format!("{id} {status}"), schema, &value),
            Err(error) => vec![format!("the body of {status} is not JSON: {error}")],
        }
    }

    fn check(&self, key: &str, schema: &Value, value: &Value) -> Vec<String> {
        match self.validator(key, schema) {
            Ok(validator) => validator
                .iter_errors(value)
                .map(|error| {
                    let masked = error.masked();
                    format!("at '{}': {masked}", error.instance_path())
                })
                .collect(),
            Err(error) => vec![format!("{key}: {error:#}")],
        }
    }

    fn validator(&self, key: &str, schema: &Value) -> anyhow::Result<Arc<Validator>> {
        let mut validators = self.validators.lock();
        if let Some(validator) = validators.get(key) {
            return Ok(Arc::clone(validator));
        }
        let whole = json!({"allOf": [schema], "components": self.components});
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&whole)
            .context("the document's schema cannot be used")?;
        let validator = Arc::new(validator);
        validators.insert(key.to_owned(), Arc::clone(&validator));
        Ok(validator)
    }
}

/// OpenAPI 3.0 to JSON Schema: `nullable`, boolean `exclusiveMinimum`, and `oneOf` without a
/// discriminator, whose alternatives overlap in the official document.
fn convert(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(convert),
        Value::Object(schema) => {
            convert_keywords(schema);
            schema.values_mut().for_each(convert);
        }
        _ => {}
    }
}

fn convert_keywords(schema: &mut Map<String, Value>) {
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        schema.remove("nullable");
        if let Some(kind) = schema.get("type").filter(|kind| kind.is_string()).cloned() {
            schema.insert("type".to_owned(), json!([kind, "null"]));
        }
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.push(Value::Null);
        }
    }
    match schema.get("exclusiveMinimum") {
        Some(Value::Bool(true)) => {
            let minimum = schema.remove("minimum").unwrap_or_default();
            schema.insert("exclusiveMinimum".to_owned(), minimum);
        }
        Some(Value::Bool(false)) => {
            schema.remove("exclusiveMinimum");
        }
        _ => {}
    }
    if !schema.contains_key("discriminator")
        && let Some(alternatives) = schema.remove("oneOf")
    {
        schema.insert("anyOf".to_owned(), alternatives);
    }
}
