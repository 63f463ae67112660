//! A git remote and its clones in memory, with compare-and-swap, and everything that can happen to
//! a process that writes there: the disk is full, the push is refused or its answer lost, the
//! process dies before or after any effect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::orca::Orca;
use super::world::World;
use crate::base::digest::Digest;
use crate::base::ids::{Environment, OrcaId};
use crate::ledger::entry::ExhibitRef;
use crate::ledger::ports::{
    Held, Pending, Remote, Result, Side, Storage, StorageError, Stored, StoredLease, Swap, Tip,
    ToStore,
};

/// One stored entry.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) parent: Option<String>,
    depth: u64,
    entry: Vec<u8>,
    exhibits: BTreeMap<Digest, Vec<u8>>,
    /// As the world reads it, without the code under test.
    pub(super) says: Arc<Value>,
}

type Leases = BTreeMap<String, (String, Vec<u8>)>;

#[derive(Debug, Default)]
pub(super) struct CloneOf {
    /// Whether anybody works here.
    pub(super) used: bool,
    pub(super) tip: Option<String>,
    fetched: Option<String>,
    high_water: Option<String>,
    here: Leases,
    there: Leases,
    pub(super) pending: BTreeMap<PathBuf, Vec<u8>>,
    beside: BTreeMap<Digest, Vec<u8>>,
    pub(super) tags: BTreeSet<(String, String)>,
}

#[derive(Debug, Default)]
pub(super) struct Git {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) clones: Vec<CloneOf>,
    pub(super) has_remote: bool,
    pub(super) remote_tip: Option<String>,
    pub(super) remote_leases: Leases,
    pub(super) remote_tags: BTreeSet<(String, String)>,
}

impl Git {
    pub(super) fn used(&self) -> impl Iterator<Item = &CloneOf> {
        self.clones.iter().filter(|clone| clone.used)
    }

    /// The entries of a chain as JSON, newest first.
    pub(super) fn chain(&self, tip: Option<&String>) -> Vec<Arc<Value>> {
        let mut entries = Vec::new();
        let mut next = tip;
        while let Some(object) = next.and_then(|tip| self.objects.get(tip)) {
            entries.push(Arc::clone(&object.says));
            next = object.parent.as_ref();
        }
        entries
    }

    fn goes_on_from(&self, tip: &str, ancestor: &str) -> bool {
        let Some(wanted) = self.objects.get(ancestor).map(|o| o.depth) else { return false };
        let mut at = tip;
        while let Some(object) = self.objects.get(at) {
            if object.depth <= wanted {
                return at == ancestor;
            }
            match &object.parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        false
    }
}

/// What becomes of one write.
enum Fate {
    Works,
    Fails,
    /// It works, and the answer is an error.
    WorksUnheard,
    DiesAfter,
}

pub(super) struct SimStorage {
    pub(super) orca: Orca,
}

struct Nothing;
impl Held for Nothing {}

fn not_written(what: &str) -> StorageError {
    StorageError::NotWritten { what: what.to_owned(), detail: "no space left".to_owned() }
}

fn unavailable() -> StorageError {
    StorageError::RemoteUnavailable { remote: "origin".into(), detail: "no route".into() }
}

impl SimStorage {
    fn living(&self) -> Result<()> {
        if self.orca.dead.is_cancelled() {
            Err(not_written("anything, being dead"))
        } else {
            Ok(())
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut World, usize) -> T) -> Result<T> {
        self.living()?;
        Ok(look(&mut self.orca.lock(), self.orca.clone))
    }

    /// Whether the process dies here; then nothing of it has an effect any more.
    fn dies(&self, world: &mut World, place: &str, when: &str) -> bool {
        let chance = world.luck.deaths;
        let dies = world.misfortune(place, chance, &format!("the process dies {when}"));
        if dies {
            self.orca.dead.cancel();
        }
        dies
    }

    fn fate(&self, world: &mut World, call: &str, remote: bool) -> Result<Fate> {
        let who = &self.orca.name;
        let place = world.place(who, call);
        if self.dies(world, &place, "before it") {
            return Err(not_written("anything, being dead"));
        }
        if remote && !world.reaches_remote(self.orca.clone) {
            world.audit.disk_trouble(who);
            return Ok(Fate::Fails);
        }
        let luck = world.luck;
        let chance = if remote { luck.remote } else { luck.disk };
        if world.misfortune(&place, chance, "it fails") {
            world.audit.disk_trouble(who);
            return Ok(Fate::Fails);
        }
        if remote && world.misfortune(&place, luck.remote, "it works and its answer is lost") {
            world.audit.disk_trouble(who);
            return Ok(Fate::WorksUnheard);
        }
        if self.dies(world, &place, "after it") {
            return Ok(Fate::DiesAfter);
        }
        Ok(Fate::Works)
    }

    /// Does one write as its fate has it.
    fn write_as_fated<T>(
        &self,
        (call, remote): (&str, bool),
        effect: impl FnOnce(&mut World, usize) -> T,
    ) -> Result<T> {
        self.living()?;
        let mut world = self.orca.lock();
        let failed = || if remote { unavailable() } else { not_written(call) };
        match self.fate(&mut world, call, remote)? {
            Fate::Fails => Err(failed()),
            Fate::Works => Ok(effect(&mut world, self.orca.clone)),
            Fate::WorksUnheard | Fate::DiesAfter => {
                let _ = effect(&mut world, self.orca.clone);
                Err(failed())
            }
        }
    }
}

/// An entry as the world reads it; a fact inside a carrier as the fact.
fn read(entry: &[u8]) -> Value {
    let says: Value = serde_json::from_slice(entry).expect("an entry is JSON");
    let carried = says["body"]["says"]["entry_base64"].as_str();
    let carried = carried.and_then(|text| STANDARD.decode(text).ok());
    match carried.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        Some(original) => original,
        None => says,
    }
}

impl Storage for SimStorage {
    fn lock(&self, _: Duration) -> Result<Box<dyn Held>> {
        self.living()?;
        Ok(Box::new(Nothing))
    }

    fn tip(&self) -> Result<Option<Tip>> {
        self.with(|world, clone| world.git.clones[clone].tip.clone().map(Tip))
    }

    fn read(&self, tip: &Tip, after: Option<&Tip>) -> Result<Vec<Stored>> {
        self.with(|world, _| {
            let mut entries = Vec::new();
            let mut next = Some(&tip.0);
            while let Some(at) = next.filter(|at| Some(*at) != after.map(|tip| &tip.0)) {
                let object = &world.git.objects[at];
                let (tip, entry) = (Tip(at.clone()), object.entry.clone());
                entries.push(Stored { tip, entry, dsse: None });
                next = object.parent.as_ref();
            }
            entries.reverse();
            entries
        })
    }

    fn write(&self, parent: Option<&Tip>, new: &ToStore<'_>) -> Result<Tip> {
        self.write_as_fated(("write", false), |world, _| {
            let parent = parent.map(|tip| tip.0.clone());
            let named = [parent.as_deref().unwrap_or("").as_bytes(), new.entry].concat();
            let tip = Digest::of(&named).hex();
            let depth = parent.as_ref().map_or(0, |p| world.git.objects[p].depth + 1);
            let says = Arc::new(read(new.entry));
            let exhibits =
                new.exhibits.iter().map(|(r, bytes)| (r.sha256, bytes.clone())).collect();
            let entry = new.entry.to_vec();
            let object = Object { parent, depth, entry, exhibits, says };
            world.git.objects.insert(tip.clone(), object);
            Tip(tip)
        })
    }

    fn advance(&self, expected: Option<&Tip>, to: &Tip) -> Result<Swap> {
        self.write_as_fated(("advance", false), |world, clone| {
            let own = &mut world.git.clones[clone];
            if own.tip.as_ref() != expected.map(|tip| &tip.0) {
                return Swap::Lost;
            }
            own.tip = Some(to.0.clone());
            let says = Arc::clone(&world.git.objects[&to.0].says);
            world.audit.kept(&self.orca.name, &says);
            Swap::Done
        })
    }

    fn exhibit(&self, tip: &Tip, exhibit: &ExhibitRef) -> Result<Option<Vec<u8>>> {
        self.with(|world, clone| {
            let beside = world.git.clones[clone].beside.get(&exhibit.sha256);
            let object = world.git.objects.get(&tip.0);
            object.and_then(|o| o.exhibits.get(&exhibit.sha256)).or(beside).cloned()
        })
    }

    fn put_beside(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        self.write_as_fated(("put_beside", false), |world, clone| {
            world.git.clones[clone].beside.insert(*digest, bytes.to_vec());
        })
    }

    fn descends(&self, tip: &Tip, ancestor: &Tip) -> Result<bool> {
        self.with(|world, _| world.git.goes_on_from(&tip.0, &ancestor.0))
    }

    fn common(&self, a: &Tip, b: &Tip) -> Result<Option<Tip>> {
        self.with(|world, _| {
            let mut at = Some(&a.0);
            while let Some(tip) = at.filter(|tip| !world.git.goes_on_from(&b.0, tip)) {
                at = world.git.objects[tip].parent.as_ref();
            }
            at.cloned().map(Tip)
        })
    }

    fn keep_lost(&self, _: &Tip) -> Result<()> {
        self.living()
    }

    fn high_water(&self) -> Result<Option<Tip>> {
        self.with(|world, clone| world.git.clones[clone].high_water.clone().map(Tip))
    }

    fn set_high_water(&self, tip: &Tip) -> Result<()> {
        self.write_as_fated(("high_water", false), |world, clone| {
            world.git.clones[clone].high_water = Some(tip.0.clone());
        })
    }

    fn pending(&self) -> Result<Vec<Pending>> {
        self.with(|world, clone| {
            let pending = &world.git.clones[clone].pending;
            pending
                .iter()
                .map(|(file, bytes)| Pending { file: file.clone(), bytes: bytes.clone() })
                .collect()
        })
    }

    fn put_pending(&self, id: &OrcaId, bytes: &[u8]) -> Result<PathBuf> {
        self.write_as_fated(("put_pending", false), |world, clone| {
            let file = PathBuf::from(format!("{id}.json"));
            let says = serde_json::from_slice(bytes).expect("an entry is JSON");
            world.audit.kept(&self.orca.name, &says);
            world.git.clones[clone].pending.insert(file.clone(), bytes.to_vec());
            file
        })
    }

    fn drop_pending(&self, pending: &Pending) -> Result<()> {
        self.write_as_fated(("drop_pending", false), |world, clone| {
            world.git.clones[clone].pending.remove(&pending.file);
        })
    }

    fn has_remote(&self) -> bool {
        self.orca.lock().git.has_remote
    }

    fn fetch(&self) -> Result<Remote> {
        self.write_as_fated(("fetch", true), |world, clone| {
            let git = &mut world.git;
            git.clones[clone].fetched.clone_from(&git.remote_tip);
            git.clones[clone].there.clone_from(&git.remote_leases);
        })?;
        self.fetched()
    }

    fn fetched(&self) -> Result<Remote> {
        self.with(|world, clone| {
            if !world.git.has_remote {
                return Remote::None;
            }
            let fetched = world.git.clones[clone].fetched.clone();
            fetched.map_or(Remote::Empty, |tip| Remote::At(Tip(tip)))
        })
    }

    fn push(&self, tip: &Tip) -> Result<Swap> {
        self.write_as_fated(("push", true), |world, clone| {
            let git = &mut world.git;
            let goes_on = match &git.remote_tip {
                Some(there) => git.goes_on_from(&tip.0, there),
                None => true,
            };
            if !goes_on {
                return Swap::Lost;
            }
            git.remote_tip = Some(tip.0.clone());
            git.clones[clone].fetched = Some(tip.0.clone());
            Swap::Done
        })
    }

    fn lease(&self, environment: &Environment, side: Side) -> Result<Option<StoredLease>> {
        self.with(|world, clone| {
            let own = &world.git.clones[clone];
            let leases = if side == Side::Here { &own.here } else { &own.there };
            let found = leases.get(environment.as_str()).cloned();
            found.map(|(version, bytes)| StoredLease { version, bytes })
        })
    }

    fn leases(&self) -> Result<Vec<Environment>> {
        self.with(|world, clone| {
            let here = world.git.clones[clone].here.keys();
            here.filter_map(|name| Environment::new(name.clone()).ok()).collect()
        })
    }

    fn swap_lease(
        &self,
        environment: &Environment,
        side: Side,
        expected: Option<&str>,
        bytes: &[u8],
    ) -> Result<Swap> {
        let there = side == Side::There;
        let call = if there { "swap_lease_there" } else { "swap_lease_here" };
        self.write_as_fated((call, there), |world, clone| {
            let name = environment.as_str().to_owned();
            let stored = (Digest::of(bytes).hex(), bytes.to_vec());
            let git = &mut world.git;
            let leases = if there { &mut git.remote_leases } else { &mut git.clones[clone].here };
            if leases.get(&name).map(|(version, _)| version.as_str()) != expected {
                return Swap::Lost;
            }
            leases.insert(name.clone(), stored.clone());
            if there {
                git.clones[clone].there.insert(name, stored);
                world.audit.lease_taken(&self.orca.name, bytes);
            }
            Swap::Done
        })
    }
}
