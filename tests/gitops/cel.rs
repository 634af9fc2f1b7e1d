//! Health expressions of Flux, evaluated as Flux does: the generation first, then `inProgress`, `failed` and `current`, with
//! the fields of the object as variables.

use cel::{Context, Program, Value as CelValue};
use serde_json::Value;

/// The status that the expressions of a kind give an object.
pub fn status(expressions: &Value, object: &Value) -> &'static str {
    let (generation, observed) = (
        &object["metadata"]["generation"],
        &object["status"]["observedGeneration"],
    );
    if observed.is_i64() && generation.is_i64() && observed != generation {
        return "InProgress";
    }
    let order = [
        ("inProgress", "InProgress"),
        ("failed", "Failed"),
        ("current", "Current"),
    ];
    let found = order.into_iter().find(|(key, _)| {
        let expression = expressions[*key].as_str().unwrap();
        is_true(expression, object)
    });
    found.map_or("InProgress", |(_, status)| status)
}

fn is_true(expression: &str, object: &Value) -> bool {
    let program = Program::compile(expression).unwrap();
    let mut context = Context::default();
    for (name, value) in object.as_object().unwrap() {
        context.add_variable(name.as_str(), value).unwrap();
    }
    match program.execute(&context) {
        Ok(CelValue::Bool(is)) => is,
        other => panic!("{expression}: {other:?}"),
    }
}
