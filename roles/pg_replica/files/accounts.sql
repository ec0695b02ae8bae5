-- The statements that the accounts of replication and of operations still need; none when they are as they should be.
-- Runs with search_path = pg_catalog, pg_temp. named_args: replication, operations (names of the accounts).
WITH
  accounts (name, attributes, wanted) AS (
    VALUES
      (%(replication)s::name, 'LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', true),
      (%(operations)s::name, 'LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', false)
  ),
  -- pg_rewind reads files of the primary through these; the rest is what a change of primary asks for.
  functions (account, signature) AS (
    VALUES
      (%(replication)s::name, 'pg_catalog.pg_ls_dir(text, boolean, boolean)'),
      (%(replication)s::name, 'pg_catalog.pg_stat_file(text, boolean)'),
      (%(replication)s::name, 'pg_catalog.pg_read_binary_file(text)'),
      (%(replication)s::name, 'pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)'),
      (%(operations)s::name, 'pg_catalog.pg_promote(boolean, integer)'),
      (%(operations)s::name, 'pg_catalog.pg_reload_conf()')
  ),
  memberships (account, role) AS (
    -- Whoever copies the data needs to know their size.
    VALUES
      (%(operations)s::name, 'pg_monitor'::name),
      (%(operations)s::name, 'pg_checkpoint'::name),
      (%(replication)s::name, 'pg_read_all_stats'::name)
  ),
  statements (step, statement) AS (
    SELECT 1, format('CREATE ROLE %%I %%s', a.name, a.attributes)
    FROM accounts AS a
    WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = a.name)
    UNION ALL
    SELECT 2, format('ALTER ROLE %%I %%s', a.name, a.attributes)
    FROM accounts AS a
    JOIN pg_roles AS r ON r.rolname = a.name
    WHERE (r.rolcanlogin, r.rolreplication, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolbypassrls)
      IS DISTINCT FROM (true, a.wanted, false, false, false, false)
    UNION ALL
    SELECT 3, format('GRANT %%I TO %%I', m.role, m.account)
    FROM memberships AS m
    WHERE NOT EXISTS (
      SELECT FROM pg_auth_members AS g
      JOIN pg_roles AS member ON member.oid = g.member AND member.rolname = m.account
      JOIN pg_roles AS granted ON granted.oid = g.roleid AND granted.rolname = m.role
    )
    UNION ALL
    SELECT 4, format('GRANT EXECUTE ON FUNCTION %%s TO %%I', f.signature, f.account)
    FROM functions AS f
    WHERE NOT EXISTS (
      SELECT FROM pg_roles AS r
      WHERE r.rolname = f.account AND has_function_privilege(r.oid, f.signature::regprocedure, 'EXECUTE')
    )
  )
SELECT coalesce(json_agg(statement ORDER BY step, statement), '[]') AS statements FROM statements
