//! Texts with `{{ ... }}` in them, filled in from an event.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde_json::json;

use crate::{Failure, Notice};

/// One text. That of the name `html` is HTML: what is filled in is escaped.
pub(crate) struct Template {
    environment: Environment<'static>,
    name: &'static str,
}

impl Template {
    /// The error begins with the name.
    pub fn new(name: &'static str, text: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        // What one event has another one lacks.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|name| if name == "html" { AutoEscape::Html } else { AutoEscape::None });
        environment.add_template_owned(name, text.to_owned()).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { environment, name })
    }

    /// The fields of the event, and `summary`: the event in one line.
    pub fn render(&self, notice: &Notice) -> Result<String, Failure> {
        let mut fields = notice.event.clone();
        fields.insert("summary".into(), json!(notice.summary()));
        let rendered =
            self.environment.get_template(self.name).and_then(|template| template.render(Value::from(Serde(&fields))));
        rendered.map_err(|error| Failure { lasting: true, ..Failure::new(format!("{}: {error}", self.name)) })
    }
}
