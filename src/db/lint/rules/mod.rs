//! orca's own rules, each in the file of its name. Most look at one statement, also inside `DO`
//! blocks; some at one file; two at all files of a release.

mod all;
mod backfill_with_ddl;
mod contract_with_expand;
mod copy_from_stdin;
mod delete_without_where;
mod destructive_in_do_block;
mod disable_row_level_security;
mod drop_owned;
mod duplicate_version;
mod enum_value_used_at_once;
mod grant_to_anon;
mod grant_to_public;
mod must_be_alone;
mod out_of_order_version;
mod policy_widening;
mod psql_command;
mod security_definer_without_search_path;
mod truncate;
mod update_without_where;

pub(crate) use all::{Release, hits, spanning};
pub(crate) use must_be_alone::refuses_transaction;
pub(crate) use out_of_order_version::version;
