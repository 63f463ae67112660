//! The rules of the house, as tests. Each lists every place that breaks its rule and how to mend
//! it; the tables stand in `tests/tidy/`. Change a table only together with an ADR in `docs/adr/`.

#![expect(clippy::disallowed_methods, reason = "reads the checkout and its environment, by design")]

use std::path::Path;

#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/source.rs"]
mod source;

fn hold(rule: fn(&Path) -> Vec<String>) {
    let broken = rule(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(broken.is_empty(), "{} broken:\n  {}\n", broken.len(), broken.join("\n  "));
}

#[test]
fn lower_layers_do_not_know_higher_ones() {
    hold(layers::violations);
}

#[test]
fn each_thing_has_one_home() {
    hold(house::homeless);
}

#[test]
fn files_and_functions_stay_small() {
    hold(house::oversized);
}

#[test]
fn files_say_what_they_are() {
    hold(house::misshapen);
}

#[test]
fn nothing_is_unfinished_or_silenced() {
    hold(house::unfinished);
}

#[test]
fn names_say_what_is_inside() {
    hold(house::misnamed);
}

#[test]
fn every_check_has_a_page() {
    hold(pages::checks);
}

#[test]
fn every_error_code_has_a_page() {
    hold(pages::errors);
}

#[test]
fn the_command_reference_is_what_the_binary_says() {
    hold(pages::command_reference);
}

#[test]
fn the_changelog_has_room_for_the_next_change() {
    hold(pages::changelog);
}

#[test]
fn no_file_knows_this_machine() {
    hold(pages::traces_of_this_machine);
}
