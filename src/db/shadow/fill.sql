-- Columns of a table and a value for row i of each: table, column, value. Columns that fill themselves,
-- and those that may stay empty and are of a type not known here, have no value.
select pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.format('%I', a.attname),
  case
    when a.attidentity <> '' or a.attgenerated <> '' or a.atthasdef then null
    else '(' || v.value || ')::' || pg_catalog.format_type(a.atttypid, a.atttypmod)
  end
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type d on d.oid = a.atttypid
join pg_catalog.pg_type t on t.oid = case when d.typtype = 'd' then d.typbasetype else d.oid end,
lateral (select case
    when t.typtype = 'e' then (select pg_catalog.quote_literal(e.enumlabel) from pg_catalog.pg_enum e
      where e.enumtypid = t.oid order by e.enumsortorder limit 1)
    when t.typcategory = 'A' then '''{}'''
    when t.typname = 'numeric' and a.atttypmod >= 0 then 'i % 10'
    when t.typname in ('int4', 'int8', 'numeric', 'float4', 'float8', 'oid') then 'i'
    when t.typname = 'int2' then 'i % 32000'
    when t.typname = 'bool' then 'i % 2 = 0'
    when t.typname = 'uuid' then pg_catalog.format('md5(i::text || %L)', a.attname)
    when t.typname in ('varchar', 'bpchar') and a.atttypmod > 4
      then pg_catalog.format('right(''row '' || i, %s)', a.atttypmod - 4)
    when t.typcategory = 'S' then '''row '' || i'
    when t.typname in ('time', 'timetz') then '''12:00'''
    when t.typcategory = 'D' then 'timestamp ''2020-01-01'' + i * interval ''1 second'''
    when t.typcategory = 'T' then 'i * interval ''1 second'''
    when t.typname in ('json', 'jsonb') then '''{}'''
    when t.typname = 'bytea' then '''\x00'''
    when t.typcategory = 'I' then 'inet ''10.0.0.0'' + i'
    when a.attnotnull then '''0'''
  end as value) v
where c.relkind in ('r', 'p') and n.nspname || '.' || c.relname = @table@
order by a.attnum
