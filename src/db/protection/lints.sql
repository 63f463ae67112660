-- Doors that stand open: name, level, subject, message. Own statements after the ideas of Supabase's
-- splinter. The API shows the schemas of `pgrst.db_schemas`.
with
exposed as (
  select pg_catalog.unnest(pg_catalog.string_to_array(
    pg_catalog.current_setting('pgrst.db_schemas'), ',')) as name
),
api as (
  select c.oid, c.relkind, c.relname, c.relrowsecurity, c.reloptions,
    n.nspname || '.' || c.relname as name,
    pg_catalog.has_table_privilege('anon', c.oid, 'select') as anon_reads,
    pg_catalog.has_table_privilege('authenticated', c.oid, 'select') as user_reads,
    pg_catalog.has_table_privilege('anon', c.oid, 'select, insert, update, delete')
      or pg_catalog.has_table_privilege('authenticated', c.oid, 'select, insert, update, delete') as touched
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname in (select name from exposed) and c.relkind in ('r', 'p', 'v', 'm', 'f')
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
from routine where prosecdef and nspname in (select name from exposed)
  and pg_catalog.has_function_privilege('anon', oid, 'execute')
  and pg_catalog.pg_get_function_result(oid) is distinct from 'trigger'
union all
select 'function.definer-for-users', 'warning', name,
  'function ' || name || ' runs as its owner for every signed-in caller'
from routine where prosecdef and nspname in (select name from exposed)
  and pg_catalog.has_function_privilege('authenticated', oid, 'execute')
  and not pg_catalog.has_function_privilege('anon', oid, 'execute')
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
  'SELECT \(*(auth\.(uid|jwt|role|email)\(\)|current_setting\()', '', 'g') ~ 'auth\.(uid|jwt|role|email)\(\)|current_setting\('
union all
select 'schema.unindexed-foreign-key', 'warning', n.nspname || '.' || c.relname || ' ' || k.conname,
  'foreign key ' || k.conname || ' on ' || n.nspname || '.' || c.relname || ' has no index: deletes read the whole table'
from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.contype = 'f' and n.nspname in (select name from exposed) and not exists (
  select from pg_catalog.pg_index i where i.indrelid = k.conrelid
    and (i.indkey::pg_catalog.int2[])[0:pg_catalog.cardinality(k.conkey) - 1] @> k.conkey)
union all
select 'rls.queue-in-api', 'error', 'pgmq.' || c.relname,
  'queue pgmq.' || c.relname || ' is open to the API without row level security'
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'pgmq' and c.relkind in ('r', 'p') and c.relname ~ '^q_' and not c.relrowsecurity
  and 'pgmq_public' in (select name from exposed)
union all
select 'rls.bucket-listing', 'warning', b.id || ' ' || p.polname,
  'policy ' || p.polname || ' lets every caller list the files of the public bucket ' || b.id
from storage.buckets b join policy p on p.table_name = 'storage.objects' and p.for_clients
  and p.polpermissive and p.polcmd in ('r', '*')
  and p.using_text in ('true', pg_catalog.format('(bucket_id = %L::text)', b.id))
where b.public
union all
select 'rls.policies-of-one-role', 'warning', table_name || ' ' || does || ' ' || role,
  pg_catalog.count(*) || ' permissive policies of ' || table_name || ' run for every ' || does || ' of ' || role
from (
  select p.table_name, a.does, coalesce(r.rolname, 'public') as role
  from policy p, pg_catalog.unnest(p.polroles) o left join pg_catalog.pg_roles r on r.oid = o,
  lateral (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')) a (letter, does)
  where p.polpermissive and p.polcmd in (a.letter, '*')
    and pg_catalog.split_part(p.table_name, '.', 1) in (select name from exposed)
) many
group by table_name, does, role having pg_catalog.count(*) > 1
union all
select 'schema.no-primary-key', 'warning', name,
  'table ' || name || ' has no primary key: its rows cannot be told apart'
from api where relkind in ('r', 'p') and not exists (select from pg_catalog.pg_constraint k
  where k.conrelid = api.oid and k.contype = 'p')
union all
select 'schema.duplicate-index', 'warning', name || ' ' || pg_catalog.min(index_name),
  'indexes of ' || name || ' are the same: ' || pg_catalog.string_agg(index_name, ', ' order by index_name)
from (
  select a.name, x.relname as index_name, pg_catalog.concat_ws(' ', x.relam, i.indisunique, i.indkey,
    i.indclass, i.indcollation, i.indoption, pg_catalog.pg_get_expr(i.indexprs, i.indrelid),
    'where ' || pg_catalog.pg_get_expr(i.indpred, i.indrelid)) as definition
  from api a join pg_catalog.pg_index i on i.indrelid = a.oid
  join pg_catalog.pg_class x on x.oid = i.indexrelid
) indexes
group by name, definition having pg_catalog.count(*) > 1
union all
select 'schema.extension-in-api', 'warning', e.extname || ' ' || n.nspname,
  'extension ' || e.extname || ' is in ' || n.nspname || ', where the API shows its functions'
from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where n.nspname in (select name from exposed)
union all
select 'schema.column-type', 'warning', n.nspname || '.' || c.relname || '.' || a.attname,
  'column ' || n.nspname || '.' || c.relname || '.' || a.attname || ' is a '
  || pg_catalog.format_type(a.atttypid, null) || ', which stops an upgrade of Postgres'
from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm') and a.attnum > 0 and not a.attisdropped
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and a.atttypid in (
    'pg_catalog.regcollation'::pg_catalog.regtype, 'pg_catalog.regconfig'::pg_catalog.regtype,
    'pg_catalog.regdictionary'::pg_catalog.regtype, 'pg_catalog.regnamespace'::pg_catalog.regtype,
    'pg_catalog.regoper'::pg_catalog.regtype, 'pg_catalog.regoperator'::pg_catalog.regtype,
    'pg_catalog.regproc'::pg_catalog.regtype, 'pg_catalog.regprocedure'::pg_catalog.regtype)
order by 1, 3
