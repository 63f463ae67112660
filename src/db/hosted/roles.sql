-- Roles and what they may, as one JSON document in one cell.
select pg_catalog.json_build_object(
  'public_creates', exists (select from pg_catalog.pg_namespace n,
    pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
    where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE'),
  'roles', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
    'name', r.rolname, 'superuser', r.rolsuper, 'login', r.rolcanlogin, 'inherit', r.rolinherit,
    'bypass_rls', r.rolbypassrls, 'makes_roles', r.rolcreaterole, 'makes_databases', r.rolcreatedb,
    'replication', r.rolreplication,
    'creates', exists (select from pg_catalog.pg_namespace n where n.nspname = 'public'
      and pg_catalog.has_schema_privilege(r.oid, n.oid, 'create')),
    'member_of', (select coalesce(pg_catalog.json_agg(g.rolname order by g.rolname), '[]'::pg_catalog.json)
      from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid
      where m.member = r.oid)) order by r.rolname), '[]'::pg_catalog.json)
    from pg_catalog.pg_roles r))::pg_catalog.text as answer
