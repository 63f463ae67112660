//! A YAML file as a tree that knows where each part was written, so that one part can be left out
//! and the rest read again. [`Tree::written`] gives YAML with one part a line; [`Tree::path_at`]
//! tells which part a line of it is.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::yaml::{self, InputError, Spanned};

/// Keys and places in lists, from the top.
pub(crate) type Steps = Vec<String>;

/// A whole file.
#[derive(Debug)]
pub(crate) struct Tree {
    top: Node,
    lines: Vec<(Steps, Place)>,
}

/// Line and column, from 1.
pub(crate) type Place = (u64, u64);

#[derive(Debug)]
enum Node {
    /// Nothing, or a boolean.
    Plain(&'static str),
    /// As it was typed, at this place: `1.10` and `007` stay what they are.
    Number(String, Place),
    Text(String),
    List(Vec<(Place, Node)>),
    Map(Vec<(String, Place, Node)>),
}

impl Tree {
    /// Reads `source`; what is no YAML, or unfolds too far, is an error as everywhere.
    pub(crate) fn parse(source: &str, file: &Path) -> Result<Self, InputError> {
        let mut top: Node = yaml::parse(source, file)?;
        top.as_typed(source);
        Ok(Self { top, lines: Vec::new() })
    }

    /// The tree as YAML. Every key and every item of a list begins a line of its own.
    pub(crate) fn written(&mut self) -> String {
        let mut writer = Writer { text: String::new(), lines: Vec::new() };
        writer.node(&self.top, &mut Vec::new(), (1, 1));
        self.lines = writer.lines;
        writer.text
    }

    /// Which part stands in `line` of what was last written, and where the file has it.
    pub(crate) fn path_at(&self, line: u64) -> Option<(Steps, Place)> {
        let index = usize::try_from(line.checked_sub(1)?).ok()?;
        self.lines.get(index).cloned()
    }

    /// Leaves a part out. An item of a list goes as a whole list's place: those behind it move up.
    pub(crate) fn remove(&mut self, path: &[String]) {
        if let Some((last, above)) = path.split_last() {
            match above.iter().try_fold(&mut self.top, |node, step| node.child(step)) {
                Some(Node::Map(entries)) => entries.retain(|(key, ..)| key != last),
                Some(Node::List(items)) => {
                    if let Some(index) = last.parse().ok().filter(|index| *index < items.len()) {
                        items.remove(index);
                    }
                }
                Some(Node::Plain(_) | Node::Number(..) | Node::Text(_)) | None => {}
            }
        }
    }

    /// Whether the file says something there.
    pub(crate) fn has(&mut self, path: &[&str]) -> bool {
        path.iter().try_fold(&mut self.top, |node, step| node.child(step)).is_some()
    }

    /// Adds a number at the top.
    pub(crate) fn add(&mut self, key: &str, number: u32) {
        if let Node::Map(entries) = &mut self.top {
            entries.push((key.to_owned(), (1, 1), Node::Number(number.to_string(), (0, 0))));
        }
    }
}

impl Node {
    fn child(&mut self, step: &str) -> Option<&mut Self> {
        match self {
            Self::Map(entries) => {
                entries.iter_mut().find(|(key, ..)| key == step).map(|(.., node)| node)
            }
            Self::List(items) => items.get_mut(step.parse::<usize>().ok()?).map(|(_, node)| node),
            Self::Plain(_) | Self::Number(..) | Self::Text(_) => None,
        }
    }

    /// Numbers that mean the same may be different names.
    fn as_typed(&mut self, source: &str) {
        match self {
            Self::Number(text, (line, column)) => {
                let typed = yaml::word_in(source, *line, *column);
                let is_number =
                    typed.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
                if is_number && !typed.contains(char::is_whitespace) {
                    typed.clone_into(text);
                }
            }
            Self::List(items) => items.iter_mut().for_each(|(_, node)| node.as_typed(source)),
            Self::Map(entries) => entries.iter_mut().for_each(|(.., node)| node.as_typed(source)),
            Self::Plain(_) | Self::Text(_) => {}
        }
    }

    fn located(part: Spanned<Self>) -> Self {
        match part.value {
            Self::Number(text, _) => {
                Self::Number(text, (part.defined.line(), part.defined.column()))
            }
            other => other,
        }
    }
}

struct Writer {
    text: String,
    lines: Vec<(Steps, Place)>,
}

impl Writer {
    fn line(&mut self, text: &str, path: &Steps, place: Place) {
        self.text.push_str(text);
        self.text.push('\n');
        self.lines.push((path.clone(), place));
    }

    fn node(&mut self, node: &Node, path: &mut Steps, place: Place) {
        self.part("", node, path, place);
    }

    /// `before` stands on the first line of the part.
    fn part(&mut self, before: &str, node: &Node, path: &mut Steps, place: Place) {
        match node {
            Node::Plain(text) => self.line(&format!("{before}{text}"), path, place),
            Node::Number(text, _) => self.line(&format!("{before}{text}"), path, place),
            Node::Text(text) => self.line(&format!("{before}{}", quoted(text)), path, place),
            Node::List(items) => {
                self.line(&format!("{before}["), path, place);
                for (index, (at, item)) in items.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    path.push(index.to_string());
                    self.part(comma, item, path, *at);
                    path.pop();
                }
                self.line("]", path, place);
            }
            Node::Map(entries) => {
                self.line(&format!("{before}{{"), path, place);
                for (index, (key, at, value)) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    path.push(key.clone());
                    self.part(&format!("{comma}{}: ", quoted(key)), value, path, *at);
                    path.pop();
                }
                self.line("}", path, place);
            }
        }
    }
}

/// JSON's form of a text is YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn place<T>(part: &Spanned<T>) -> Place {
    (part.referenced.line(), part.referenced.column())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(if value { "true" } else { "false" }))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string(), (0, 0)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string(), (0, 0)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string(), (0, 0)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain("null"))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Plain("null"))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Deserialize::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Node>>()? {
            items.push((place(&item), Node::located(item)));
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let at = place(&key);
            entries.push((key.value, at, Node::located(map.next_value()?)));
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(source: &str) -> Tree {
        Tree::parse(source, Path::new("x.yaml")).unwrap()
    }

    #[test]
    fn every_part_has_a_line_and_knows_where_it_was() {
        let mut tree = tree("a: 1\nb:\n  c: [x, {d: \"y: z\"}]\n  e: yes\n");
        let text = tree.written();
        let value = |text: &str| yaml::parse::<serde_json::Value>(text, Path::new("x")).unwrap();
        assert_eq!(
            value(&text),
            serde_json::json!({"a": 1, "b": {"c": ["x", {"d": "y: z"}], "e": "yes"}})
        );
        let line = text.lines().position(|line| line.contains("y: z")).unwrap() + 1;
        let found = tree.path_at(u64::try_from(line).unwrap());
        let path = ["b", "c", "1", "d"].map(str::to_owned).to_vec();
        assert_eq!(found, Some((path.clone(), (3, 11))));
        tree.remove(&path);
        tree.remove(&["b".into(), "c".into(), "0".into()]);
        tree.remove(&["nothing".into(), "here".into()]);
        let left = tree.written();
        assert_eq!(value(&left), serde_json::json!({"a": 1, "b": {"c": [{}], "e": "yes"}}));
        assert!(tree.has(&["b", "e"]) && !tree.has(&["b", "f"]));
        assert_eq!(tree.path_at(0), None);
        let numbers =
            self::tree("a: 1.10 # ten\nb: [007, &x 1e2, *x]\nc: ~\nd: {e: 0x10}\n").written();
        for typed in ["\"a\": 1.10\n", "\n007\n", ",1e2\n,1e2\n", "\"c\": null", "\"e\": 0x10"] {
            assert!(numbers.contains(typed), "{typed}: {numbers}");
        }
    }
}
