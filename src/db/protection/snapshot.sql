-- What guards rows, as facts: kind, name, attribute, value.
with
home as (
  select oid, nspname as name from pg_catalog.pg_namespace
  where nspname !~ '^pg_' and nspname <> all (array['information_schema', 'auth', 'realtime',
    'extensions', 'vault', 'graphql', 'graphql_public', 'supabase_functions', 'supabase_migrations',
    'net', 'cron', 'pgmq', 'pgsodium', 'pgtle', 'pgbouncer'])
),
relation as (
  select c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
    h.name || '.' || c.relname as name
  from pg_catalog.pg_class c join home h on h.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e'
      and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
),
routine as (
  select p.oid, p.prosecdef, p.proconfig, h.name || '.' || p.proname || '('
    || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' as name
  from pg_catalog.pg_proc p join home h on h.oid = p.pronamespace
  where p.prokind in ('f', 'p') and h.name <> 'storage'
    and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e'
      and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
),
client as (select role from (values ('anon'), ('authenticated'), ('public')) as c (role))
select 'table' as kind, name, 'row level security' as attribute,
  case when relrowsecurity then 'on' else 'off' end as value
from relation where relkind in ('r', 'p')
union all
select 'table', name, 'forced', case when relforcerowsecurity then 'on' else 'off' end
from relation where relkind in ('r', 'p')
union all
select 'relation', name, 'grant to ' || role, coalesce((select pg_catalog.string_agg(p, ', ' order by p)
  from pg_catalog.unnest(array['DELETE', 'INSERT', 'SELECT', 'TRUNCATE', 'UPDATE']) p
  where pg_catalog.has_table_privilege(role, relation.oid, p)), '')
from relation, client
union all
select 'view', name, 'security_invoker', case when exists (select
  from pg_catalog.unnest(reloptions) o
  where o in ('security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'))
  then 'on' else 'off' end
from relation where relkind = 'v'
union all
select 'function', name, 'security', case when prosecdef then 'definer' else 'invoker' end from routine
union all
select 'function', name, 'search_path', coalesce((select pg_catalog.substr(o, 13)
  from pg_catalog.unnest(proconfig) o where o like 'search_path=%'), 'of the caller')
from routine
union all
select 'function', name, 'execute by ' || role,
  case when pg_catalog.has_function_privilege(role, routine.oid, 'execute') then 'yes' else 'no' end
from routine, client
union all
select 'policy', r.name || ' ' || p.polname, x.attribute, x.value
from pg_catalog.pg_policy p join relation r on r.oid = p.polrelid,
lateral (values
  ('command', p.polcmd::text),
  ('kind', case when p.polpermissive then 'permissive' else 'restrictive' end),
  ('roles', (select pg_catalog.string_agg(coalesce(a.rolname, 'public'), ', ' order by a.rolname)
    from pg_catalog.unnest(p.polroles) o left join pg_catalog.pg_roles a on a.oid = o)),
  ('using', coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '')),
  ('check', coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), ''))
) as x (attribute, value)
union all
select 'default', coalesce(n.nspname, 'every schema') || ' ' || d.defaclobjtype::text,
  'grant to ' || coalesce(r.rolname, 'public'),
  pg_catalog.string_agg(a.privilege_type, ', ' order by a.privilege_type)
from pg_catalog.pg_default_acl d left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace,
lateral pg_catalog.aclexplode(d.defaclacl) a left join pg_catalog.pg_roles r on r.oid = a.grantee
where a.privilege_type <> 'MAINTAIN'
  and coalesce(r.rolname, 'public') in ('anon', 'authenticated', 'public')
group by 1, 2, 3
