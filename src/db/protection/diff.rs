//! Protection that a change took away, or a door that it opened. Pure.

use super::snapshot::{Snapshot, Subject};
use crate::db::lint::finding::Level;

/// One loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) id: &'static str,
    pub(crate) subject: Subject,
    /// The value that lost it; a loss that is repaired later no longer has it.
    pub(crate) now: String,
    pub(crate) level: Level,
    pub(crate) message: String,
}

/// What `after` lost against `before`.
pub(crate) fn losses(before: &Snapshot, after: &Snapshot) -> Vec<Loss> {
    let mut found = Vec::new();
    for (subject, now) in &after.0 {
        let Some(was) = before.0.get(subject).filter(|was| *was != now) else { continue };
        let Some((id, level, text)) = judge(subject, was, now, after) else { continue };
        let message = format!("{} {}: {text}", subject.kind, subject.name);
        found.push(Loss { id, subject: subject.clone(), now: now.clone(), level, message });
    }
    found.extend(before.0.iter().filter_map(|(subject, was)| {
        let gone =
            subject.attribute == "kind" && was == "restrictive" && !after.0.contains_key(subject);
        let table = subject.name.split(' ').next().unwrap_or_default();
        let message = format!("policy {}: it was restrictive, and is gone", subject.name);
        (gone && after.has("table", table)).then(|| Loss {
            id: "protection.policy-dropped",
            subject: subject.clone(),
            now: String::new(),
            level: Level::Error,
            message,
        })
    }));
    found
}

type Judged = (&'static str, Level, String);

fn judge(subject: &Subject, was: &str, now: &str, after: &Snapshot) -> Option<Judged> {
    let error = |id, text: String| Some((id, Level::Error, text));
    match (subject.kind.as_str(), subject.attribute.as_str()) {
        ("table", "row level security") if now == "off" => {
            error("protection.rls-disabled", "row level security is off now".to_owned())
        }
        ("table", "forced") if now == "off" => {
            error("protection.rls-not-forced", "its owner passes its policies now".to_owned())
        }
        ("view", _) if now == "off" => {
            let text = "security_invoker is gone: it reads as its owner, past row level security";
            error("protection.security-invoker-lost", text.to_owned())
        }
        ("function", "security") if now == "invoker" => {
            let text = "SECURITY DEFINER is gone: it runs as its caller now";
            error("protection.definer-lost", text.to_owned())
        }
        ("function", "search_path") if now == "of the caller" => {
            let of =
                |attribute: &str| Subject { attribute: attribute.to_owned(), ..subject.clone() };
            let definer = after.0.get(&of("security")).is_some_and(|s| s == "definer");
            let text = "its search_path is gone: it finds names on the path of its caller";
            let level = if definer { Level::Error } else { Level::Warning };
            Some(("protection.search-path-lost", level, text.to_owned()))
        }
        ("function", by) if now == "yes" => {
            let role = by.trim_start_matches("execute by ");
            let text = format!("{role} may execute it again, which was revoked");
            error("protection.execute-regained", text)
        }
        ("relation", to) => {
            let role = to.trim_start_matches("grant to ");
            let grown = grown(was, now)?;
            error("protection.grant-widened", format!("{role} may now {grown}"))
        }
        ("default", to) => {
            let role = to.trim_start_matches("grant to ");
            let grown = grown(was, now)?;
            let text = format!("on new objects {role} may now {grown}");
            Some(("protection.default-widened", Level::Warning, text))
        }
        ("policy", attribute) => policy(attribute, was, now),
        _ => None,
    }
}

fn policy(attribute: &str, was: &str, now: &str) -> Option<Judged> {
    let widened = |text: String| Some(("protection.policy-widened", Level::Error, text));
    match attribute {
        "kind" if now == "permissive" => widened("it was restrictive".to_owned()),
        "roles" => grown(was, now).and_then(|roles| widened(format!("it holds for {roles} too"))),
        "command" if now == "*" => widened("it holds for every command now".to_owned()),
        "using" | "check" if now == "true" => {
            widened(format!("its {attribute} condition was {was} and lets every row through now"))
        }
        // Which of two conditions lets more through cannot be told from text.
        "using" | "check" if !was.is_empty() => {
            let text = format!("its {attribute} condition was {was} and is {now}");
            Some(("protection.policy-changed", Level::Warning, text))
        }
        _ => None,
    }
}

/// Words of the list `now` that `was` does not have.
fn grown(was: &str, now: &str) -> Option<String> {
    let had: Vec<&str> = was.split(", ").collect();
    let new: Vec<&str> = now.split(", ").filter(|w| !w.is_empty() && !had.contains(w)).collect();
    (!new.is_empty()).then(|| new.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(facts: &[(&str, &str, &str, &str)]) -> Snapshot {
        let subject = |kind: &str, name: &str, attribute: &str| Subject {
            kind: kind.to_owned(),
            name: name.to_owned(),
            attribute: attribute.to_owned(),
        };
        let facts = facts.iter().map(|(k, n, a, value)| (subject(k, n, a), (*value).to_owned()));
        Snapshot(facts.collect())
    }

    #[test]
    fn each_loss_is_named_in_its_direction_only() {
        for (kind, attribute, was, now, id) in [
            ("table", "row level security", "on", "off", Some("protection.rls-disabled")),
            ("table", "row level security", "off", "on", None),
            ("view", "security_invoker", "on", "off", Some("protection.security-invoker-lost")),
            ("view", "security_invoker", "off", "on", None),
            ("function", "security", "definer", "invoker", Some("protection.definer-lost")),
            ("function", "security", "invoker", "definer", None),
            (
                "function",
                "search_path",
                "\"\"",
                "of the caller",
                Some("protection.search-path-lost"),
            ),
            ("function", "execute by anon", "no", "yes", Some("protection.execute-regained")),
            ("function", "execute by anon", "yes", "no", None),
            (
                "relation",
                "grant to anon",
                "SELECT",
                "INSERT, SELECT",
                Some("protection.grant-widened"),
            ),
            ("relation", "grant to anon", "INSERT, SELECT", "SELECT", None),
            (
                "policy",
                "roles",
                "authenticated",
                "anon, authenticated",
                Some("protection.policy-widened"),
            ),
            ("policy", "using", "(a = b)", "true", Some("protection.policy-widened")),
            ("policy", "using", "(a = b)", "(a = c)", Some("protection.policy-changed")),
            ("policy", "kind", "permissive", "restrictive", None),
        ] {
            let before = snapshot(&[(kind, "public.x p", attribute, was)]);
            let after = snapshot(&[(kind, "public.x p", attribute, now)]);
            let found: Vec<&str> = losses(&before, &after).iter().map(|loss| loss.id).collect();
            assert_eq!(found, id.into_iter().collect::<Vec<_>>(), "{kind} {attribute} {now}");
        }
    }

    #[test]
    fn a_restrictive_policy_that_goes_with_its_table_is_no_loss() {
        let policy = ("policy", "public.a p", "kind", "restrictive");
        let table = ("table", "public.a", "row level security", "on");
        let before = snapshot(&[policy, table]);
        assert_eq!(losses(&before, &snapshot(&[table]))[0].id, "protection.policy-dropped");
        assert!(losses(&before, &snapshot(&[])).is_empty());
    }
}
