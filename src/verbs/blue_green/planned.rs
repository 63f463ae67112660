//! What blue/green would do, step by step, with every call: the same for every run.

use super::run::{BlueGreen, BlueGreenError};
use super::standby::USUAL_BUILD;
use crate::base::units::Micros;
use crate::plan::step::Description;
use crate::verbs::read_back::KEYS;

/// The steps, without a change and without a call.
pub(crate) fn planned(verb: &BlueGreen<'_>) -> Result<Vec<Description>, BlueGreenError> {
    let calls = verb.deployer()?.calls(&verb.order());
    let commit = verb.commit.short();
    let step = |name, title: String, calls: Vec<String>, expected_us| Description {
        name,
        title,
        calls,
        expected_us,
        risk: None,
        back: None,
        done: false,
    };
    let criteria = &verb.settings.criteria;
    let keys = format!("GET /version of the production domain as {KEYS} visitors");
    let mut build = step(
        "build",
        format!("build a production deployment of {commit} without domains"),
        calls.build,
        Micros::from_secs(2),
    );
    build.risk = Some("it runs with production's variables and data, and has no users".to_owned());
    build.back = Some("none is needed: a deployment without domains has no users".to_owned());
    let mut switch = step(
        "switch",
        "send everybody to it, with a clearance".to_owned(),
        calls.switch,
        Micros::from_secs(5),
    );
    switch.risk = Some("the database does not go back with a rollback".to_owned());
    switch.back = Some(format!("orca rollback --reason R ({})", calls.back.join(", ")));
    Ok(vec![
        build,
        step(
            "follow",
            format!("follow the build, at most {}", verb.settings.build_within),
            calls.follow,
            USUAL_BUILD,
        ),
        step(
            "judge",
            "ask and load it at its own address, and judge the seven criteria".to_owned(),
            vec![
                format!("GET {}", criteria.health_path),
                "every endpoint of the manifest that is safe, once".to_owned(),
                "load by the profile, safe endpoints only".to_owned(),
            ],
            Micros::from_secs(120),
        ),
        switch,
        step("verify", "read traffic back".to_owned(), vec![keys.clone()], Micros::from_secs(2)),
        step(
            "drain",
            format!("drain: leave open requests {} to end, and read again", verb.settings.drain),
            vec![keys],
            verb.settings.drain,
        ),
    ])
}
