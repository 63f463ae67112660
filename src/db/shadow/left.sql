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
)
select own.name || '.' || thing.name from thing join own on own.oid = thing.home
where not exists (select from pg_catalog.pg_depend d
  where d.objid = thing.oid and d.classid = thing.class and d.deptype = 'e')
union all
select 'migration ' || version from supabase_migrations.schema_migrations
order by 1 limit 5
