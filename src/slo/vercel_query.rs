//! What Vercel Observability is asked: how many requests a filter leaves.
//!
//! Every filter says what a request **is**: those answered well, those fast enough. Whatever it does
//! not find counts against the service. So a name that Vercel does not know finds nothing, which is
//! no data, and never zero errors; and a service without errors needs no rule of its own. For the same
//! reason a filter that says what a request is *not* is refused everywhere: with a misspelled name even
//! the one of all requests would count what was to be left out. No metric and no dimension is known here.

use std::collections::BTreeMap;

use super::manifest::{Endpoint, Origin};
use super::raw::{RawQueries, RawSource};
use super::sample::ALL;
use crate::base::units::Micros;
use crate::base::yaml::{InputError, Spanned};

/// The aggregations that answer a number of requests.
const COUNTING: [&str; 2] = ["count", "sum"];
const LIMIT: &str = "{limit_ms}";
/// Words by which the older language of filters is known.
const ODATA_WORDS: [&str; 7] = ["eq", "ne", "gt", "ge", "lt", "le", "in"];
const ODATA_CALLS: [&str; 3] = ["contains(", "startswith(", "endswith("];

/// A metric that counts requests, and what it is asked of each scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VercelQuery {
    pub(crate) metric: String,
    /// `count` or `sum`.
    pub(crate) aggregation: &'static str,
    /// By scope; `all` is always there.
    pub(crate) scopes: BTreeMap<String, Filters>,
}

/// The filters of one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    /// Which requests it is about; all of them in the scope without any.
    of: Vec<String>,
    good: Option<String>,
    /// With a place for the limit.
    fast: Option<String>,
}

impl Filters {
    /// Of all requests of the scope; nothing where every request of the project counts.
    pub(crate) fn all(&self) -> Option<String> {
        joined(&self.of.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Of those answered well.
    pub(crate) fn good(&self) -> Option<String> {
        self.also(self.good.as_deref()?)
    }

    /// Of those that took at most `limit_us`.
    pub(crate) fn fast(&self, limit_us: u64) -> Option<String> {
        self.also(&self.fast.as_deref()?.replace(LIMIT, &milliseconds(limit_us)))
    }

    fn also(&self, more: &str) -> Option<String> {
        let parts = self.of.iter().map(String::as_str).chain([more]);
        joined(&parts.collect::<Vec<_>>())
    }

    /// What is asked, in lines for people.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let place = |filter: Option<String>| filter.unwrap_or_else(|| "any".to_owned());
        let good = match self.good() {
            Some(filter) => format!("good: {filter}; all others failed"),
            None => "good: not asked, so errors are unknown".to_owned(),
        };
        let fast = match &self.fast {
            Some(fast) => format!("fast: {}; all others were slower", place(self.also(fast))),
            None => "fast: not asked, so latencies are unknown".to_owned(),
        };
        vec![format!("requests: {}", place(self.all())), good, fast]
    }
}

/// All of them have to hold.
fn joined(filters: &[&str]) -> Option<String> {
    match filters {
        [] => None,
        [one] => Some((*one).to_owned()),
        many => Some(many.iter().map(|f| format!("({f})")).collect::<Vec<_>>().join(" AND ")),
    }
}

/// Exactly, without zeros at the end.
fn milliseconds(us: u64) -> String {
    let text = format!("{}.{:03}", us / 1_000, us % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn resolve(
    name: &str,
    raw: &Spanned<RawSource>,
    endpoints: &[Endpoint],
    origin: &Origin<'_>,
) -> Result<VercelQuery, InputError> {
    let given = &raw.value;
    let (Some(metric), Some(aggregation)) = (&given.metric, &given.aggregation) else {
        let missing = if given.metric.is_none() { "metric" } else { "aggregation" };
        return Err(origin.error(raw, format!("source '{name}' has no {missing}")).suggest(
            "write the metric that counts requests and how, such as {type: vercel, metric: \
             vercel.request.count, aggregation: sum}; `vercel metrics schema` lists them",
        ));
    };
    if metric.value.is_empty() || metric.value.chars().any(char::is_whitespace) {
        let message = format!("'{}' is not the id of a metric", metric.value);
        return Err(origin
            .error(metric, message)
            .suggest("write one word such as vercel.request.count"));
    }
    let all = Filters {
        of: checked(given.filter.as_ref(), Says::Which, origin)?.into_iter().collect(),
        good: checked(given.good.as_ref(), Says::Is, origin)?,
        fast: checked(given.fast.as_ref(), Says::WithinLimit, origin)?,
    };
    let mut scopes = BTreeMap::new();
    for (scope, of) in &given.endpoints {
        if !endpoints.iter().any(|endpoint| endpoint.name == *scope) {
            let message = format!("source '{name}' asks for '{scope}', which is no endpoint");
            return Err(origin.error(raw, message).suggest("name it under endpoints first"));
        }
        scopes.insert(scope.clone(), of_endpoint((name, scope), (raw, of), &all, origin)?);
    }
    scopes.insert(ALL.to_owned(), all);
    let Some(aggregation) = COUNTING.into_iter().find(|known| *known == aggregation.value) else {
        let message = format!("'{}' of a metric is no number of requests", aggregation.value);
        return Err(origin
            .error(aggregation, message)
            .suggest("write count or sum, as the metric's own page says"));
    };
    Ok(VercelQuery { metric: metric.value.clone(), aggregation, scopes })
}

fn of_endpoint(
    (name, scope): (&str, &str),
    (raw, of): (&Spanned<RawSource>, &RawQueries),
    all: &Filters,
    origin: &Origin<'_>,
) -> Result<Filters, InputError> {
    let Some(own) = checked(of.filter.as_ref(), Says::Is, origin)? else {
        let message = format!("source '{name}' cannot tell '{scope}' from other endpoints");
        return Err(origin
            .error(raw, message)
            .suggest(format!("write endpoints: {{{scope}: {{filter: DIMENSION:VALUE}}}}")));
    };
    Ok(Filters {
        of: all.of.iter().cloned().chain([own]).collect(),
        good: checked(of.good.as_ref(), Says::Is, origin)?.or_else(|| all.good.clone()),
        fast: checked(of.fast.as_ref(), Says::WithinLimit, origin)?.or_else(|| all.fast.clone()),
    })
}

/// What a filter is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// Which requests count at all.
    Which,
    /// What the requests are that it picks.
    Is,
    /// The same, up to a limit.
    WithinLimit,
}

fn checked(
    filter: Option<&Spanned<String>>,
    says: Says,
    origin: &Origin<'_>,
) -> Result<Option<String>, InputError> {
    let Some(filter) = filter else { return Ok(None) };
    let text = filter.value.trim();
    match mistake(text, says) {
        None => Ok(Some(text.to_owned())),
        Some((problem, right)) => Err(origin.error(filter, problem).suggest(right)),
    }
}

/// The first mistake, and what would be right.
fn mistake(filter: &str, says: Says) -> Option<(&'static str, &'static str)> {
    let Some(plain) = unquoted(filter) else {
        return Some((
            "a quotation mark or a bracket of the filter has no other half",
            "close each of them: DIMENSION:\"VALUE\", (A OR B)",
        ));
    };
    let words: Vec<&str> = plain.split(|c: char| c.is_whitespace() || "()".contains(c)).collect();
    let is_one_of = |known: &[&str]| {
        words.iter().any(|word| known.iter().any(|other| word.eq_ignore_ascii_case(other)))
    };
    let lower = plain.to_ascii_lowercase();
    if filter.is_empty() {
        return Some(("the filter is empty", "remove it, or write DIMENSION:VALUE"));
    }
    if is_one_of(&ODATA_WORDS) || ODATA_CALLS.iter().any(|call| lower.contains(call)) {
        return Some((
            "the filter is written in OData, which Vercel gives up",
            "write it in KQL: DIMENSION:VALUE, DIMENSION >= NUMBER, AND, OR",
        ));
    }
    let negates = |word: &&str| word.starts_with('-') && word[1..].starts_with(char::is_alphabetic);
    if is_one_of(&["not"]) || plain.contains('!') || words.iter().any(negates) {
        return Some((
            "the filter says what a request is not, and a misspelled name would let all of them in",
            "say what it is: DIMENSION < NUMBER, or DIMENSION:VALUE",
        ));
    }
    let before = |(at, _): (usize, &str)| plain[..at].trim_end().trim_end_matches('=');
    let is_slow = plain.match_indices(LIMIT).map(before).any(|text| text.trim_end().ends_with('>'));
    match (says, plain.contains(LIMIT)) {
        (Says::WithinLimit, true) if is_slow => Some((
            "the filter finds the slow requests, and `fast` has to find the others",
            "write DIMENSION <= {limit_ms}",
        )),
        (Says::WithinLimit, false) => Some((
            "the filter names no {limit_ms}",
            "write DIMENSION <= {limit_ms}: it becomes the limit of each objective",
        )),
        (Says::Which | Says::Is, true) => {
            Some(("{limit_ms} stands for a limit on latencies", "write it in `fast` only"))
        }
        _ => None,
    }
}

/// With everything between quotation marks left out, and what is escaped made harmless; nothing where
/// one of them or of the brackets has no other half. An apostrophe is a letter in KQL.
fn unquoted(text: &str) -> Option<String> {
    let (mut is_open, mut is_escaped, mut depth) = (false, false, 0_u32);
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            _ if is_escaped => {
                is_escaped = false;
                plain.extend((!is_open).then_some('_'));
            }
            '\\' => is_escaped = true,
            '"' => {
                is_open = !is_open;
                plain.push(' ');
            }
            _ if is_open => {}
            other => {
                match other {
                    '(' => depth += 1,
                    ')' => depth = depth.checked_sub(1)?,
                    _ => {}
                }
                plain.push(other);
            }
        }
    }
    (!is_open && !is_escaped && depth == 0).then_some(plain)
}

/// How far apart the numbers of a series stand, by the rule of Vercel's own command line client.
pub(crate) fn step(window: Micros) -> Micros {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const STEPS: [(u64, u64); 5] = [
        (HOUR, MINUTE),
        (2 * HOUR, 5 * MINUTE),
        (12 * HOUR, 15 * MINUTE),
        (72 * HOUR, HOUR),
        (720 * HOUR, 4 * HOUR),
    ];
    let fits = STEPS.iter().find(|(longest, _)| window <= Micros::from_secs(*longest));
    Micros::from_secs(fits.map_or(24 * HOUR, |(_, step)| *step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(of: &[&str], good: &str, fast: &str) -> Filters {
        Filters {
            of: of.iter().map(|filter| (*filter).to_owned()).collect(),
            good: Some(good.to_owned()),
            fast: Some(fast.to_owned()),
        }
    }

    #[test]
    fn filters_are_joined_and_the_limit_takes_its_place() {
        let plain = filters(&[], "status < 500", "took <= {limit_ms}");
        assert_eq!(plain.all(), None);
        assert_eq!(plain.good().unwrap(), "status < 500");
        assert_eq!(plain.fast(250_000).unwrap(), "took <= 250");
        let within = filters(&["env:production", "a:1 OR a:2"], "s < 500", "took <= {limit_ms}");
        assert_eq!(within.all().unwrap(), "(env:production) AND (a:1 OR a:2)");
        assert_eq!(
            within.fast(1_500).unwrap(),
            "(env:production) AND (a:1 OR a:2) AND (took <= 1.5)"
        );
        let none = Filters::default();
        assert_eq!((none.all(), none.good(), none.fast(1)), (None, None, None));
        assert!(none.sentences()[1].contains("unknown"), "{none:?}");
        assert_eq!(
            [milliseconds(0), milliseconds(100_000), milliseconds(1)],
            ["0", "100", "0.001"]
        );
    }

    #[test]
    fn a_filter_that_could_let_everything_in_is_refused() {
        use Says::{Is, Which, WithinLimit};
        for (filter, says, problem) in [
            ("status < 500", Is, None),
            ("status:200 OR status:204", Is, None),
            ("path:\"not this! in\" AND status < 500", Is, None),
            ("path:/a-b", Is, None),
            ("path:/a\\(b OR path:\"\\\"NOT\"", Is, None),
            ("(a:1 OR (b:2)) AND took <= {limit_ms}", WithinLimit, None),
            ("NOT path:/health", Which, Some("is not")),
            ("path:it's AND NOT status:500 AND path:it's", Is, Some("is not")),
            ("path:a\\\" AND NOT status:500 AND path:b\\\"", Is, Some("is not")),
            ("path:\"a\"NOT status:500", Is, Some("is not")),
            ("path:\"a AND status < 500", Is, Some("other half")),
            ("status < 500)", Is, Some("other half")),
            ("(status < 500", Which, Some("other half")),
            ("a:1) OR (b:2", Which, Some("other half")),
            ("status < 500\\", Is, Some("other half")),
            ("took > {limit_ms}", WithinLimit, Some("slow requests")),
            ("took >= {limit_ms}", WithinLimit, Some("slow requests")),
            ("took <= {limit_ms}", WithinLimit, None),
            ("", Is, Some("empty")),
            ("NOT status >= 500", Is, Some("is not")),
            ("(not status >= 500)", Is, Some("is not")),
            ("status != 500", Is, Some("is not")),
            ("-status:500", Is, Some("is not")),
            ("NOT took > {limit_ms}", WithinLimit, Some("is not")),
            ("status lt 500", Is, Some("OData")),
            ("startswith(path, '/a')", Which, Some("OData")),
            ("path:\"{limit_ms}\"", WithinLimit, Some("names no {limit_ms}")),
            ("took <= 500", WithinLimit, Some("names no {limit_ms}")),
            ("took <= {limit_ms}", Is, Some("limit on latencies")),
        ] {
            let found = mistake(filter, says).map(|(problem, _)| problem);
            match problem {
                None => assert_eq!(found, None, "{filter}"),
                Some(part) => {
                    assert!(found.is_some_and(|f| f.contains(part)), "{filter}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn steps_are_those_of_the_client() {
        const HOUR: u64 = 3_600;
        for (window, expected) in [
            (300, 60),
            (HOUR, 60),
            (HOUR + 1, 300),
            (6 * HOUR, 900),
            (24 * HOUR, HOUR),
            (30 * 24 * HOUR, 4 * HOUR),
            (90 * 24 * HOUR, 24 * HOUR),
        ] {
            assert_eq!(step(Micros::from_secs(window)), Micros::from_secs(expected), "{window}");
        }
    }
}
