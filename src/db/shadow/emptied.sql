-- Takes away what a branch began with: it is a copy of the project's schema. What stays is what
-- Supabase itself has, so that the first migration meets a project as new as can be. Whatever may not be
-- dropped stays as well, and is found by the look afterwards. Only ever run on a branch made for it.
do $$
declare
  item record;
  own constant text[] := array['public', 'information_schema', 'auth', 'storage', 'realtime',
    'extensions', 'vault', 'graphql', 'graphql_public', 'supabase_functions', 'supabase_migrations',
    'net', 'cron', 'pgmq', 'pgsodium', 'pgsodium_masks', 'pgtle', 'pgbouncer', '_analytics',
    '_realtime', '_supavisor'];
begin
  for item in
    -- First what hangs on tables of Supabase, then schemas, extensions, and what is in public: there
    -- views before tables, and types last.
    with member as (
      select objid, classid from pg_catalog.pg_depend where deptype = 'e'
    )
    select 0 as place, format('drop event trigger if exists %I', e.evtname) as statement
    from pg_catalog.pg_event_trigger e join pg_catalog.pg_roles r on r.oid = e.evtowner
    where not r.rolsuper and r.rolname !~ '^supabase_' and e.evtname !~ '^(issue_|pgrst_|graphql_)'
      and not exists (select from member m where m.objid = e.oid
        and m.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass)
    union all
    select 1, format('drop policy if exists %I on %I.%I', p.polname, n.nspname, c.relname)
    from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where not exists (select from member m where m.objid = c.oid
      and m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
    union all
    select 1, format('drop publication if exists %I', pubname) from pg_catalog.pg_publication
    where pubname !~ '^(supabase_realtime|realtime_messages)'
    union all
    select 2, format('drop schema if exists %I cascade', n.nspname) from pg_catalog.pg_namespace n
    where n.nspname !~ '^pg_' and n.nspname <> all (own)
      and not exists (select from member m where m.objid = n.oid
        and m.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass)
    union all
    select 3, format('drop extension if exists %I cascade', extname) from pg_catalog.pg_extension
    where extname <> all (array['plpgsql', 'pgcrypto', 'uuid-ossp', 'pgjwt', 'pgsodium', 'pg_graphql',
      'pg_net', 'pg_stat_statements', 'supabase_vault'])
    union all
    select 4, format('drop routine if exists %I.%I(%s) cascade', 'public', p.proname,
      pg_catalog.pg_get_function_identity_arguments(p.oid))
    from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::pg_catalog.regnamespace
      and not exists (select from member m where m.objid = p.oid
        and m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
    union all
    select case c.relkind when 'v' then 5 when 'm' then 5 when 'S' then 7 else 6 end,
      format('drop %s if exists public.%I cascade', case c.relkind when 'v' then 'view'
        when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'
        else 'table' end, c.relname)
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and not exists (select from member m where m.objid = c.oid
        and m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
    union all
    select 8, format('drop type if exists public.%I cascade', t.typname)
    from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
    where t.typnamespace = 'public'::pg_catalog.regnamespace
      and (t.typtype in ('d', 'e', 'r') or c.relkind = 'c')
      and not exists (select from member m where m.objid = t.oid
        and m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass)
    union all
    select 8, format('drop operator if exists public.%s (%s, %s) cascade', o.oprname,
      case o.oprleft when 0 then 'none' else pg_catalog.format_type(o.oprleft, null) end,
      pg_catalog.format_type(o.oprright, null))
    from pg_catalog.pg_operator o
    where o.oprnamespace = 'public'::pg_catalog.regnamespace
      and not exists (select from member m where m.objid = o.oid
        and m.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass)
    union all
    select 8, format('drop collation if exists public.%I cascade', o.collname)
    from pg_catalog.pg_collation o
    where o.collnamespace = 'public'::pg_catalog.regnamespace
      and not exists (select from member m where m.objid = o.oid
        and m.classid = 'pg_catalog.pg_collation'::pg_catalog.regclass)
    union all
    select 8, format('drop text search configuration if exists public.%I cascade', o.cfgname)
    from pg_catalog.pg_ts_config o
    where o.cfgnamespace = 'public'::pg_catalog.regnamespace
      and not exists (select from member m where m.objid = o.oid
        and m.classid = 'pg_catalog.pg_ts_config'::pg_catalog.regclass)
    union all
    select 8, format('drop text search dictionary if exists public.%I cascade', o.dictname)
    from pg_catalog.pg_ts_dict o
    where o.dictnamespace = 'public'::pg_catalog.regnamespace
      and not exists (select from member m where m.objid = o.oid
        and m.classid = 'pg_catalog.pg_ts_dict'::pg_catalog.regclass)
    union all
    select 9, format('delete from %I.%I', n.nspname, c.relname)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and (n.nspname = 'supabase_migrations'
      or n.nspname || '.' || c.relname in ('storage.objects', 'storage.buckets', 'vault.secrets'))
    union all
    select 10, format('drop role if exists %I', rolname) from pg_catalog.pg_roles
    where not rolsuper and not rolreplication and rolname <> current_user
      and rolname !~ '^(pg_|supabase_|pgsodium_|cli_)' and rolname <> all (array['postgres', 'anon',
        'authenticated', 'service_role', 'authenticator', 'dashboard_user', 'pgbouncer', 'pgtle_admin'])
    order by 1, 2 desc
  loop
    begin
      -- Storage keeps rows from being deleted by hand unless this says so.
      perform pg_catalog.set_config('storage.allow_delete_query', 'true', true);
      execute item.statement;
    exception when others then
      raise debug '%: %', item.statement, sqlerrm;
    end;
  end loop;
end $$;
