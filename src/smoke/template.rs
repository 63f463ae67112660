//! Texts with places: `{{name}}` stands for a variable, `{{$uuid}}` and its like for a value that
//! is made anew for each request. Every place knows where it was written.

use std::collections::BTreeMap;

use crate::base::clock::{Clock, Entropy};

/// What stands for a place whose value is not known yet.
const PLACE_BYTES: u64 = 40;

/// Where something stands in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What is wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) suggestion: String,
}

impl Wrong {
    pub(crate) fn new(
        place: Place,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) -> Self {
        Self { place, message: message.into(), suggestion: suggestion.into() }
    }
}

/// A text cut into what stands and what is filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable { name: String, place: Place },
    Fresh(Fresh),
}

/// A value that is made anew each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fresh {
    Uuid,
    Timestamp,
    IsoTimestamp,
    RandomInt,
}

impl Fresh {
    const NAMES: [(&'static str, Self); 6] = [
        ("$uuid", Self::Uuid),
        ("$guid", Self::Uuid),
        ("$random.uuid", Self::Uuid),
        ("$timestamp", Self::Timestamp),
        ("$isoTimestamp", Self::IsoTimestamp),
        ("$randomInt", Self::RandomInt),
    ];
}

/// Where fresh values come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
}

impl Sources {
    fn make(&self, fresh: Fresh) -> String {
        match fresh {
            Fresh::Uuid => uuid(
                u128::from(self.entropy.next_u64()) << 64 | u128::from(self.entropy.next_u64()),
            ),
            Fresh::Timestamp => (self.clock.now().as_us() / 1_000_000).to_string(),
            Fresh::IsoTimestamp => self.clock.now().rfc3339(),
            Fresh::RandomInt => self.entropy.below(1_000).to_string(),
        }
    }
}

/// RFC 9562, version 4.
fn uuid(random: u128) -> String {
    let versioned = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{versioned:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

impl Template {
    /// Cuts `text`, which begins at `place`.
    pub(crate) fn parse(text: &str, place: Place) -> Result<Self, Wrong> {
        let mut template = Self::default();
        let (mut rest, mut column) = (text, place.column);
        while let Some((before, after)) = rest.split_once("{{") {
            template.push_text(before);
            let at = Place { column: column + before.chars().count(), ..place };
            let Some((name, behind)) = after.split_once("}}") else {
                let text = "{{ is not closed";
                return Err(Wrong::new(at, text, "write a variable as {{name}}"));
            };
            template.0.push(variable(name, at)?);
            column = at.column + name.chars().count() + 4;
            rest = behind;
        }
        template.push_text(rest);
        Ok(template)
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    fn push_text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }

    /// Appends what another one says.
    pub(crate) fn append(&mut self, other: Self) {
        for piece in other.0 {
            match piece {
                Piece::Text(text) => self.push_text(&text),
                other => self.0.push(other),
            }
        }
    }

    /// What it begins with before the first place.
    pub(crate) fn head(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// The name of the variable that it begins with.
    pub(crate) fn first_variable(&self) -> Option<&str> {
        match self.0.first() {
            Some(Piece::Variable { name, .. }) => Some(name),
            _ => None,
        }
    }

    /// Variables in the order in which they stand.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, Place)> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable { name, place } => Some((name.as_str(), *place)),
            Piece::Text(_) | Piece::Fresh(_) => None,
        })
    }

    /// How long it becomes with variables of these lengths; others are taken for short.
    pub(crate) fn bytes(&self, known: &BTreeMap<&str, u64>) -> u64 {
        let of = |piece: &Piece| match piece {
            Piece::Text(text) => u64::try_from(text.len()).unwrap_or(u64::MAX),
            Piece::Variable { name, .. } => {
                known.get(name.as_str()).copied().unwrap_or(PLACE_BYTES)
            }
            Piece::Fresh(_) => PLACE_BYTES,
        };
        self.0.iter().map(of).fold(0, u64::saturating_add)
    }

    /// With every variable that `value` knows put in; the others stay places.
    pub(crate) fn filled(&self, value: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut filled = Self::default();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_text(text),
                Piece::Variable { name, .. } => match value(name) {
                    Some(text) => filled.push_text(&text),
                    None => filled.0.push(piece.clone()),
                },
                Piece::Fresh(_) => filled.0.push(piece.clone()),
            }
        }
        filled
    }

    /// The whole text. The error is the name of a variable that `value` does not know.
    pub(crate) fn whole(
        &self,
        value: &dyn Fn(&str) -> Option<String>,
        sources: &Sources,
    ) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(own) => text.push_str(own),
                Piece::Variable { name, .. } => {
                    text.push_str(&value(name).ok_or_else(|| name.clone())?);
                }
                Piece::Fresh(fresh) => text.push_str(&sources.make(*fresh)),
            }
        }
        Ok(text)
    }

    /// Whether nothing is filled in.
    pub(crate) fn is_fixed(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Takes the white space off its end.
    pub(crate) fn trim_end(&mut self) {
        if let Some(Piece::Text(text)) = self.0.last_mut() {
            text.truncate(text.trim_end().len());
        }
    }

    /// The path of a URL as people read it: places by name, without origin, query and fragment.
    pub(crate) fn path_shown(&self) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(own) => text.push_str(own),
                Piece::Variable { name, .. } => text.push_str(&format!("{{{{{name}}}}}")),
                Piece::Fresh(_) => text.push_str("{{...}}"),
            }
        }
        let bare = text.split(['?', '#']).next().unwrap_or_default();
        let behind = bare.split_once("://").map_or(bare, |(_, rest)| rest);
        behind.find('/').map_or("/", |at| &behind[at..]).to_owned()
    }

    /// With nothing where a place is left.
    pub(crate) fn known_part(&self) -> String {
        let texts = self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Variable { .. } | Piece::Fresh(_) => None,
        });
        texts.collect()
    }
}

fn variable(inner: &str, place: Place) -> Result<Piece, Wrong> {
    let name = inner.trim();
    if let Some((_, fresh)) = Fresh::NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(Piece::Fresh(*fresh));
    }
    if let Some(env) = name.strip_prefix("$processEnv ").or_else(|| name.strip_prefix("$env.")) {
        let name = format!("$env.{}", env.trim());
        return Ok(Piece::Variable { name, place });
    }
    if name.starts_with('$') {
        let known: Vec<&str> = Fresh::NAMES.iter().map(|(name, _)| *name).collect();
        let known = format!("known are {} and $env.NAME", known.join(", "));
        return Err(Wrong::new(place, format!("{{{{{name}}}}} is not supported"), known));
    }
    if name.contains(".response.") || name.contains(".request.") {
        let better = "name what is taken from an answer: # @capture token = jsonpath $.token";
        return Err(Wrong::new(place, format!("{{{{{name}}}}} is not supported"), better));
    }
    if !is_name(name) {
        let text = format!("'{name}' is no name of a variable");
        return Err(Wrong::new(place, text, "use letters, digits, -, _ and dots: {{name}}"));
    }
    Ok(Piece::Variable { name: name.to_owned(), place })
}

/// Whether a variable can be called so.
pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Place {
        Place { line, column }
    }

    fn sources() -> Sources {
        let at = crate::base::clock::Timestamp::from_us(1_795_233_906_000_000);
        Sources { clock: Clock::Frozen(at), entropy: Entropy::seeded(1) }
    }

    #[test]
    fn places_are_filled_in() {
        let template = Template::parse("a{{ x }}b{{$timestamp}}{{y}}", at(3, 5)).unwrap();
        let places: Vec<_> = template.variables().collect();
        assert_eq!(places, [("x", at(3, 6)), ("y", at(3, 28))]);
        let x = |name: &str| (name == "x").then(|| "1".to_owned());
        let filled = template.filled(&x);
        assert_eq!((filled.head(), filled.known_part().as_str()), ("a1b", "a1b"));
        assert_eq!(filled.whole(&x, &sources()), Err("y".to_owned()));
        let all = |_: &str| Some("z".to_owned());
        assert_eq!(filled.whole(&all, &sources()).unwrap(), "a1b1795233906z");
    }

    #[test]
    fn fresh_values_have_their_form() {
        let of = |text| {
            let none = |_: &str| None;
            Template::parse(text, at(1, 1)).unwrap().whole(&none, &sources()).unwrap()
        };
        let id = of("{{$uuid}}");
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_eq!(of("{{$isoTimestamp}}"), "2026-11-21T04:05:06Z");
        assert!(of("{{$randomInt}}").parse::<u64>().unwrap() < 1_000);
        assert_eq!(of("plain } text {"), "plain } text {");
    }

    #[test]
    fn what_is_no_place_is_said_with_its_column() {
        for (text, column, says) in [
            ("ab{{x", 3, "is not closed"),
            ("{{a}}{{$nonsense}}", 6, "{{$nonsense}} is not supported"),
            ("ü{{login.response.body.$.token}}", 2, "is not supported"),
            ("{{}}", 1, "'' is no name"),
            ("{{a b}}", 1, "'a b' is no name"),
        ] {
            let wrong = Template::parse(text, at(1, 1)).unwrap_err();
            assert_eq!(wrong.place.column, column, "{text}");
            assert!(wrong.message.contains(says), "{text}: {}", wrong.message);
            assert!(!wrong.suggestion.is_empty());
        }
    }
}
