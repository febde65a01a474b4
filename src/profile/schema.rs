//! JSON Schemas (draft 2020-12) of request bodies: compiled when the profile is read, so that a bad one is refused then.
//!
//! Nothing is fetched: `$ref` reaches what the schema itself holds. Patterns run in linear time, since bodies are
//! hostile. `format` is checked.

use std::{fmt, sync::Arc};

use jsonschema::{Draft, PatternOptions, Validator};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// See the module.
#[derive(Clone)]
pub struct Schema {
    json: Value,
    validator: Arc<Validator>,
}

/// Where a body is not as the schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The place in the body, a JSON pointer.
    pub instance_path: String,
    /// The place in the schema, a JSON pointer.
    pub schema_path: String,
    /// The schema's keyword: `type`, `required`, …
    pub keyword: String,
    /// What is wrong; the body's values are not in it.
    pub message: String,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Why it is none.
    pub fn compile(json: Value) -> Result<Self, String> {
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex());
        match options.build(&json) {
            Ok(validator) => Ok(Self { json, validator: Arc::new(validator) }),
            Err(error) => Err(match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("at {path}: {error}"),
            }),
        }
    }

    /// The schema itself.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Whether a body is as it says; quicker than [`Self::violations`].
    pub fn accepts(&self, body: &Value) -> bool {
        self.validator.is_valid(body)
    }

    /// Where a body is not as it says, at most `most` places.
    pub fn violations(&self, body: &Value, most: usize) -> Vec<Violation> {
        let errors = self.validator.iter_errors(body).take(most);
        let violation = |error: jsonschema::ValidationError<'_>| Violation {
            instance_path: error.instance_path().as_str().to_owned(),
            schema_path: error.schema_path().as_str().to_owned(),
            keyword: error.kind().keyword().to_owned(),
            message: error.masked().to_string(),
        };
        errors.map(violation).collect()
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.json)
    }
}

/// As a profile has it: JSON as text.
impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.json)
    }
}
