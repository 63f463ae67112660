//! What stands in comments for whoever runs the tests: `# @critical`, `# @timeout 5s` and others.
//! One that nobody knows is an error: a typing mistake must not make a test less than it was meant.

use super::capture::Capture;
use super::template::{Place, Wrong};
use crate::base::units::Micros;
use crate::base::yaml::nearest_name;

/// Said by editors, and without a meaning here.
const OF_EDITORS: [&str; 5] = ["no-log", "no-redirect", "no-cookie-jar", "title", "description"];
const KNOWN: [&str; 9] =
    ["name", "critical", "safe", "follow", "category", "timeout", "retry", "tag", "capture"];
const TIMEOUT_MAX: Micros = Micros::from_secs(600);
const WAIT_MAX: Micros = Micros::from_secs(60);
const RETRIES_MAX: u32 = 20;
/// Between two attempts, unless said.
const WAIT: Micros = Micros::from_millis(500);

/// How often a test that fails is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retry {
    pub(crate) times: u32,
    pub(crate) wait: Micros,
}

/// Everything that comments say about one test.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Annotations {
    pub(crate) name: Option<String>,
    pub(crate) is_critical: bool,
    /// Changes nothing, whatever its method says.
    pub(crate) is_safe: bool,
    pub(crate) follows: bool,
    pub(crate) category: Option<String>,
    pub(crate) timeout: Option<Micros>,
    pub(crate) retry: Retry,
    pub(crate) tags: Vec<String>,
    pub(crate) captures: Vec<Capture>,
    /// Where the first one stands.
    pub(crate) first: Option<Place>,
}

impl Annotations {
    /// How long one attempt may take: as said, else by category.
    pub(crate) fn time_limit(&self) -> Micros {
        let category = self.category.as_deref().unwrap_or_default().to_ascii_lowercase();
        self.timeout.unwrap_or(match category.as_str() {
            "api" | "integrations" => Micros::from_secs(5),
            "auth" => Micros::from_secs(3),
            _ => Micros::from_secs(10),
        })
    }

    /// Takes in `text`, what follows the mark of a comment; a comment without `@` says nothing.
    pub(crate) fn read(&mut self, text: &str, place: Place) -> Result<(), Wrong> {
        let bare = text.trim_start();
        let Some(said) = bare.strip_prefix('@') else { return Ok(()) };
        let place = Place { column: place.column + (text.len() - bare.len()), ..place };
        let (word, value) = said.split_once(char::is_whitespace).unwrap_or((said, ""));
        let value = value.trim();
        let wrong = |message: String, better: &str| Wrong::new(place, message, better);
        let needs = |example: &str| {
            if value.is_empty() {
                return Err(wrong(format!("@{word} says nothing"), &format!("write # @{example}")));
            }
            Ok(value.to_owned())
        };
        let alone = || match value {
            "" => Ok(true),
            other => {
                let text = format!("@{word} takes no value, and here stands '{other}'");
                Err(wrong(text, &format!("write # @{word}, or leave it out")))
            }
        };
        self.first = self.first.or(Some(place));
        match word {
            "name" => {
                if let Some(before) = &self.name {
                    let text = format!("the test has a name already: '{before}'");
                    return Err(wrong(text, "keep one, or begin the next test with ###"));
                }
                self.name = Some(needs("name checkout answers")?);
            }
            "critical" => self.is_critical = alone()?,
            "safe" => self.is_safe = alone()?,
            "follow" => self.follows = alone()?,
            "category" => self.category = Some(needs("category API")?),
            "timeout" => self.timeout = Some(timeout(&needs("timeout 5s")?, place)?),
            "retry" => self.retry = retry(&needs("retry 2 500ms")?, place)?,
            "tag" => {
                let tags = needs("tag checkout")?;
                self.tags.extend(words(&tags).map(str::to_owned));
            }
            "capture" => {
                let example = "capture token = jsonpath $.token";
                self.captures.push(Capture::parse(&needs(example)?, place)?);
            }
            editors if OF_EDITORS.contains(&editors) => {}
            unknown => {
                let better = match nearest_name(unknown, KNOWN) {
                    Some(name) => format!("did you mean @{name}?"),
                    None => format!("known are @{}", KNOWN.join(", @")),
                };
                return Err(wrong(format!("nothing is known of '@{unknown}'"), &better));
            }
        }
        Ok(())
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// A bare number is seconds: so editors read it.
fn timeout(text: &str, place: Place) -> Result<Micros, Wrong> {
    let secs = text.parse::<u64>().ok().map(|secs| Ok(Micros::from_secs(secs)));
    let time = secs.unwrap_or_else(|| text.parse());
    let time = time.map_err(|error| Wrong::new(place, error.to_string(), "write # @timeout 5s"))?;
    if time < Micros::from_millis(1) || time > TIMEOUT_MAX {
        let text = format!("a timeout of {time} is not between 1 ms and {TIMEOUT_MAX}");
        return Err(Wrong::new(place, text, "write # @timeout 5s"));
    }
    Ok(time)
}

fn retry(text: &str, place: Place) -> Result<Retry, Wrong> {
    let wrong = |message: String| Wrong::new(place, message, "write # @retry 2 500ms");
    let (times, wait) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let times = times.parse::<u32>().ok().filter(|times| (1..=RETRIES_MAX).contains(times));
    let times =
        times.ok_or_else(|| wrong(format!("'{text}' is not 1 to {RETRIES_MAX} retries")))?;
    let wait = match wait.trim() {
        "" => WAIT,
        wait => wait.parse().map_err(|error| wrong(format!("{error}")))?,
    };
    if wait > WAIT_MAX {
        return Err(wrong(format!("a wait of {wait} is longer than {WAIT_MAX}")));
    }
    Ok(Retry { times, wait })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Annotations, Wrong> {
        let mut annotations = Annotations::default();
        for line in lines {
            annotations.read(line, Place { line: 1, column: 2 })?;
        }
        Ok(annotations)
    }

    #[test]
    fn comments_say_what_a_test_is() {
        let all = read(&[
            " a comment",
            " @name checkout answers",
            " @critical",
            "@safe",
            " @follow",
            " @category Auth",
            " @retry 2 50ms",
            " @tag a, b c",
            " @capture token = jsonpath $.token",
            " @no-log",
        ])
        .unwrap();
        assert_eq!(all.name.as_deref(), Some("checkout answers"));
        assert!(all.is_critical && all.is_safe && all.follows);
        assert_eq!(all.retry, Retry { times: 2, wait: Micros::from_millis(50) });
        assert_eq!((all.tags.len(), all.captures.len()), (3, 1));
        assert_eq!(all.first, Some(Place { line: 1, column: 3 }));
        assert_eq!(read(&[" @retry 1"]).unwrap().retry.wait, WAIT);
    }

    #[test]
    fn time_is_as_said_or_by_category() {
        for (lines, secs) in [
            (vec![], 10),
            (vec!["@category API"], 5),
            (vec!["@category database"], 10),
            (vec!["@category Auth"], 3),
            (vec!["@category Features"], 10),
            (vec!["@category Integrations"], 5),
            (vec!["@category Search"], 10),
            (vec!["@category Auth", "@timeout 7s"], 7),
            (vec!["@timeout 20"], 20),
            (vec!["@timeout 2 m"], 120),
        ] {
            assert_eq!(read(&lines).unwrap().time_limit(), Micros::from_secs(secs), "{lines:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, says, better) in [
            (" @critcal", "nothing is known of '@critcal'", "did you mean @critical?"),
            (" @xyzzyxyzzy", "nothing is known", "known are @name"),
            (" @critical yes", "takes no value", "# @critical"),
            (" @name", "says nothing", "# @name"),
            (" @timeout 0", "is not between", "5s"),
            (" @timeout 11m", "is not between", "5s"),
            (" @timeout soon", "is not a duration", "5s"),
            (" @retry many", "is not 1 to 20 retries", "# @retry"),
            (" @retry 21", "is not 1 to 20 retries", "# @retry"),
            (" @retry 2 61s", "is longer than", "# @retry"),
            (" @retry 2 x", "is not a duration", "# @retry"),
            (" @capture token", "", "jsonpath"),
        ] {
            let wrong = read(&[line]).unwrap_err();
            assert!(wrong.message.contains(says), "{line}: {}", wrong.message);
            assert!(wrong.suggestion.contains(better), "{line}: {}", wrong.suggestion);
            assert_eq!(wrong.place.column, 3, "{line}");
        }
        assert!(read(&["@name a", "@name b"]).unwrap_err().message.contains("already: 'a'"));
    }
}
