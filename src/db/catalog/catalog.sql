-- The schema as lines: kind, name, definition. Equal schemas give equal lines on every server that
-- prints definitions alike. Extensions own what is left out, and so is what stands in the schemas of
-- `orca.hidden_schemas`, but for policies and triggers, which migrations put on tables of others.
with
home as (
  select oid, nspname as name from pg_catalog.pg_namespace
  where nspname !~ '^pg_' and nspname <> all (
    pg_catalog.string_to_array(pg_catalog.current_setting('orca.hidden_schemas'), ','))
),
owned as (select objid, classid from pg_catalog.pg_depend where deptype = 'e'),
relation as (
  select c.*, h.name as home, h.name || '.' || c.relname as full_name
  from pg_catalog.pg_class c join home h on h.oid = c.relnamespace
  where not exists (select from owned o
    where o.objid = c.oid and o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
),
routine as (
  select p.*, h.name || '.' || p.proname || '('
    || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' as full_name
  from pg_catalog.pg_proc p join home h on h.oid = p.pronamespace
  where not exists (select from owned o
    where o.objid = p.oid and o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
),
granted as (
  select 'relation' as of_kind, full_name,
    coalesce(relacl, pg_catalog.acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)) as acl
  from relation where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  union all
  select 'function', full_name, coalesce(proacl, pg_catalog.acldefault('f', proowner)) from routine
  union all
  select 'schema', h.name, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
  from home h join pg_catalog.pg_namespace n using (oid)
)
select 'schema', name, '' from home
union all
select 'table', full_name, pg_catalog.concat_ws(' ', relkind, relpersistence,
  case when relrowsecurity then 'rls' end, case when relforcerowsecurity then 'forced' end,
  pg_catalog.pg_get_partkeydef(oid), pg_catalog.pg_get_expr(relpartbound, oid))
from relation where relkind in ('r', 'p', 'f')
union all
select 'column', r.full_name || '.' || a.attname, pg_catalog.concat_ws(' ',
  pg_catalog.format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
  'identity ' || nullif(a.attidentity::text, ''), 'generated ' || nullif(a.attgenerated::text, ''),
  'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid),
  'collate ' || (select collname from pg_catalog.pg_collation c
    where c.oid = a.attcollation and c.collname <> 'default'))
from relation r join pg_catalog.pg_attribute a on a.attrelid = r.oid
left join pg_catalog.pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped and r.relkind in ('r', 'p', 'f', 'c')
union all
select 'constraint', coalesce(r.full_name, '') || '.' || k.conname,
  pg_catalog.pg_get_constraintdef(k.oid) || case when k.convalidated then '' else ' unchecked' end
from pg_catalog.pg_constraint k join relation r on r.oid = k.conrelid where k.contype <> 'n'
union all
select 'index', full_name, pg_catalog.pg_get_indexdef(oid) from relation where relkind in ('i', 'I')
union all
select 'view', full_name, pg_catalog.concat_ws(' ', relkind,
  (select pg_catalog.string_agg(o, ',' order by o) from pg_catalog.unnest(reloptions) o),
  pg_catalog.pg_get_viewdef(oid))
from relation where relkind in ('v', 'm')
union all
select 'sequence', r.full_name, pg_catalog.concat_ws(' ', s.seqtypid::pg_catalog.regtype, s.seqstart,
  s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
from relation r join pg_catalog.pg_sequence s on s.seqrelid = r.oid
union all
select 'function', full_name, case when prokind in ('f', 'p')
  then pg_catalog.pg_get_functiondef(oid) else pg_catalog.pg_get_function_result(oid) end
from routine
union all
select 'type', h.name || '.' || t.typname, pg_catalog.concat_ws(' ', t.typtype,
  (select pg_catalog.string_agg(e.enumlabel, ',' order by e.enumsortorder)
    from pg_catalog.pg_enum e where e.enumtypid = t.oid),
  case when t.typtype = 'd' then pg_catalog.format_type(t.typbasetype, t.typtypmod) end,
  (select pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ',' order by k.conname)
    from pg_catalog.pg_constraint k where k.contypid = t.oid))
from pg_catalog.pg_type t join home h on h.oid = t.typnamespace
where t.typtype in ('e', 'd') and not exists (select from owned o
  where o.objid = t.oid and o.classid = 'pg_catalog.pg_type'::pg_catalog.regclass)
union all
select 'policy', n.nspname || '.' || c.relname || '.' || p.polname, pg_catalog.concat_ws(' ', p.polcmd,
  case when p.polpermissive then 'permissive' else 'restrictive' end,
  (select pg_catalog.string_agg(coalesce(a.rolname, 'public'), ',' order by a.rolname)
    from pg_catalog.unnest(p.polroles) r left join pg_catalog.pg_roles a on a.oid = r),
  'using ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid),
  'check ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
union all
select 'trigger', n.nspname || '.' || c.relname || '.' || t.tgname,
  t.tgenabled::text || ' ' || pg_catalog.pg_get_triggerdef(t.oid)
from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace where not t.tgisinternal
union all
-- MAINTAIN came with Postgres 17; it guards no row.
select 'grant', of_kind || ' ' || full_name, (select pg_catalog.string_agg(line, ',' order by line)
  from (select pg_catalog.regexp_replace(a::text, '(=[a-zA-Z*]*)m[*]?', '\1') as line
    from pg_catalog.unnest(acl) a) lines)
from granted
union all
select 'default grant', pg_catalog.concat_ws(' ', r.rolname, n.nspname, d.defaclobjtype),
  (select pg_catalog.string_agg(line, ',' order by line)
    from (select pg_catalog.regexp_replace(a::text, '(=[a-zA-Z*]*)m[*]?', '\1') as line
      from pg_catalog.unnest(d.defaclacl) a) lines)
from pg_catalog.pg_default_acl d join pg_catalog.pg_roles r on r.oid = d.defaclrole
left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
union all
select 'extension', extname, '' from pg_catalog.pg_extension where extname <> 'plpgsql'
order by 1, 2, 3
