-- Roles, without their passwords: what they may, and whose members they are.
select 'role', rolname, pg_catalog.concat_ws(' ',
  case when rolsuper then 'superuser' else 'nosuperuser' end,
  case when rolinherit then 'inherit' else 'noinherit' end,
  case when rolcreaterole then 'createrole' else 'nocreaterole' end,
  case when rolcreatedb then 'createdb' else 'nocreatedb' end,
  case when rolcanlogin then 'login' else 'nologin' end,
  case when rolreplication then 'replication' else 'noreplication' end,
  case when rolbypassrls then 'bypassrls' else 'nobypassrls' end,
  'connection limit ' || rolconnlimit)
from pg_catalog.pg_roles where rolname !~ '^pg_'
union all
select 'member', m.rolname, r.rolname
from pg_catalog.pg_auth_members g join pg_catalog.pg_roles r on r.oid = g.roleid
join pg_catalog.pg_roles m on m.oid = g.member where m.rolname !~ '^pg_'
union all
select 'extension', e.extname, n.nspname
from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname <> 'plpgsql'
order by 1, 2, 3
