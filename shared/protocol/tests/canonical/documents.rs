//! Random documents and random ways to write them down.

use proptest::collection::vec;
use proptest::prelude::*;

/// A JSON value in the least clever form: fields in order, keys may repeat.
#[derive(Debug, Clone)]
pub enum Node {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Choices for writing a document down, used in turn, again and again.
#[derive(Debug, Clone)]
pub struct Style {
    choices: Vec<u8>,
    used: usize,
    may_reorder: bool,
}

impl Style {
    fn choose(&mut self, among: u8) -> u8 {
        self.used += 1;
        self.choices[self.used % self.choices.len()] % among
    }
}

pub fn any_style() -> impl Strategy<Value = Style> {
    vec(any::<u8>(), 1..60).prop_map(|choices| Style { choices, used: 0, may_reorder: true })
}

/// Any document, with keys that mean something to the hash and keys that repeat. Its order of fields is kept.
pub fn any_document() -> impl Strategy<Value = Node> {
    let key = prop_oneof![
        4 => prop::sample::select(vec![
            "_id", "path", "mime", "type", "_hash", "title", "fp", "_data", "_modified", "_cby", "0", "1", "2", "00", "",
        ]).prop_map(str::to_owned),
        1 => ".{0,3}",
    ];
    fields(key.boxed(), false)
}

/// A document whose keys occur once and say nothing by their order.
pub fn document_with_word_keys() -> impl Strategy<Value = Node> {
    fields("[a-zA-Zé\"/\u{2028}]{1,4}".boxed(), true)
}

fn fields(key: BoxedStrategy<String>, unique: bool) -> impl Strategy<Value = Node> {
    let key_of_objects = key.clone();
    let value = any_leaf().prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Node::List),
            vec((key_of_objects.clone(), inner), 0..6).prop_map(move |fields| object(fields, unique)),
        ]
    });
    vec((key, value), 0..20).prop_map(move |fields| object(fields, unique))
}

fn object(mut fields: Vec<(String, Node)>, unique: bool) -> Node {
    if unique {
        let mut seen = std::collections::HashSet::new();
        fields.retain(|(key, _)| seen.insert(key.clone()));
    }
    Node::Object(fields)
}

fn any_leaf() -> impl Strategy<Value = Node> {
    prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        any::<i64>().prop_map(Node::Integer),
        (-3i64..4).prop_map(Node::Integer),
        any::<f64>().prop_filter("JSON has no infinity", |float| float.is_finite()).prop_map(Node::Float),
        (-3i32..4).prop_map(|half| Node::Float(f64::from(half) / 2.0)),
        ".{0,6}".prop_map(Node::Text),
        "[ab/\\\\\"\n\u{2028}😀]{0,3}".prop_map(Node::Text),
    ]
}

/// One of the many texts of a document. Fields change places unless a key repeats or looks like an index.
pub fn write(node: &Node, style: &mut Style) -> String {
    let mut text = String::new();
    style.may_reorder = !mentions_order(node);
    write_value(node, style, &mut text);
    text
}

fn mentions_order(node: &Node) -> bool {
    match node {
        Node::List(elements) => elements.iter().any(mentions_order),
        Node::Object(fields) => fields.iter().enumerate().any(|(place, (key, value))| {
            key.starts_with(|first: char| first.is_ascii_digit())
                || fields[..place].iter().any(|(earlier, _)| earlier == key)
                || mentions_order(value)
        }),
        _ => false,
    }
}

fn write_value(node: &Node, style: &mut Style, text: &mut String) {
    match node {
        Node::Null => text.push_str("null"),
        Node::Bool(value) => text.push_str(&value.to_string()),
        Node::Integer(integer) => write_integer(*integer, style, text),
        Node::Float(float) => write_float(*float, style, text),
        Node::Text(string) => write_string(string, style, text),
        Node::List(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                write_separator(index, style, text);
                write_value(element, style, text);
            }
            write_space(style, text);
            text.push(']');
        }
        Node::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            if style.may_reorder && !fields.is_empty() {
                let by = usize::from(style.choose(8)) % fields.len();
                fields.rotate_left(by);
                if style.choose(2) == 1 {
                    fields.reverse();
                }
            }
            text.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                write_separator(index, style, text);
                write_string(key, style, text);
                write_space(style, text);
                text.push(':');
                write_space(style, text);
                write_value(value, style, text);
            }
            write_space(style, text);
            text.push('}');
        }
    }
}

fn write_separator(index: usize, style: &mut Style, text: &mut String) {
    if index > 0 {
        write_space(style, text);
        text.push(',');
    }
    write_space(style, text);
}

fn write_space(style: &mut Style, text: &mut String) {
    text.push_str(["", "", "", " ", "\n", "\t\r "][usize::from(style.choose(6))]);
}

fn write_integer(integer: i64, style: &mut Style, text: &mut String) {
    let exact_as_float = integer.unsigned_abs() < 1 << 53;
    match style.choose(4) {
        0 if exact_as_float => text.push_str(&format!("{integer}.0")),
        1 if exact_as_float => text.push_str(&format!("{integer}e0")),
        2 if integer == 0 => text.push_str("-0"),
        _ => text.push_str(&integer.to_string()),
    }
}

fn write_float(float: f64, style: &mut Style, text: &mut String) {
    match style.choose(3) {
        0 => text.push_str(&format!("{float:e}")),
        1 => text.push_str(&format!("{float:E}").replace('E', "E+").replace("E+-", "E-")),
        _ => text.push_str(&format!("{float:?}")),
    }
}

fn write_string(string: &str, style: &mut Style, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        let must_escape = matches!(character, '"' | '\\' | '\0'..='\u{1f}');
        match (character, style.choose(5)) {
            ('/', 0) => text.push_str("\\/"),
            ('\n', 0) => text.push_str("\\n"),
            ('"' | '\\', 0 | 1) => text.extend(['\\', character]),
            (_, choice) if must_escape || choice == 1 => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}
