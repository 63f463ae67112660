//! What a restore check means. Pure.

use super::compare::{ComparedTable, Difference};
use crate::base::units::Micros;
use crate::gate::verdict::Verdict;

/// What a restore showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) tables: &'a [ComparedTable],
    pub(crate) differences: &'a [Difference],
    /// What `pg_restore` complained about.
    pub(crate) errors: &'a [String],
    /// Extensions that stand-ins took the place of, and those that are missing; all of them, and
    /// whether somebody accepted each.
    pub(crate) substitutes: &'a [String],
    pub(crate) accepted: &'a [String],
    pub(crate) rto: Micros,
    pub(crate) age: Micros,
    pub(crate) rto_max: Option<Micros>,
    pub(crate) age_max: Option<Micros>,
}

/// The verdict and its one sentence.
pub(crate) fn judge(shown: &Shown<'_>) -> (Verdict, String) {
    let unequal = shown.tables.iter().filter(|t| !t.equal);
    let (lost, gone): (Vec<_>, Vec<_>) = unequal.partition(|t| t.restored_rows.is_some());
    let weakened = !shown.substitutes.is_empty();
    // Without its extension an object cannot come back; that says nothing about the backup.
    let broken = gone.len() + shown.differences.len() + shown.errors.len();
    let open = shown.substitutes.iter().any(|name| !shown.accepted.contains(name));
    let late = |limit: Option<Micros>, is: Micros| limit.filter(|limit| is > *limit);
    match () {
        () if !lost.is_empty() => {
            let names: Vec<&str> = lost.iter().map(|t| t.name.as_str()).collect();
            (Verdict::Fail, format!("the rows of {} came back otherwise", some(&names)))
        }
        () if !weakened && !gone.is_empty() => {
            let names: Vec<&str> = gone.iter().map(|t| t.name.as_str()).collect();
            (Verdict::Fail, format!("{} did not come back", some(&names)))
        }
        () if !weakened && broken > 0 => {
            let what: Vec<String> =
                shown.differences.iter().map(|d| format!("{} {}", d.kind, d.name)).collect();
            let what: Vec<&str> = what.iter().map(String::as_str).collect();
            let text = match what.as_slice() {
                [] => "every row came back, and pg_restore reported errors".to_owned(),
                what => format!("every row came back, but not as it was: {}", some(what)),
            };
            (Verdict::Fail, text)
        }
        () if shown.tables.is_empty() => {
            (Verdict::Inconclusive, "the backup holds no table, so it proves nothing".to_owned())
        }
        () if open || broken > 0 => {
            let names: Vec<&str> = shown.substitutes.iter().map(String::as_str).collect();
            let text = format!(
                "every row that could come back did; the server here lacks the extensions {}",
                some(&names)
            );
            (Verdict::Inconclusive, text)
        }
        () => match (late(shown.age_max, shown.age), late(shown.rto_max, shown.rto)) {
            (Some(limit), _) => {
                let text = format!("the backup is {} old, and may be {limit}", shown.age);
                (Verdict::Fail, text)
            }
            (None, Some(limit)) => {
                let text = format!("the restore took {}, and may take {limit}", shown.rto);
                (Verdict::Fail, text)
            }
            (None, None) => passed(shown, weakened),
        },
    }
}

fn passed(shown: &Shown<'_>, weakened: bool) -> (Verdict, String) {
    let rows: u64 = shown.tables.iter().map(|t| t.rows).sum();
    let text = format!("{} tables with {rows} rows came back as they were", shown.tables.len());
    (if weakened { Verdict::Waived } else { Verdict::Pass }, text)
}

/// The first few of many.
fn some(names: &[&str]) -> String {
    let shown = names.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(3) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: u64, restored_rows: Option<u64>) -> ComparedTable {
        let equal = restored_rows == Some(rows);
        ComparedTable { name: format!("t{rows}"), rows, restored_rows, equal }
    }

    fn is(shown: Shown<'_>) -> Verdict {
        judge(&shown).0
    }

    #[test]
    fn every_outcome() {
        let good = [table(1, Some(1)), table(0, Some(0))];
        let (lost, gone) = ([table(1, Some(1)), table(2, Some(1))], [table(2, None)]);
        let differences = [Difference {
            kind: "policy".into(),
            name: "p".into(),
            before: Some("x".into()),
            after: None,
        }];
        let (errors, names) = (["error".to_owned()], ["pg_net".to_owned()]);
        let plain = Shown {
            tables: &good,
            differences: &[],
            errors: &[],
            substitutes: &[],
            accepted: &[],
            rto: Micros(10),
            age: Micros(20),
            rto_max: Some(Micros(10)),
            age_max: Some(Micros(20)),
        };
        let weak = Shown { substitutes: &names, ..plain };
        for (shown, verdict) in [
            (plain, Verdict::Pass),
            (Shown { rto_max: None, age_max: None, ..plain }, Verdict::Pass),
            (Shown { rto: Micros(11), ..plain }, Verdict::Fail),
            (Shown { age: Micros(21), ..plain }, Verdict::Fail),
            (Shown { tables: &[], ..plain }, Verdict::Inconclusive),
            (Shown { tables: &lost, ..plain }, Verdict::Fail),
            (Shown { tables: &gone, ..plain }, Verdict::Fail),
            (Shown { differences: &differences, ..plain }, Verdict::Fail),
            (Shown { errors: &errors, ..plain }, Verdict::Fail),
            (weak, Verdict::Inconclusive),
            (Shown { tables: &lost, ..weak }, Verdict::Fail),
            (Shown { tables: &gone, ..weak }, Verdict::Inconclusive),
            (Shown { accepted: &names, ..weak }, Verdict::Waived),
            (Shown { accepted: &names, age: Micros(21), ..weak }, Verdict::Fail),
            (Shown { accepted: &names, errors: &errors, ..weak }, Verdict::Inconclusive),
        ] {
            assert_eq!(is(shown), verdict, "{shown:?}");
        }
    }
}
