#!/usr/bin/env bash
# break-rules.sh [COUNT [WORD]]: breaks each rule of the rollout in the code once, in a copy, and asks
# whether the simulation finds it within COUNT schedules (20,000 unless given), and after how many. With
# WORD only the rules whose names hold it.
# A rule whose break is not found, or whose place in the code has moved, ends this with 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
count=${1:-20000}
only=${2:-}
profile=${PROFILE:-quick}

copy=$(mktemp -d)
trap 'git worktree remove --force "$copy/code"; rm -rf "$copy"' EXIT
git worktree add --quiet --detach "$copy/code" HEAD
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
cd "$copy/code"
missed=0

# break_rule NAME FILE FROM TO [FILE FROM TO]...: each FROM stands in its FILE exactly once.
break_rule() {
    local name=$1
    shift
    [[ $name == *"$only"* ]] || return 0
    while (($#)); do
        FROM=$2 TO=$3 perl -0pi -e '$n = () = /\Q$ENV{FROM}\E/g; die "$ARGV: found $n times: $ENV{FROM}\n" if $n != 1;
            s/\Q$ENV{FROM}\E/$ENV{TO}/' "$1"
        shift 3
    done
    local said
    said=$(ORCA_SCHEDULES=$count ORCA_SEED_FROM=1 \
        cargo test --locked --quiet --profile "$profile" --lib simulation::tests::no_schedule 2>&1 || true)
    local found
    found=$(grep -oE 'schedule [0-9]+ of [0-9]+' <<<"$said" | head -1 || true)
    local rule
    rule=$(grep -A1 -E 'seed [0-9]+ breaks:' <<<"$said" | tail -1 | sed 's/^ *//' || true)
    if [[ -n $found ]]; then
        printf '%-42s %s: %s\n' "$name" "$found" "$rule"
    else
        printf '%-42s NOT FOUND\n%s\n' "$name" "$(tail -5 <<<"$said")"
        missed=1
    fi
    git checkout --quiet -- .
}

break_rule "a failed stage goes on" src/rollout/step.rs \
    'let decision = decide(plan.stages[index].decide_by, &judged);' \
    'let decision = match decide(plan.stages[index].decide_by, &judged) { Decision::Back => Decision::Proceed, d => d };'
# One line is not enough here: without the ruling of its stage there is no clearance for the next.
break_rule "an undecided stage goes on" src/verbs/canary/clear.rs \
    'requirements.extend_from_slice(self.stages);' \
    'requirements.extend(self.stages.iter().filter(|_| false).cloned());' \
    src/rollout/step.rs \
    'let decision = decide(plan.stages[index].decide_by, &judged);' \
    'let decision = match decide(plan.stages[index].decide_by, &judged) { Decision::Hold => Decision::Proceed, d => d };'
# The router has two locks against a sleeper; either is enough, so both are opened.
break_rule "a stale epoch is obeyed" src/router/state.rs \
    'if given < self.epoch {' 'if given > u64::MAX - 1 {' \
    src/router/state.rs \
    'if expected.generation == self.generation {' 'if expected.generation <= self.generation {'
break_rule "a grant never ends" src/router/state.rs \
    'self.grant_until.is_some_and(|until| now < until);' 'self.grant_until.is_some_and(|until| now < until || until > Timestamp::default());'
break_rule "an old proof is good" src/gate/phase.rs \
    '.map(|c| c.observed_at.plus_us(i64::try_from(c.max_age_us).unwrap_or(i64::MAX)))' \
    '.map(|c| c.observed_at.plus_us(i64::try_from(c.max_age_us).unwrap_or(i64::MAX).saturating_mul(1000)))'
break_rule "a condemned commit is shipped" src/ledger/validate.rs \
    'match self.state.and_then(|s| s.condemned.get(commit)) {' \
    'match self.state.and_then(|s| s.condemned.get(commit)).filter(|_| false) {' \
    src/verbs/standing.rs 'condemned.get(commit)?;' 'condemned.get(commit).filter(|_| false)?;'
break_rule "a raise writes no intent" src/verbs/canary/acts.rs \
    'decided = ship.book.decide(note) => Some(decided),' '() = std::future::ready(drop(note)) => None::<Result<(), BookError>>,'
break_rule "a lowering writes no intent" src/verbs/canary/acts.rs \
    'if let Err(error) = self.fleet.ship.book.keep_at_once(self.fleet.ship.note(intent)).await {' \
    'if let (false, Err(error)) = (matches!(intent, Body::LowerIntended { .. }), self.fleet.ship.book.state().await) {'
break_rule "a breach condemns nothing" src/verbs/canary/acts.rs \
    'condemns: matches!(state.at, At::Lowering { end: RolloutEnd::RolledBack, .. })' \
    'condemns: matches!(state.at, At::Lowering { end: RolloutEnd::RolledBack, .. } if false)'
break_rule "facts of a lost race are dropped" src/ledger/reconcile.rs \
    'if fold.state.contains(kin.record.id()) {' \
    'if fold.state.contains(kin.record.id()) || matches!(&kin.record.said, Said::Known(entry) if entry.body.is_fact()) {'
break_rule "resume leaves users where they are" src/rollout/step.rs \
    'back(state, RolloutEnd::Aborted, ExitKind::BackOnBase, text)
        }
        Event::Resumed { .. } => {' \
    'end(state, Some(RolloutEnd::Aborted), ExitKind::Done, text)
        }
        Event::Resumed { .. } => {'
break_rule "the exit says done after going back" src/cli/args/canary_start.rs \
    'ExitKind::BackOnBase => Exit::MovedBack,' 'ExitKind::BackOnBase => Exit::Done,'
exit "$missed"
