//! Filters in jq's language, on the crate jaq: compiled once, run on one document after the other.
//!
//! A filter is a function of the document: what would make it give another result the next time (the clock, the
//! environment) is taken out, else every run would write everything anew.

use jaq_core::load::{Arena, File, Loader, lex, parse};
use jaq_core::{Compiler, Filter, compile};
use jaq_json::Val;

mod meter;
mod values;

use meter::{Metered, Spent, metered};

pub use meter::on_a_deep_stack;
pub use values::{as_text, keep_order, text, to_jq, to_php_json};

/// Longer filters are refused: parsing them takes stack.
const MAX_LENGTH: usize = 16 * 1024;
/// Errors quote values: so much of them.
const SHOWN: usize = 300;
/// Taken out: the clock, the environment, the machine's time zone, what prints or ends the process.
const TAKEN_OUT: [&str; 10] = [
    "env",
    "now",
    "halt",
    "halt_error",
    "debug",
    "stderr",
    "debug_empty",
    "stderr_empty",
    "localtime",
    "strflocaltime",
];

/// jaq's own is a loop that does not pass the meter.
const RANGE: &str = "def range($from; $to; $by):
    def up: if . < $to then ., (. + $by | up) else {}[] as $none | . end;
    def down: if . > $to then ., (. + $by | down) else {}[] as $none | . end;
    $from | if $by > 0 then up elif $by < 0 then down else {}[] as $none | . end;";

/// A filter that was compiled.
pub struct Jq(Filter<Metered>);

/// What is wrong with a filter's text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct JqError {
    pub line: usize,
    pub column: usize,
    pub problem: String,
}

impl Jq {
    pub fn compile(text: &str) -> Result<Self, JqError> {
        if text.len() > MAX_LENGTH {
            return Err(JqError::at(text, "", format!("a filter has {MAX_LENGTH} bytes at most")));
        }
        on_a_deep_stack(|| compile_here(text)).unwrap_or_else(|error| Err(JqError::at(text, "", error.to_string())))
    }

    /// The one output of the filter. To be called [`on_a_deep_stack`]. `document_bytes` says how much it may compute.
    pub fn run(&self, document: Val, document_bytes: usize) -> Result<Val, String> {
        let outputs = metered(&self.0, document, document_bytes, |outputs| match outputs.next() {
            None => Err("the filter gave no result; it must give one object for each document".to_owned()),
            Some(Err(error)) => Err(shortened(&error.to_string())),
            Some(Ok(_)) if outputs.next().is_some() => {
                Err("the filter gave more than one result; it must give one object for each document".to_owned())
            }
            Some(Ok(result)) => Ok(result),
        });
        outputs.unwrap_or_else(|spent| Err(in_words(spent).to_owned()))
    }
}

fn compile_here(text: &str) -> Result<Jq, JqError> {
    let is_in = |name: &str| !TAKEN_OUT.contains(&name);
    let range = jaq_core::load::parse(RANGE, |parser| parser.defs()).expect("the text above is a definition");
    let core = jaq_core::defs().flat_map(|def| {
        let before = if def.name == "range" && def.args.len() == 2 { range.clone() } else { Vec::new() };
        before.into_iter().chain([def])
    });
    let definitions = core.chain(jaq_std::defs()).chain(jaq_json::defs()).filter(|def| is_in(def.name));
    let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let functions = functions.filter(|(name, ..)| is_in(name) && *name != "range");
    let arena = Arena::default();
    let loaded = Loader::new(definitions).load(&arena, File { code: text, path: () });
    let modules = loaded.map_err(|errors| {
        let first = errors.into_iter().next().map(|(_, error)| unreadable(text, error));
        first.unwrap_or_else(|| JqError::at(text, "", "not a filter".into()))
    })?;
    let compiled = Compiler::default().with_funs(functions).compile(modules);
    let filter = compiled.map_err(|errors| {
        let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
        first.map_or_else(|| JqError::at(text, "", "not a filter".into()), |(name, kind)| undefined(text, name, &kind))
    })?;
    Ok(Jq(filter))
}

fn unreadable(text: &str, error: jaq_core::load::Error<&str>) -> JqError {
    use jaq_core::load::Error;
    let expected = |what: &str, found: &str| {
        let found = if found.is_empty() { "the end".to_owned() } else { format!("{:?}", shortened(found)) };
        format!("{what} was expected, there is {found}")
    };
    let named = |(what, found): (String, &str)| JqError::at(text, found, expected(&what, first_word(found)));
    let first = match error {
        Error::Io(errors) => {
            errors.into_iter().next().map(|(path, _)| JqError::at(text, path, "modules cannot be imported".into()))
        }
        Error::Lex(errors) => {
            errors.into_iter().next().map(|(what, found): lex::Error<&str>| named((what.as_str().into(), found)))
        }
        Error::Parse(errors) => {
            errors.into_iter().next().map(|(what, found): parse::Error<&str>| named((what.as_str().into(), found)))
        }
    };
    first.unwrap_or_else(|| JqError::at(text, "", "not a filter".into()))
}

fn undefined(text: &str, name: &str, kind: &compile::Undefined) -> JqError {
    let problem = if TAKEN_OUT.contains(&name) {
        format!("{name} is not available: a transform must give the same result for the same document every time")
    } else {
        format!(
            "there is no {} {name:?}{}",
            kind.as_str(),
            match kind {
                compile::Undefined::Filter(arity) if *arity > 0 => format!(" with {arity} arguments"),
                _ => String::new(),
            }
        )
    };
    JqError::at(text, name, problem)
}

impl JqError {
    /// `part` is a part of `text`, or empty for the end.
    fn at(text: &str, part: &str, problem: String) -> Self {
        let offset = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        let before = text.get(..offset).filter(|_| !part.is_empty()).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, problem }
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn in_words(spent: Spent) -> &'static str {
    match spent {
        Spent::Steps => {
            "the filter computes too long: it was ended after a million steps and 50 for each byte of the document"
        }
        Spent::Stack => "the filter calls itself too deeply",
        Spent::Panic => "the filter asks for something that cannot be computed",
    }
}

#[cfg(test)]
mod tests;
