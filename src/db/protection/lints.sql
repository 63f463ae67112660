-- Doors that stand open: name, level, subject, message. Own statements after the ideas of Supabase's
-- splinter. `public` is what the API shows unless a project says otherwise.
with
api as (
  select c.oid, c.relkind, c.relname, c.relrowsecurity, c.reloptions,
    n.nspname || '.' || c.relname as name,
    pg_catalog.has_table_privilege('anon', c.oid, 'select') as anon_reads,
    pg_catalog.has_table_privilege('authenticated', c.oid, 'select') as user_reads,
    pg_catalog.has_table_privilege('anon', c.oid, 'select, insert, update, delete')
      or pg_catalog.has_table_privilege('authenticated', c.oid, 'select, insert, update, delete') as touched
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('public', 'graphql_public') and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e'
      and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
),
policy as (
  select p.*, n.nspname || '.' || c.relname as table_name, c.relrowsecurity,
    pg_catalog.pg_get_expr(p.polqual, p.polrelid) as using_text,
    pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as check_text,
    exists (select from pg_catalog.unnest(p.polroles) r left join pg_catalog.pg_roles a on a.oid = r
      where r = 0 or a.rolname in ('anon', 'authenticated')) as for_clients
  from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
),
routine as (
  select p.oid, p.prosecdef, p.proconfig, n.nspname, n.nspname || '.' || p.proname || '('
    || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' as name
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where p.prokind in ('f', 'p') and n.nspname !~ '^pg_' and n.nspname <> all (array[
    'information_schema', 'auth', 'storage', 'realtime', 'extensions', 'vault', 'graphql', 'net',
    'graphql_public', 'supabase_functions', 'supabase_migrations', 'cron', 'pgmq', 'pgsodium', 'pgtle'])
    and p.proname not in ('vector_in', 'vector_out', 'vector_typmod_in', 'halfvec_in', 'halfvec_out')
    and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e'
      and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
)
select 'rls.disabled-in-public' as id, 'error' as level, name as subject,
  'table ' || name || ' is open to the API without row level security' as message
from api where relkind in ('r', 'p') and not relrowsecurity and touched
union all
select 'rls.policy-without-rls', 'error', table_name || ' ' || polname,
  'policy ' || polname || ' on ' || table_name || ' does nothing: row level security is off'
from policy where not relrowsecurity
union all
select 'rls.enabled-without-policy', 'warning', name,
  'table ' || name || ' has row level security and no policy: nobody but its owner reads it'
from api where relkind in ('r', 'p') and relrowsecurity
  and not exists (select from pg_catalog.pg_policy p where p.polrelid = api.oid)
union all
select 'rls.security-definer-view', 'error', name,
  'view ' || name || ' reads as its owner, past row level security; set security_invoker'
from api where relkind = 'v' and (anon_reads or user_reads) and not exists (select
  from pg_catalog.unnest(reloptions) o where o ~ '^security_invoker=(true|on|1|yes)$')
union all
select 'rls.materialized-view-in-api', 'error', name,
  'materialized view ' || name || ' is open to the API, and row level security does not reach it'
from api where relkind = 'm' and (anon_reads or user_reads)
union all
select 'rls.foreign-table-in-api', 'error', name,
  'foreign table ' || name || ' is open to the API, and row level security does not reach it'
from api where relkind = 'f' and (anon_reads or user_reads)
union all
select 'rls.auth-users-exposed', 'error', a.name,
  a.name || ' shows auth.users to the API'
from api a where a.relkind in ('v', 'm') and (a.anon_reads or a.user_reads)
  and exists (select from pg_catalog.pg_rewrite w join pg_catalog.pg_depend d on d.objid = w.oid
    where w.ev_class = a.oid and d.refobjid = 'auth.users'::pg_catalog.regclass)
union all
select 'rls.user-metadata', 'error', table_name || ' ' || polname,
  'policy ' || polname || ' on ' || table_name || ' trusts user_metadata, which users write themselves'
from policy where coalesce(using_text, '') || coalesce(check_text, '') ~ 'user_metadata'
union all
select 'rls.policy-always-true', 'error', table_name || ' ' || polname,
  'policy ' || polname || ' on ' || table_name || ' lets every caller write every row'
from policy where polpermissive and for_clients and polcmd <> 'r'
  and coalesce(case when polcmd in ('a', 'w', '*') then check_text end, using_text) in ('true', '(1 = 1)')
union all
select 'rls.null-user', 'error', table_name || ' ' || polname,
  'policy ' || polname || ' on ' || table_name || ' also holds for callers without a login'
from policy where polpermissive and for_clients and using_text ~ '\(auth\.uid\(\)( AS uid\))? IS NULL\) OR'
union all
select 'function.search-path', case when prosecdef then 'error' else 'warning' end, name,
  'function ' || name || ' has no search_path of its own'
from routine where not exists (select from pg_catalog.unnest(proconfig) o where o like 'search_path=%')
union all
select 'function.definer-for-anon', 'error', name,
  'function ' || name || ' runs as its owner for every caller without a login'
from routine where prosecdef and nspname = 'public'
  and pg_catalog.has_function_privilege('anon', oid, 'execute')
  and pg_catalog.pg_get_function_result(oid) is distinct from 'trigger'
union all
select 'schema.foreign-key-to-auth', 'error', n.nspname || '.' || c.relname || ' ' || k.conname,
  'foreign key ' || k.conname || ' refers to auth by a unique index that is not its primary key'
from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class f on f.oid = k.confrelid join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
join pg_catalog.pg_index i on i.indexrelid = k.conindid
where k.contype = 'f' and fn.nspname = 'auth' and n.nspname <> 'auth' and not i.indisprimary
union all
select 'rls.sensitive-columns', 'error', a.name,
  'table ' || a.name || ' is open to the API without row level security and holds '
  || pg_catalog.string_agg(t.attname, ', ' order by t.attnum)
from api a join pg_catalog.pg_attribute t on t.attrelid = a.oid and t.attnum > 0 and not t.attisdropped
where a.relkind in ('r', 'p') and not a.relrowsecurity and a.touched
  and t.attname ~* '^(password|passwd|pwd|secret|token|api_?key|private_key|ssn|credit_card|access_token|refresh_token)$'
group by a.name
union all
select 'rls.initplan', 'warning', table_name || ' ' || polname,
  'policy ' || polname || ' on ' || table_name || ' calls auth functions for every row; wrap them in (select ...)'
from policy
where pg_catalog.regexp_replace(coalesce(using_text, '') || coalesce(check_text, ''),
  'SELECT (auth\.(uid|jwt|role|email)\(\)|current_setting\()', '', 'g') ~ 'auth\.(uid|jwt|role|email)\(\)|current_setting\('
union all
select 'schema.unindexed-foreign-key', 'warning', n.nspname || '.' || c.relname || ' ' || k.conname,
  'foreign key ' || k.conname || ' on ' || n.nspname || '.' || c.relname || ' has no index: deletes read the whole table'
from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.contype = 'f' and n.nspname = 'public' and not exists (
  select from pg_catalog.pg_index i where i.indrelid = k.conrelid
    and (i.indkey::pg_catalog.int2[])[0:pg_catalog.cardinality(k.conkey) - 1] @> k.conkey)
order by 1, 3
