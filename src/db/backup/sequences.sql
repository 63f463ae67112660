-- Sequences: name, schema, and the table and integer column that an ascending one feeds.
select pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname,
  (select pg_catalog.format('%I.%I', tn.nspname, t.relname)), a.col
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_sequence s on s.seqrelid = c.oid
left join pg_catalog.pg_depend d on d.objid = c.oid and d.deptype in ('a', 'i')
  and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjsubid > 0
  and s.seqincrement > 0 and not s.seqcycle
left join pg_catalog.pg_class t on t.oid = d.refobjid
left join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
left join lateral (select pg_catalog.quote_ident(attname) as col from pg_catalog.pg_attribute
  where attrelid = d.refobjid and attnum = d.refobjsubid
    and atttypid in ('int2'::pg_catalog.regtype, 'int4'::pg_catalog.regtype, 'int8'::pg_catalog.regtype)) a on true
where c.relkind = 'S' and c.relpersistence <> 't' and n.nspname !~ '^pg_'
  and not exists (select from pg_catalog.pg_depend e where e.objid = c.oid and e.deptype = 'e'
    and e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
order by 1
