-- What is there that Supabase does not have by itself: nothing, after it was emptied.
with
own as (
  select oid, nspname as name from pg_catalog.pg_namespace
  where nspname !~ '^pg_' and nspname <> all (array['information_schema', 'auth', 'storage', 'realtime',
    'extensions', 'vault', 'graphql', 'graphql_public', 'supabase_functions', 'supabase_migrations',
    'net', 'cron', 'pgmq', 'pgsodium', 'pgsodium_masks', 'pgtle', 'pgbouncer', '_analytics', '_realtime',
    '_supavisor'])
),
thing as (
  select oid, 'pg_catalog.pg_class'::pg_catalog.regclass as class, relnamespace as home, relname as name
  from pg_catalog.pg_class where relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  union all
  select oid, 'pg_catalog.pg_proc'::pg_catalog.regclass, pronamespace, proname from pg_catalog.pg_proc
  union all
  select oid, 'pg_catalog.pg_type'::pg_catalog.regclass, typnamespace, typname
  from pg_catalog.pg_type where typtype in ('d', 'e', 'r')
  union all
  select oid, 'pg_catalog.pg_operator'::pg_catalog.regclass, oprnamespace, oprname
  from pg_catalog.pg_operator
  union all
  select oid, 'pg_catalog.pg_collation'::pg_catalog.regclass, collnamespace, collname
  from pg_catalog.pg_collation
  union all
  select oid, 'pg_catalog.pg_ts_config'::pg_catalog.regclass, cfgnamespace, cfgname
  from pg_catalog.pg_ts_config
  union all
  select oid, 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, dictnamespace, dictname
  from pg_catalog.pg_ts_dict
)
select own.name || '.' || thing.name from thing join own on own.oid = thing.home
where not exists (select from pg_catalog.pg_depend d
  where d.objid = thing.oid and d.classid = thing.class and d.deptype = 'e')
union all
-- Supabase has no policies there by itself, and its event triggers are its own roles'.
select 'policy ' || p.polname || ' on ' || n.nspname || '.' || c.relname
from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('auth', 'storage')
union all
select 'event trigger ' || e.evtname
from pg_catalog.pg_event_trigger e join pg_catalog.pg_roles r on r.oid = e.evtowner
where not r.rolsuper and r.rolname !~ '^supabase_' and e.evtname !~ '^(issue_|pgrst_|graphql_)'
  and not exists (select from pg_catalog.pg_depend d where d.objid = e.oid and d.deptype = 'e'
    and d.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass)
union all
select 'migration ' || version from supabase_migrations.schema_migrations
order by 1 limit 5
