//! What two users of the API can do to each other, tried on a real Postgres: each finding fires where
//! it should and nowhere else, through `orca db rls`; and `orca db rpc` beside it.

use serde_json::Value;

use crate::support::World;

/// What `orca db VERB` says of one new file after none.
fn look(verb: &str, text: &str) -> Value {
    let world = World::new();
    world.write("supabase/migrations/1_a.sql", text);
    let run = world.orca(&["db", verb, "--json", "--sarif", "found.sarif"]);
    assert!(matches!(run.code, Some(0 | 1)), "{run:?}");
    let sarif = std::fs::read_to_string(world.folder().join("found.sarif")).expect("it is there");
    let sarif: Value = serde_json::from_str(&sarif).expect("SARIF is JSON");
    assert_eq!(sarif["version"], "2.1.0");
    run.json()
}

/// The probe's findings: their keys with their levels.
fn probed(json: &Value) -> Vec<String> {
    let findings = json["findings"].as_array().expect("a list").iter();
    let text = |f: &Value, name: &str| f[name].as_str().expect("text").to_owned();
    let found = findings.filter(|f| text(f, "id").starts_with("probe."));
    found.map(|f| format!("{} {}", text(f, "level"), text(f, "key"))).collect()
}

fn table(policies: &str) -> String {
    format!(
        "create table public.notes (id uuid primary key default gen_random_uuid(),\n\
           author uuid not null references auth.users (id), body text not null,\n\
           length int not null check (length > 0), made timestamptz not null default now());\n\
         alter table public.notes enable row level security;\n{policies}"
    )
}

#[test]
fn what_isolates_users_is_silent() {
    for policies in [
        "",
        "create policy own on public.notes for all to authenticated\n\
           using ((select auth.uid()) = author) with check ((select auth.uid()) = author);\n",
        "create policy own on public.notes for select to authenticated\n\
           using (author = (current_setting('request.jwt.claims', true)::jsonb ->> 'sub')::uuid);\n",
        // A trigger says whose row it is.
        "create policy own on public.notes for insert to authenticated with check (author = auth.uid());\n",
        "create policy all_of_it on public.notes for all to service_role using (true);\n",
    ] {
        let json = look("rls", &table(policies));
        assert_eq!(probed(&json), [] as [&str; 0], "{policies}: {json:#}");
    }
    let shared = "create table public.teams (id int primary key);\n\
        create table public.members (team int references public.teams (id), person uuid, primary key (team, person));\n\
        alter table public.teams enable row level security;\n\
        alter table public.members enable row level security;\n\
        create policy own on public.members for select to authenticated using (person = (select auth.uid()));\n\
        create policy shared on public.teams for select to authenticated using (exists\n\
          (select from public.members m where m.team = teams.id and m.person = (select auth.uid())));\n";
    assert_eq!(probed(&look("rls", shared)), [] as [&str; 0]);
}

#[test]
fn what_does_not_isolate_them_is_named_with_the_statement_that_shows_it() {
    for (policies, expected) in [
        (
            "create policy p on public.notes for select using (true);\n",
            &[
                "warning probe.unfiltered-read:public.notes(anon)",
                "warning probe.unfiltered-read:public.notes(authenticated)",
            ][..],
        ),
        (
            "create policy p on public.notes for select to authenticated\n\
               using ((select auth.uid()) is not null);\n",
            &["error probe.cross-tenant-read:public.notes(authenticated)"],
        ),
        // Whoever may write a row of others may take it.
        (
            "create policy p on public.notes for update to authenticated\n\
               using (length > 0) with check (author = (select auth.uid()));\n",
            &["error probe.cross-tenant-update:public.notes(authenticated)"],
        ),
        (
            "create policy p on public.notes for delete to authenticated using (length > 0);\n",
            &["error probe.cross-tenant-delete:public.notes(authenticated)"],
        ),
        (
            "create policy p on public.notes for insert to anon with check (length > 0);\n",
            &["error probe.cross-tenant-insert:public.notes(anon)"],
        ),
        (
            "create policy p on public.notes for select to authenticated using (exists\n\
               (select from public.notes n where n.author = (select auth.uid())));\n",
            &["error probe.policy-fails:public.notes(authenticated)"],
        ),
    ] {
        let json = look("rls", &table(policies));
        assert_eq!(probed(&json), expected, "{policies}: {json:#}");
    }
    let json = look(
        "rls",
        &table("create policy p on public.notes for delete to anon using (length > 0);\n"),
    );
    let findings = json["findings"].as_array().expect("a list").iter();
    let found =
        findings.clone().find(|f| f["id"] == "probe.cross-tenant-delete").expect("it fires");
    assert_eq!(found["message"], "as anon, delete from public.notes deletes a row of another user");
    assert_eq!(
        (&found["file"], &found["line"]),
        (&"supabase/migrations/1_a.sql".into(), &5.into())
    );
}

/// The probe leaves nothing behind: the schema has the same hash with and without rows to try.
#[test]
fn areas_are_verbs_of_their_own() {
    let function = "create function public.f(a int) returns int language sql stable\n\
        set search_path = '' as $$ select a $$;\n";
    let world = World::new();
    world.git(&["init", "--quiet"]);
    world.write("supabase/migrations/1_a.sql", function);
    world.commit("feat: f");
    world.write("supabase/migrations/2_b.sql", "drop function public.f(int);\n");
    let json = world.orca(&["db", "rpc", "--json", "--base", "HEAD"]).expect_code(1).json();
    assert_eq!(json["schema"], "orca.db-rpc/v1");
    assert_eq!(json["findings"][0]["id"], "rpc.break");
    let key = json["findings"][0]["key"].clone();
    world.write("known.json", &serde_json::json!({"keys": [key]}).to_string());
    let known = ["db", "rpc", "--base", "HEAD", "--baseline", "known.json"];
    world.orca(&known).expect_code(0);
    let json = world.orca(&["db", "rls", "--json", "--base", "HEAD"]).expect_code(0).json();
    assert_eq!((&json["verdict"], &json["findings"]), (&"pass".into(), &serde_json::json!([])));
    world.write("supabase/migrations/3_c.sql", "select nothing;\n");
    let json = world.orca(&["db", "rls", "--json", "--base", "HEAD"]).expect_code(1).json();
    assert_eq!(json["findings"][0]["id"], "replay.failed", "behind it nothing is known");
}
