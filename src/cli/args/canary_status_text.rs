//! `orca canary status` for people: one screen, 60 columns wide, the answer first.

use super::canary_status::{ArmsDocument, PlatformDocument, StageDocument, StatusDocument};
use crate::cli::render::table::wrap;

const COLUMNS: usize = 60;
const LABEL: usize = 10;

/// The screen.
pub(super) fn text(status: &StatusDocument) -> String {
    let mut screen = Screen::default();
    screen.lines(0, &headline(status));
    if let Some(rollout) = &status.rollout {
        screen.row("rollout", &rollout.id);
        let short: String = rollout.commit.chars().take(9).collect();
        screen.row("version", &format!("{} (commit {short})", rollout.deployment));
        screen.row("base", &rollout.base);
        if let Some(paused) = &rollout.paused {
            screen.row("paused", paused);
        }
        for advanced in &rollout.advanced {
            screen.row("advanced", advanced);
        }
        screen.row("started", &format!("{} by {}", rollout.started_at, rollout.started_by));
    }
    if let Some(stage) = status.stage.as_ref().filter(|_| !is_complete(status)) {
        of_stage(&mut screen, stage);
    }
    of_driver(&mut screen, status);
    of_platform(&mut screen, &status.platform);
    match (&status.ledger.unread, &status.ledger.stale) {
        (Some(why), _) => screen.row("ledger", &format!("not read: {why}")),
        (None, Some(why)) => screen.row("ledger", &format!("may be old: {why}")),
        (None, None) => {}
    }
    if let Some(last) = &status.last {
        screen.row("last", last);
    }
    screen.0
}

fn is_complete(status: &StatusDocument) -> bool {
    status.rollout.as_ref().is_some_and(|rollout| rollout.complete)
}

fn headline(status: &StatusDocument) -> String {
    let Some(rollout) = &status.rollout else {
        return format!("no canary is under way in {}", status.environment);
    };
    let release = &rollout.release;
    if rollout.complete {
        return format!("canary of {release} is complete, not promoted yet");
    }
    let stage = status.stage.as_ref().map_or_else(String::new, |stage| {
        let waits = if stage.since.is_none() { "waits for " } else { "" };
        format!(": {waits}stage {} of {} at {}", stage.number, stage.of, percent(stage.weight_bp))
    });
    format!("canary of {release}{stage}")
}

fn of_stage(screen: &mut Screen, stage: &StageDocument) {
    if let Some(since) = &stage.since {
        screen.row("since", since);
    }
    match stage.bake_left_us {
        Some(0) => screen.row("bake", &format!("over: {} have passed", span(stage.bake_us))),
        Some(left) => {
            screen.row("bake", &format!("{} left of {}", span(left), span(stage.bake_us)));
        }
        None => {}
    }
    for (name, arms) in [("users", &stage.users), ("probes", &stage.probes)] {
        if let Some(arms) = arms.as_ref().filter(|arms| name == "users" || came(arms)) {
            let of = |count: &super::canary_status::CountDocument| {
                format!("{} requests, {} failed", count.requests, count.errors)
            };
            screen.row(name, &format!("base    {}", of(&arms.base)));
            screen.row("", &format!("canary  {}", of(&arms.canary)));
        }
    }
    if let Some(throughput) = &stage.throughput {
        screen.row("arrived", throughput);
    }
    if let Some(verdict) = &stage.verdict {
        let would = match verdict.would {
            "go_on" => "it would go on",
            "go_back" => "it would go back",
            _ => "it would hold",
        };
        screen.row("so far", &format!("{would}: {}", verdict.headline));
    }
    if let Some(decided) = &stage.decided {
        screen.row("decided", decided);
    }
    if let Some(unknown) = &stage.unknown {
        screen.row("unknown", unknown);
    }
}

fn came(arms: &ArmsDocument) -> bool {
    arms.base.requests > 0 || arms.canary.requests > 0
}

fn of_driver(screen: &mut Screen, status: &StatusDocument) {
    let Some(driver) = &status.driver else {
        if status.rollout.is_some() {
            screen.row("driver", "nobody holds the lease");
        }
        return;
    };
    let every = status.stage.as_ref().and_then(|stage| stage.every_us);
    let holder = driver.holder.as_deref().unwrap_or("nobody");
    if driver.attends {
        screen.row("driver", &format!("{holder}, until {}", driver.until));
    } else if let Some(every) = every {
        screen.row("driver", &format!("canary tick, every {}", span(every)));
    } else if status.rollout.is_some() {
        let text = match &driver.holder {
            Some(holder) => format!("nobody; the lease of {holder} ended at {}", driver.until),
            None => format!("nobody since {}", driver.until),
        };
        screen.row("driver", &text);
    }
}

fn of_platform(screen: &mut Screen, platform: &PlatformDocument) {
    if let Some(why) = &platform.unseen {
        screen.row("platform", &format!("NOT SEEN: {why}"));
        return;
    }
    let weight = platform.weight_bp.map_or_else(String::new, percent);
    let shown = match (&platform.base, &platform.canary) {
        (Some(base), Some(canary)) => format!("{weight} on {canary}, the rest on {base}"),
        (Some(base), None) => format!("everything on {base}"),
        (None, _) => "nothing serves".to_owned(),
    };
    screen.row("platform", &shown);
    if let (Some(until), Some(left)) = (&platform.grant_until, platform.grant_left_us) {
        screen.row("grant", &format!("until {until}, {} left", span(left)));
    }
}

fn percent(basis_points: u16) -> String {
    format!("{} %", f64::from(basis_points) / 100.0)
}

/// The two largest units: `2 h 5 m`, `48 s`.
pub(super) fn span(us: u64) -> String {
    let secs = us / 1_000_000;
    let parts =
        [(secs / 86_400, "d"), (secs / 3_600 % 24, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
    let shown: Vec<String> = parts
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

#[derive(Default)]
struct Screen(String);

impl Screen {
    fn row(&mut self, label: &str, value: &str) {
        let label = if label.is_empty() { String::new() } else { format!("{label}:") };
        self.0.push_str(&format!("{label:<LABEL$}"));
        self.lines(LABEL, value);
    }

    /// The value from here on; its further lines stand below it.
    fn lines(&mut self, indent: usize, value: &str) {
        let room = COLUMNS - indent;
        let fits = value.chars().count() <= room;
        let lines = if fits { vec![value.to_owned()] } else { wrap(value, room) };
        self.0.push_str(&lines.join(&format!("\n{}", " ".repeat(indent))));
        self.0.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (us, shown) in [
            (0, "0 s"),
            (999_999, "0 s"),
            (48_000_000, "48 s"),
            (60_000_000, "1 m"),
            (7_500_000_000, "2 h 5 m"),
            (90_061_000_000, "1 d 1 h"),
        ] {
            assert_eq!(span(us), shown);
        }
    }

    #[test]
    fn the_screen_is_sixty_columns_wide() {
        let mut screen = Screen::default();
        let text = "the router at 127.0.0.1:9000 is unavailable: no connection in two seconds";
        screen.row("platform", text);
        assert!(screen.0.lines().count() > 1 && screen.0.lines().all(|line| line.len() <= 60));
        assert!(screen.0.lines().nth(1).unwrap().starts_with("          "));
    }
}
