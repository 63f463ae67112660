//! `orca promote`: a version is one commit, and whoever has its name already is told of before
//! anybody is moved.

use crate::support::fleet::{ALL, BY_USERS};
use crate::support::{Fleet, traffic};

#[test]
fn a_name_that_is_another_commits_moves_nobody() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[BY_USERS, ALL]);
    fleet.users("users");
    let candidate = fleet.complete();
    let name = candidate.release.split("-rc.").next().expect("a name").to_owned();
    let promote = ["promote", "--rc", &candidate.release];
    let before = fleet.platform();

    // Somebody else's tag, of which only the remote knows.
    let other = fleet.world.git(&["rev-parse", "HEAD~2"]);
    let theirs = format!("refs/tags/{name}");
    fleet.world.git(&["push", "--quiet", "origin", &format!("{other}:{theirs}")]);
    for args in [&promote[..], &[&promote[..], &["--dry-run"]].concat()] {
        let refused = fleet.orca(args).expect_code(1);
        for part in ["ORCA-1104", &format!("tag {name} stands at commit {}", &other[..7])] {
            assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        }
        assert_eq!(fleet.platform()["base"], before["base"]);
    }
    fleet.world.git(&["push", "--quiet", "origin", &format!(":{theirs}")]);
    fleet.orca(&promote).expect_code(0);

    // The tag is gone everywhere, so its name is given again; the ledger forgets nothing.
    fleet.world.git(&["push", "--quiet", "origin", &format!(":{theirs}")]);
    fleet.world.git(&["tag", "-d", &name]);
    let second = fleet.complete();
    assert!(second.release.starts_with(&name), "{second:?}");
    let refused = fleet.orca(&["promote", "--rc", &second.release]).expect_code(1);
    let said = format!("{name} is the final of commit {}", &candidate.commit[..7]);
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    assert_eq!(fleet.platform()["base"], candidate.url.as_str());
    assert_eq!(fleet.world.git(&["tag", "-l", &name]), "");
}
