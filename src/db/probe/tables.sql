-- Relations of the API, which are in the schemas of `pgrst.db_schemas`: name, quoted name, owner column, columns and values of a row without its owner,
-- what anon and authenticated may do. Values are those of row 1.
with api as (
  select c.oid, c.relkind, n.nspname || '.' || c.relname as name,
    pg_catalog.format('%I.%I', n.nspname, c.relname) as quoted
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = any (pg_catalog.string_to_array(pg_catalog.current_setting('pgrst.db_schemas'), ','))
    and n.nspname <> 'graphql_public' and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
    and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e'
      and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
),
-- Columns that refer to a user, or to something that is one user's alone.
person as (
  select k.conrelid, k.conkey[1] as attnum, k.confrelid, k.confkey[1] as referred
  from pg_catalog.pg_constraint k where k.contype = 'f' and pg_catalog.cardinality(k.conkey) = 1
),
owner as (
  select distinct on (a.attrelid) a.attrelid, a.attname, a.attnum
  from pg_catalog.pg_attribute a join api on api.oid = a.attrelid and api.relkind in ('r', 'p')
  left join person p on p.conrelid = a.attrelid and p.attnum = a.attnum
  left join person q on q.conrelid = p.confrelid and q.attnum = p.referred
    and q.confrelid = 'auth.users'::pg_catalog.regclass
  where a.attnum > 0 and not a.attisdropped and a.attidentity = '' and a.attgenerated = ''
    and a.atttypid in ('uuid'::pg_catalog.regtype, 'text'::pg_catalog.regtype)
    and (p.confrelid = 'auth.users'::pg_catalog.regclass or q.conrelid is not null
      or a.attname in ('user_id', 'owner', 'owner_id', 'created_by', 'author_id', 'profile_id'))
  order by a.attrelid, (p.confrelid = 'auth.users'::pg_catalog.regclass) desc nulls last,
    (q.conrelid is not null) desc, a.attname <> 'user_id', a.attnum
),
filled as (
  select a.attrelid,
    pg_catalog.string_agg(pg_catalog.format('%I', a.attname), ', ' order by a.attnum) as columns,
    pg_catalog.string_agg('(' || v.value || ')::' || pg_catalog.format_type(a.atttypid, a.atttypmod),
      ', ' order by a.attnum) as values
  from pg_catalog.pg_attribute a join api on api.oid = a.attrelid
  left join owner o on o.attrelid = a.attrelid and o.attnum = a.attnum
  join pg_catalog.pg_type d on d.oid = a.atttypid
  join pg_catalog.pg_type t on t.oid = case when d.typtype = 'd' then d.typbasetype else d.oid end,
  lateral (select case
      when t.typtype = 'e' then (select pg_catalog.quote_literal(e.enumlabel) from pg_catalog.pg_enum e
        where e.enumtypid = t.oid order by e.enumsortorder limit 1)
      when t.typcategory = 'A' then '''{}'''
      when t.typcategory = 'N' then '1'
      when t.typname = 'bool' then 'false'
      when t.typname = 'uuid' then pg_catalog.format('pg_catalog.md5(%L)', a.attname)
      when t.typname in ('varchar', 'bpchar') and a.atttypmod > 4
        then pg_catalog.format('pg_catalog.left(''probe'', %s)', a.atttypmod - 4)
      when t.typcategory = 'S' then '''probe'''
      when t.typname in ('time', 'timetz') then '''12:00'''
      when t.typcategory = 'D' then '''2020-01-01'''
      when t.typcategory = 'T' then '''1 second'''
      when t.typname in ('json', 'jsonb') then '''{}'''
      when t.typname = 'bytea' then '''\x00'''
      when t.typcategory = 'I' then '''10.0.0.1'''
      else '''0'''
    end as value) v
  where a.attnum > 0 and not a.attisdropped and a.attnotnull and not a.atthasdef
    and a.attidentity = '' and a.attgenerated = '' and o.attnum is null
  group by a.attrelid
)
select api.name, api.quoted, pg_catalog.quote_ident(o.attname), f.columns, f.values, a.may, u.may
from api left join owner o on o.attrelid = api.oid left join filled f on f.attrelid = api.oid,
lateral (select pg_catalog.string_agg(m.letter, '') as may
  from (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')) m (letter, does)
  where pg_catalog.has_table_privilege('anon', api.oid, m.does)) a,
lateral (select pg_catalog.string_agg(m.letter, '') as may
  from (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')) m (letter, does)
  where pg_catalog.has_table_privilege('authenticated', api.oid, m.does)) u
order by 1
