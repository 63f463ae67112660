-- What is made from here on is a stand-in.
do $orca$ begin
  perform pg_catalog.set_config('orca.before', (select pg_catalog.max(o.oid::pg_catalog.int8)::text
    from (select oid from pg_catalog.pg_proc union all select oid from pg_catalog.pg_type) o), true);
end $orca$;
