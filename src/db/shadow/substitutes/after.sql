
-- Stand-ins belong to an extension that every database has. Where that is not allowed they stay as
-- they are.
do $orca$
declare
  made text;
  begun pg_catalog.int8 := pg_catalog.current_setting('orca.before')::pg_catalog.int8;
begin
  for made in
    select 'type ' || t.oid::pg_catalog.regtype from pg_catalog.pg_type t
    left join pg_catalog.pg_class c on c.oid = t.typrelid
    where t.oid::pg_catalog.int8 > begun and t.typcategory <> 'A' and coalesce(c.relkind, 'c') = 'c'
    union all
    select 'function ' || oid::pg_catalog.regprocedure from pg_catalog.pg_proc
    where oid::pg_catalog.int8 > begun
  loop
    execute 'alter extension plpgsql add ' || made;
  end loop;
exception when insufficient_privilege then null;
end $orca$;
