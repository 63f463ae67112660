//! The state file: one atomic JSON file, written before a raise is acknowledged.
//!
//! A missing or unreadable file means all traffic to the configured base, said loudly; a grant
//! that ended while the router was down means base too.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::clock::Timestamp;
use crate::base::{atomic_file, limits};

use super::state::{RouterState, SCHEMA, Upstream};

/// Beside the state in the file, while a grant is under way: microseconds since 1970.
const SAVED_AT: &str = "saved_at";

/// How a state came to be at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Read from the file.
    Stored,
    /// Read from the file, but its grant ended meanwhile: base.
    GrantEnded,
    /// No file: base from the configuration.
    Missing,
    /// A file that cannot be used, and why: base from the configuration.
    Corrupt(String),
}

/// Reads the state, or falls back to `base`. Never fails: a router must serve.
pub(crate) fn load(path: &Path, base: Upstream, now: Timestamp) -> (RouterState, Origin) {
    let bytes = match atomic_file::read_limited(path, limits::INPUT_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return (RouterState::all_base(base), Origin::Missing);
        }
        Err(error) => {
            return (RouterState::all_base(base), Origin::Corrupt(error.to_string()));
        }
    };
    match read(&bytes) {
        Err(reason) => (RouterState::all_base(base), Origin::Corrupt(reason)),
        Ok((state, saved_at)) => {
            let state = within_its_span(state, saved_at, now);
            match state.tick(now) {
                Some(fallen) => (fallen, Origin::GrantEnded),
                None => (state, Origin::Stored),
            }
        }
    }
}

/// A grant lasts no longer than was left of it when it was stored, though the clock was set back
/// since; of a file that does not say when that was, no longer than any grant.
fn within_its_span(state: RouterState, saved_at: Option<Timestamp>, now: Timestamp) -> RouterState {
    let Some(until) = state.grant_until else { return state };
    let longest = now.plus(limits::GRANT_DETACHED_MAX);
    let latest = saved_at.map_or(longest, |at| now.plus_us(until.since_us(at)).min(longest));
    RouterState { grant_until: Some(until.min(latest)), ..state }
}

/// The state, and when it was stored where a grant was under way.
fn read(bytes: &[u8]) -> Result<(RouterState, Option<Timestamp>), String> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let saved_at = value.as_object_mut().and_then(|file| file.remove(SAVED_AT));
    let saved_at = saved_at.map(serde_json::from_value).transpose().map_err(|e| e.to_string())?;
    let state: RouterState = serde_json::from_value(value).map_err(|e| e.to_string())?;
    if state.schema != SCHEMA {
        return Err(format!("schema is '{}', this orca reads '{SCHEMA}'", state.schema));
    }
    let others = [&state.canary, &state.previous];
    for upstream in others.into_iter().flatten().chain([&state.base]) {
        super::pool::Address::parse(&upstream.url).map_err(|e| e.to_string())?;
    }
    let weighted = state.weight.basis_points() > 0;
    if weighted && (state.canary.is_none() || state.grant_until.is_none()) {
        return Err("a weight without a canary or a grant".into());
    }
    Ok((state, saved_at))
}

/// Writes states one after the other, the last one last.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    written: std::sync::Mutex<u64>,
}

impl Store {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, written: std::sync::Mutex::new(0) }
    }

    /// A disk that takes nothing until this is dropped.
    #[cfg(test)]
    pub(super) fn hold(&self) -> std::sync::MutexGuard<'_, u64> {
        self.written.lock().unwrap()
    }

    /// Writes the state with sequence number `order` unless a later one was written already.
    /// `now` is by the clock that its grant ends by.
    pub(crate) fn save(&self, state: &RouterState, order: u64, now: Timestamp) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *written > order {
            return Ok(());
        }
        let mut file = serde_json::to_value(state).map_err(io::Error::other)?;
        // An older router reads a file without it, and such a file has no weight.
        if state.grant_until.is_some() {
            file[SAVED_AT] = now.as_us().into();
        }
        let mut bytes = serde_json::to_vec_pretty(&file).map_err(io::Error::other)?;
        bytes.push(b'\n');
        atomic_file::write(&self.path, &bytes)?;
        *written = order;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::upstream;
    use super::*;
    use crate::base::units::Weight;

    #[test]
    fn a_state_survives_until_its_grant_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let at = Timestamp::from_us;
        assert_eq!(load(&path, upstream("one"), at(0)).1, Origin::Missing);
        let mut state = RouterState::all_base(upstream("one"));
        state.canary = Some(upstream("two"));
        state.weight = Weight::FULL;
        state.grant_until = Some(at(10));
        let store = Store::new(path.clone());
        store.save(&state, 2, at(4)).unwrap();
        store.save(&state.revert(), 1, at(4)).unwrap();
        assert_eq!(load(&path, upstream("zero"), at(9)), (state.clone(), Origin::Stored));
        let (fallen, origin) = load(&path, upstream("zero"), at(10));
        assert_eq!((fallen.weight, origin), (Weight::ZERO, Origin::GrantEnded));
        // The clock was set back: what was left of it is still left, and no more.
        let earlier = load(&path, upstream("zero"), at(-1_000)).0;
        assert_eq!((earlier.weight, earlier.grant_until), (Weight::FULL, Some(at(-994))));
        // A file of a router that did not say when it was stored.
        let mut older = serde_json::to_value(&state).unwrap();
        older["grant_until"] = i64::MAX.into();
        atomic_file::write(&path, older.to_string().as_bytes()).unwrap();
        let most = load(&path, upstream("zero"), at(0)).0.grant_until;
        assert_eq!(most, Some(at(24 * 3_600 * 1_000_000)));
        store.save(&state.revert(), 3, at(4)).unwrap();
        let plain = std::fs::read_to_string(&path).unwrap();
        assert!(!plain.contains(SAVED_AT), "an older router reads it: {plain}");
    }

    /// An older router wrote no `lowered`, and a newer client asks an older router for nothing new:
    /// what is absent is not known, and nothing is guessed for it.
    #[test]
    fn a_state_of_an_older_router_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut old = serde_json::to_value(RouterState::all_base(upstream("one"))).unwrap();
        old["suspended"] = true.into();
        assert!(old.get("lowered").is_none(), "written only where it is known");
        atomic_file::write(&path, old.to_string().as_bytes()).unwrap();
        let (state, origin) = load(&path, upstream("zero"), Timestamp::from_us(0));
        assert_eq!((state.suspended, state.lowered, origin), (true, None, Origin::Stored));
    }

    #[test]
    fn a_file_that_cannot_be_used_means_base() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let good = serde_json::to_value(RouterState::all_base(upstream("two"))).unwrap();
        let with = |key: &str, value: serde_json::Value| {
            let mut changed = good.clone();
            changed[key] = value;
            changed.to_string()
        };
        for text in [
            String::new(),
            "{".into(),
            with("schema", "orca.router-state/v9".into()),
            with("weight", 10_001.into()),
            with("weight", 100.into()),
            with("surprise", true.into()),
            with("base", serde_json::json!({"deployment": "x", "url": "ftp://x"})),
        ] {
            atomic_file::write(&path, text.as_bytes()).unwrap();
            let (state, origin) = load(&path, upstream("one"), Timestamp::from_us(0));
            assert_eq!(state, RouterState::all_base(upstream("one")), "{text}");
            assert!(matches!(origin, Origin::Corrupt(_)), "{text}");
        }
    }
}
