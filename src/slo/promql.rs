//! Two mistakes in `PromQL` that answer a number which is not what was meant, found before the query
//! is ever sent.
//!
//! A ratio of series that are not aggregated divides each series by itself: with one percent of
//! errors it answers a hundred. `histogram_quantile` over buckets that are not summed `by (le)`
//! answers one percentile an instance. What this reader cannot read it lets pass: Prometheus itself
//! says what is wrong with it.

/// What is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) problem: String,
    pub(crate) right: &'static str,
}

/// The first mistake of a query.
pub(crate) fn mistake(query: &str) -> Option<Mistake> {
    let tokens = tokens(query)?;
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0 };
    let expression = reader.binary(0)?;
    if reader.at < tokens.len() { None } else { check(&expression) }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Number,
    Text,
    /// `{...}` or `[...]`, whatever stands inside.
    Selector,
    Range,
    Sign(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Number,
    Series,
    /// `keeps_le` tells whether buckets stay apart.
    Aggregate {
        keeps_le: bool,
        of: Vec<Expression>,
    },
    Call {
        name: String,
        of: Vec<Expression>,
    },
    Binary {
        sign: &'static str,
        sides: Box<(Expression, Expression)>,
    },
}

/// Whether buckets stay apart after an aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grouping {
    KeepsLe,
    LosesLe,
}

const AGGREGATES: [&str; 12] = [
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
];
const SIGNS: [&str; 18] = [
    "==", "!=", ">=", "<=", "=~", "!~", "(", ")", ",", "+", "-", "*", "/", "%", "^", ">", "<", "@",
];
const DEPTH_MAX: u32 = 50;

fn tokens(query: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '#' => {
                rest = rest.split_once('\n').map_or("", |(_, after)| after).trim_start();
                continue;
            }
            '{' => (Token::Selector, closing(rest, '}')?),
            '[' => (Token::Range, closing(rest, ']')?),
            '"' | '\'' | '`' => (Token::Text, quoted(rest)?),
            c if c.is_ascii_digit() || c == '.' => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
                (Token::Number, rest.find(|c| !is_part(c)).unwrap_or(rest.len()))
            }
            c if c.is_ascii_alphabetic() || c == '_' || c == ':' => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
                let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// The length of a bracketed stretch, quotes inside skipped.
fn closing(text: &str, end: char) -> Option<usize> {
    let mut at = 1;
    loop {
        let rest = text.get(at..)?;
        let next = rest.chars().next()?;
        at += match next {
            '"' | '\'' | '`' => quoted(rest)?,
            // A placeholder such as {window} inside a range.
            '{' if end == ']' => closing(rest, '}')?,
            c if c == end => return Some(at + 1),
            c => c.len_utf8(),
        };
    }
}

fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The signs of two sides, by how tightly they bind.
const LEVELS: [&[&str]; 6] = [
    &["or"],
    &["and", "unless"],
    &["==", "!=", ">=", "<=", ">", "<"],
    &["+", "-"],
    &["*", "/", "%", "atan2"],
    &["^"],
];

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: u32,
}

impl Reader<'_> {
    fn sign(&self) -> Option<&str> {
        match self.tokens.get(self.at)? {
            Token::Sign(sign) => Some(sign),
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.sign() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn binary(&mut self, level: usize) -> Option<Expression> {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(sign) = signs.iter().find(|sign| self.sign() == Some(**sign)) {
            self.at += 1;
            self.take("bool");
            self.matching()?;
            let right = self.binary(level + 1)?;
            left = Expression::Binary { sign, sides: Box::new((left, right)) };
        }
        Some(left)
    }

    /// `on (...)`, `ignoring (...)`, `group_left (...)`.
    fn matching(&mut self) -> Option<()> {
        for words in [["on", "ignoring"], ["group_left", "group_right"]] {
            if words.iter().any(|word| self.take(word)) && self.sign() == Some("(") {
                self.labels()?;
            }
        }
        Some(())
    }

    fn labels(&mut self) -> Option<Vec<String>> {
        let mut labels = Vec::new();
        if !self.take("(") {
            return None;
        }
        while !self.take(")") {
            match self.tokens.get(self.at)? {
                Token::Word(label) => labels.push(label.clone()),
                Token::Sign(",") => {}
                _ => return None,
            }
            self.at += 1;
        }
        Some(labels)
    }

    fn unary(&mut self) -> Option<Expression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        while self.take("-") || self.take("+") {}
        let found = self.primary()?;
        self.modifiers();
        self.depth -= 1;
        Some(found)
    }

    fn modifiers(&mut self) {
        loop {
            if matches!(self.tokens.get(self.at), Some(Token::Range | Token::Selector)) {
                self.at += 1;
            } else if self.take("offset") || self.take("@") {
                self.take("-");
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn primary(&mut self) -> Option<Expression> {
        let token = self.tokens.get(self.at)?.clone();
        self.at += 1;
        match token {
            Token::Number | Token::Text => Some(Expression::Number),
            Token::Sign("(") => {
                let inner = self.binary(0)?;
                self.take(")").then_some(inner)
            }
            Token::Word(name) if AGGREGATES.contains(&name.as_str()) => self.aggregate(),
            Token::Word(name) if self.sign() == Some("(") => {
                Some(Expression::Call { of: self.arguments()?, name })
            }
            Token::Selector | Token::Word(_) => Some(Expression::Series),
            Token::Range | Token::Sign(_) => None,
        }
    }

    fn aggregate(&mut self) -> Option<Expression> {
        let before = self.grouping()?;
        let of = self.arguments()?;
        let after = self.grouping()?;
        let keeps_le = [before, after].contains(&Grouping::KeepsLe);
        Some(Expression::Aggregate { keeps_le, of })
    }

    fn grouping(&mut self) -> Option<Grouping> {
        let has_le = |labels: Vec<String>| labels.iter().any(|label| label == "le");
        let keeps = if self.take("by") {
            has_le(self.labels()?)
        } else if self.take("without") {
            !has_le(self.labels()?)
        } else {
            false
        };
        Some(if keeps { Grouping::KeepsLe } else { Grouping::LosesLe })
    }

    fn arguments(&mut self) -> Option<Vec<Expression>> {
        let mut of = Vec::new();
        if !self.take("(") {
            return None;
        }
        while !self.take(")") {
            of.push(self.binary(0)?);
            self.take(",");
        }
        Some(of)
    }
}

fn check(expression: &Expression) -> Option<Mistake> {
    match expression {
        Expression::Number | Expression::Series => None,
        Expression::Call { name, of } if name == "histogram_quantile" => {
            let buckets_apart = of.get(1).is_none_or(keeps_le);
            let problem = "histogram_quantile without `by (le)` answers one percentile for each \
                           series, not the service's";
            let right = "sum the buckets: histogram_quantile(0.95, sum by (le) (rate(...[5m])))";
            (!buckets_apart)
                .then(|| Mistake { problem: problem.to_owned(), right })
                .or_else(|| of.iter().find_map(check))
        }
        Expression::Aggregate { of, .. } | Expression::Call { of, .. } => of.iter().find_map(check),
        Expression::Binary { sign, sides } => {
            let (left, right) = sides.as_ref();
            let apart = is_apart(left) || is_apart(right);
            let numbers = is_number(left) || is_number(right);
            if *sign == "/" && apart && !numbers {
                let problem = "this ratio divides each series by itself: with 1 % of errors it \
                               answers 100 %";
                let right = "aggregate both sides: sum(rate(...)) / sum(rate(...))";
                return Some(Mistake { problem: problem.to_owned(), right });
            }
            check(left).or_else(|| check(right))
        }
    }
}

/// Whether it still has one value for each series of the target.
fn is_apart(expression: &Expression) -> bool {
    match expression {
        Expression::Number | Expression::Aggregate { .. } => false,
        Expression::Series => true,
        Expression::Call { name, of } => {
            !matches!(name.as_str(), "scalar" | "vector" | "time") && of.iter().any(is_apart)
        }
        Expression::Binary { sides, .. } => is_apart(&sides.0) || is_apart(&sides.1),
    }
}

fn is_number(expression: &Expression) -> bool {
    match expression {
        Expression::Number => true,
        Expression::Series | Expression::Aggregate { .. } => false,
        Expression::Call { name, .. } => matches!(name.as_str(), "scalar" | "time"),
        Expression::Binary { sides, .. } => is_number(&sides.0) && is_number(&sides.1),
    }
}

fn keeps_le(expression: &Expression) -> bool {
    match expression {
        Expression::Aggregate { keeps_le, .. } => *keeps_le,
        Expression::Binary { sides, .. } => keeps_le(&sides.0) || keeps_le(&sides.1),
        Expression::Call { of, .. } => of.iter().any(keeps_le),
        Expression::Number | Expression::Series => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_mistakes_and_what_is_right() {
        let ratio = "ratio divides each series";
        let quantile = "without `by (le)`";
        for (query, expected) in [
            (r#"rate(x{status=~"5.."}[5m]) / rate(x[5m]) * 100"#, Some(ratio)),
            ("x / y", Some(ratio)),
            ("100 * (x - y) / y", Some(ratio)),
            ("sum(rate(x[5m])) / rate(y[5m])", Some(ratio)),
            ("x / on (job) group_left (team) y", Some(ratio)),
            ("1 - a / b", Some(ratio)),
            ("max(x / y)", Some(ratio)),
            (r#"sum(rate(x{status=~"5.."}[5m])) / sum(rate(x[5m])) * 100"#, None),
            ("sum by (job) (rate(x[5m])) / sum(rate(y[5m])) by (job)", None),
            ("rate(x[5m]) / 100", None),
            ("x / scalar(sum(y))", None),
            ("(sum(x) or vector(0)) / sum(x)", None),
            (r#"sum(rate(x{path="/a/b"}[5m]))"#, None),
            ("histogram_quantile(0.95, rate(x_bucket[5m]))", Some(quantile)),
            ("histogram_quantile(0.95, sum(rate(x_bucket[5m])))", Some(quantile)),
            ("histogram_quantile(0.95, sum by (job) (rate(x_bucket[5m])))", Some(quantile)),
            ("histogram_quantile(0.95, sum without (le) (rate(x_bucket[5m])))", Some(quantile)),
            ("1000 * histogram_quantile(0.95, rate(x_bucket[5m]))", Some(quantile)),
            ("histogram_quantile(0.95, sum by (le) (rate(x_bucket[{window}])))", None),
            ("histogram_quantile(0.95, sum(rate(x_bucket[5m])) by (job, le))", None),
            ("histogram_quantile(0.95, sum without (pod) (rate(x_bucket[5m] offset 1w)))", None),
            // Not PromQL: Prometheus says so itself.
            ("sum(", None),
            ("x{ / y", None),
            ("", None),
        ] {
            let seen = mistake(query);
            assert_eq!(seen.is_some(), expected.is_some(), "{query}: {seen:?}");
            if let (Some(seen), Some(part)) = (seen, expected) {
                assert!(seen.problem.contains(part), "{query}: {seen:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(query in "[a-c(){}\\[\\]/+,0-9\"'\\\\ é-]{0,40}") {
            let _ = mistake(&query);
        }
    }
}
