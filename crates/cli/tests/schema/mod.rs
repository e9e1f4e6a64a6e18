//! As much of JSON Schema as our schemas use; a keyword that is not here is a mistake of the schema, not a wish granted.
//!
//! Own code, since the crates that do all of it would change the features of crates that the AWS SDK shares, and so
//! compile the SDK once more for the tests.

use serde_json::Value;

/// Every place where the document breaks the schema.
pub fn errors(schema: &Value, document: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    Check { root: schema, errors: &mut errors }.value(schema, document, "$");
    errors
}

struct Check<'a> {
    root: &'a Value,
    errors: &'a mut Vec<String>,
}

impl Check<'_> {
    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
            let holds = match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let path = wanted.as_str().and_then(|path| path.strip_prefix('#')).expect("a local reference");
                    let referred = self.root.pointer(path).unwrap_or_else(|| panic!("{path} is not in the schema"));
                    self.value(referred, value, at);
                    true
                }
                "const" => value == wanted,
                "enum" => wanted.as_array().expect("a list").contains(value),
                "type" => match wanted {
                    Value::Array(types) => types.iter().any(|name| is(value, name)),
                    name => is(value, name),
                },
                "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().expect("a number")),
                "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().expect("a text"), text)),
                "anyOf" => wanted.as_array().expect("a list").iter().any(|schema| {
                    let mut errors = Vec::new();
                    Check { root: self.root, errors: &mut errors }.value(schema, value, at);
                    errors.is_empty()
                }),
                "required" => wanted.as_array().expect("a list").iter().all(|name| {
                    value.as_object().is_none_or(|object| object.contains_key(name.as_str().expect("a name")))
                }),
                "properties" => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        if let Some(schema) = wanted.get(name) {
                            self.value(schema, value, &format!("{at}.{name}"));
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    assert_eq!(*wanted, Value::Bool(false), "only false is understood");
                    let known = schema.get("properties");
                    let is_known = |name: &String| known.is_some_and(|known| known.get(name).is_some());
                    value.as_object().is_none_or(|object| object.keys().all(is_known))
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(wanted, item, &format!("{at}[{number}]"));
                    }
                    true
                }
                "prefixItems" => {
                    let items = value.as_array().into_iter().flatten();
                    for (number, (schema, item)) in wanted.as_array().expect("a list").iter().zip(items).enumerate() {
                        self.value(schema, item, &format!("{at}[{number}]"));
                    }
                    true
                }
                unknown => panic!("{unknown}: this keyword is not understood"),
            };
            if !holds {
                self.errors.push(format!("{at}: {keyword} {wanted} does not hold for {value}"));
            }
        }
    }
}

fn is(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("a type's name") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}: no such type"),
    }
}

/// The patterns that our schemas use.
fn matches(pattern: &str, text: &str) -> bool {
    let words =
        |text: &str| text.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
    match pattern {
        "^[a-z]+(-[a-z]+)*$" => words(text),
        "^[a-z0-9]+(-[a-z0-9]+)*$" => {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            text.split('-').all(|word| !word.is_empty() && word.bytes().all(allowed))
        }
        "^(ec2|autoscaling):[A-Za-z]+$" => text.split_once(':').is_some_and(|(service, call)| {
            ["ec2", "autoscaling"].contains(&service)
                && !call.is_empty()
                && call.bytes().all(|byte| byte.is_ascii_alphabetic())
        }),
        other => panic!("{other}: this pattern is not understood"),
    }
}
