//! The JSON Schema of the config, for editors (draft 2020-12). It knows keys, types and forms; what needs more than
//! one value is left to `octroi check`.

use super::{
    file::ConfigFile,
    section::{Form, FromScalar, Key, Presence, Section, Shape, Table},
};
use l402::Name;
use serde_json::{Map, Value, json};

/// The schema, as `octroi schema` prints it and `docs/config.schema.json` keeps it.
pub fn schema() -> Value {
    let mut schema = section(ConfigFile::table());
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("Octroi configuration"));
    Value::Object(schema)
}

fn section(table: &Table) -> Map<String, Value> {
    let required = table.keys.iter().filter(|key| matches!(key.presence, Presence::Required));
    let required: Vec<&str> = required.map(|key| key.name).collect();
    let properties: Map<String, Value> =
        table.keys.iter().map(|key| (key.name.to_owned(), Value::Object(property(key)))).collect();
    let mut schema = object(json!({
        "type": "object",
        "description": text(table.doc),
        "additionalProperties": false,
        "properties": properties,
    }));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(key: &Key) -> Map<String, Value> {
    let shape = key.shape();
    let mut schema = of(&shape);
    schema.insert("description".to_owned(), json!(text(key.doc)));
    if let Presence::Default(default) = key.presence {
        let typed = match shape {
            Shape::Scalar(Form::Flag | Form::Count { .. }) => {
                serde_json::from_str(default).unwrap_or_default()
            }
            _ => json!(default),
        };
        schema.insert("default".to_owned(), typed);
    }
    schema
}

fn of(shape: &Shape) -> Map<String, Value> {
    match shape {
        Shape::Scalar(form) => scalar(*form),
        Shape::List(item) => object(json!({ "type": "array", "items": of(item), "minItems": 1 })),
        Shape::Either(shapes) => object(json!({ "anyOf": shapes.iter().map(of).collect::<Vec<_>>() })),
        Shape::Pairs => object(json!({
            "type": "object",
            "propertyNames": scalar(Name::FORM),
            "additionalProperties": { "type": "string" },
        })),
        Shape::Section(table) => section(table),
    }
}

fn scalar(form: Form) -> Map<String, Value> {
    object(match form {
        Form::Flag => json!({ "type": "boolean" }),
        Form::Count { least, most: u64::MAX } => json!({ "type": "integer", "minimum": least }),
        Form::Count { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::Text { pattern: "", .. } => json!({ "type": "string" }),
        Form::Text { pattern, .. } => json!({ "type": "string", "pattern": pattern }),
        Form::Words(words) => json!({ "enum": words() }),
    })
}

/// The lines of a description as one.
pub(super) fn text(doc: &str) -> String {
    doc.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
