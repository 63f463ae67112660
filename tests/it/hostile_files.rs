//! Input files that want to exhaust orca, or that nobody can have meant: each is refused with its
//! place, the documented exit code and what to do, in bounded time.

use std::time::{Duration, Instant};

use crate::support::World;

/// A sound binary takes a thousandth of it; one that unfolds a bomb takes for ever.
const TIME_MAX: Duration = Duration::from_mins(1);

/// Nine levels of ten: a billion values, were they written out.
fn billion() -> String {
    let mut text = String::from("  - &a0 {name: x, path: /}\n");
    for level in 1..10 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("  - &a{level} [{items}]\n");
    }
    text
}

#[test]
fn hostile_manifests_are_refused_with_their_place() {
    let world = World::new();
    let many = |item: &dyn Fn(usize) -> String, count| (0..count).map(item).collect::<String>();
    let aliases = many(&|n| format!("  - {{name: e{n}, path: /, objectives: *o}}\n"), 150);
    let endpoints = many(&|n| format!("  - {{name: e{n}, path: /x}}\n"), 25_000);
    for (what, text, place, said, advice) in [
        (
            "a bomb",
            format!("version: 1\nendpoints:\n{}", billion()),
            "4:9",
            "is no mapping",
            "name: value",
        ),
        (
            "a bomb in a value",
            format!("version: 1\nlaughs:\n{}", billion()),
            "2:1",
            "unknown field",
            "",
        ),
        (
            "aliases",
            format!(
                "version: 1\ndefaults: {{objectives: &o [\"p95 < 1s\"]}}\nendpoints:\n{aliases}"
            ),
            "104:39",
            "more than 100 aliases",
            "plainer",
        ),
        (
            "values",
            format!("version: 1\nendpoints:\n{endpoints}"),
            "20002:5",
            "more than 100,000",
            "smaller",
        ),
        (
            "depth",
            format!("version: 1\nendpoints: {}", "[".repeat(5_000)),
            "2:",
            "more than 64 levels",
            "plainer",
        ),
        (
            "a merge",
            "version: 1\ndefaults: &b {}\nendpoints:\n  - {<<: *b}\n".into(),
            "4:6",
            "merge keys",
            "write the",
        ),
        (
            "10 MB",
            format!("version: 1\n{}", "# x\n".repeat(2_500_000)),
            "",
            "larger than 1048576 bytes",
            "meant",
        ),
    ] {
        world.write("hostile.yaml", &text);
        let start = Instant::now();
        let refused = world.orca(&["slo", "explain", "--manifest", "hostile.yaml"]).expect_code(2);
        assert!(start.elapsed() < TIME_MAX, "{what} took {:?}", start.elapsed());
        let shown = &refused.stderr;
        assert!(shown.starts_with("error[ORCA-1002]: "), "{what}: {shown}");
        assert!(shown.contains(&format!("hostile.yaml:{place}")), "{what}: {shown}");
        assert!(shown.contains(said) && shown.contains(advice), "{what}: {shown}");
        assert!(shown.contains("orca explain ORCA-1002"), "{what}: {shown}");
        assert!(shown.len() < 2_000, "{what}: {} bytes of message", shown.len());
        let json = world.orca(&["slo", "explain", "--json", "--manifest", "hostile.yaml"]);
        assert_eq!(json.expect_code(2).json()["code"], "ORCA-1002", "{what}");
    }
}

#[test]
fn a_hostile_configuration_stops_every_verb_alike() {
    let world = World::repository();
    world.write("orca.yaml", &"# x\n".repeat(2_500_000));
    // What only tells answers all the same, and says it.
    for (verb, code) in
        [(&["release", "status"][..], 0), (&["preflight"], 2), (&["release", "tag", "--rc"], 2)]
    {
        let run = world.orca(verb).expect_code(code);
        assert!(run.stderr.contains("larger than 1048576 bytes"), "{}", run.stderr);
    }
}

#[test]
fn what_the_router_says_has_a_schema() {
    let world = World::new();
    for name in [
        "orca.router-state/v1",
        "orca.router-admin-state/v1",
        "orca.router-metrics/v1",
        "router.raise",
    ] {
        let schema = world.orca(&["schema", name]).expect_code(0).json();
        assert_eq!(schema["additionalProperties"], false, "{name}");
        assert!(schema["properties"].as_object().is_some_and(|all| all.len() > 2), "{name}");
    }
}
