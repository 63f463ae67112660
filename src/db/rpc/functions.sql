-- Functions that PostgREST offers in the schemas of `pgrst.db_schemas`: name, names and types of what goes in, how many are required,
-- result, volatility, who may call. Types are printed with their schemas.
select n.nspname || '.' || p.proname,
  coalesce(pg_catalog.to_json(a.names)::text, '[]'), coalesce(pg_catalog.to_json(a.types)::text, '[]'),
  p.pronargs - p.pronargdefaults,
  pg_catalog.pg_get_function_result(p.oid)
    -- A row type is its columns: what is added to the table is added to the answer.
    || coalesce(' {' || (select pg_catalog.string_agg(c.attname || ' '
        || pg_catalog.format_type(c.atttypid, c.atttypmod), ', ' order by c.attnum)
      from pg_catalog.pg_attribute c join pg_catalog.pg_type t on t.typrelid = c.attrelid
      where t.oid = p.prorettype and c.attnum > 0 and not c.attisdropped) || '}', ''),
  p.provolatile,
  (select coalesce(pg_catalog.to_json(pg_catalog.array_agg(r))::text, '[]')
    from pg_catalog.unnest(array['anon', 'authenticated', 'service_role']) r
    where pg_catalog.has_function_privilege(r, p.oid, 'execute'))
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace,
lateral (select
    pg_catalog.array_agg(coalesce(p.proargnames[i], '') order by i) as names,
    pg_catalog.array_agg(pg_catalog.format_type(coalesce(p.proallargtypes[i], p.proargtypes[i - 1]), null)
      || case when p.proargmodes[i] = 'v' then ' variadic' else '' end order by i) as types
  from pg_catalog.generate_series(1, pg_catalog.cardinality(
    coalesce(p.proallargtypes, p.proargtypes::pg_catalog.oid[]))) i
  where coalesce(p.proargmodes[i], 'i') in ('i', 'b', 'v')) a
where n.nspname = any (pg_catalog.string_to_array(pg_catalog.current_setting('pgrst.db_schemas'), ','))
  and p.prokind = 'f'
  and p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
  and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e'
    and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
order by 1, 2, 3
