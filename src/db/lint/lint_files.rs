//! Many files at once: each on a thread with room for deep grammars, and the rules that look at all
//! of them as the steps of one release.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::finding::{Findings, Hit};
use super::lint_file;
use super::rules::{self, Release};
use crate::db::sql::source::Source;

/// Grammars recurse; brackets are limited, but operators and joins nest too.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// Lints the files of a release, in the order given. `today` is `YYYY-MM-DD`.
pub(crate) fn lint(release: &Release<'_>, today: &str) -> Findings {
    let sources = release.sources;
    let spanning = rules::spanning(release);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Findings)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(sources.len()) {
            let work = || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(source) = sources.get(at) else { return };
                    let found = lint_one(source, spanning[at].clone(), today);
                    results.lock().expect("no thread panics holding it").push((at, found));
                }
            };
            std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, work)
                .expect("the system starts a thread");
        }
    });
    let mut results = results.into_inner().expect("no thread panics holding it");
    results.sort_by_key(|(at, _)| *at);
    let mut all = Findings::default();
    for (_, found) in results {
        all.findings.extend(found.findings);
        all.waived.extend(found.waived);
    }
    all
}

/// The parser of squawk gives up on some texts by a panic: that is no verdict, so it is an error.
fn lint_one(source: &Source, spanning: Vec<Hit>, today: &str) -> Findings {
    catch_unwind(AssertUnwindSafe(|| lint_file::lint(source, spanning, today))).unwrap_or_else(
        |_| {
            let bad = Some((0, "the parser gave up on this file; cut it into smaller ones"));
            let broken = Source { bad, path: source.path.clone(), text: String::new() };
            lint_file::lint(&broken, Vec::new(), today)
        },
    )
}
