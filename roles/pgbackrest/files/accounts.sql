-- The statements that the account of backups still needs, none when it is as it should be; and whose its archive has to be.
-- Runs with search_path = pg_catalog, pg_temp. named_args: account (its name).
WITH
  account (name) AS (VALUES (%(account)s::name)),
  functions (signature) AS (
    VALUES
      ('pg_catalog.pg_backup_start(text, boolean)'),
      ('pg_catalog.pg_backup_stop(boolean)'),
      ('pg_catalog.pg_start_backup(text, boolean, boolean)'),  -- before 15
      ('pg_catalog.pg_stop_backup(boolean, boolean)'),
      ('pg_catalog.pg_switch_wal()'),
      ('pg_catalog.pg_create_restore_point(text)')
  ),
  memberships (role) AS (
    -- A backup from a standby begins with a checkpoint there.
    VALUES ('pg_read_all_settings'::name), ('pg_checkpoint'::name)
  ),
  statements (step, statement) AS (
    SELECT 1, format('CREATE ROLE %%I LOGIN', a.name)
    FROM account AS a
    WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = a.name)
    UNION ALL
    SELECT 2, format('ALTER ROLE %%I LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD NULL', a.name)
    FROM account AS a
    JOIN pg_authid AS r ON r.rolname = a.name
    WHERE (r.rolcanlogin, r.rolreplication, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolbypassrls, r.rolpassword IS NULL)
      IS DISTINCT FROM (true, false, false, false, false, false, true)
    UNION ALL
    SELECT 3, format('GRANT %%I TO %%I', m.role, a.name)
    FROM memberships AS m, account AS a
    WHERE EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = m.role)
      AND NOT EXISTS (
        SELECT FROM pg_auth_members AS g
        JOIN pg_roles AS member ON member.oid = g.member AND member.rolname = a.name
        JOIN pg_roles AS granted ON granted.oid = g.roleid AND granted.rolname = m.role
      )
    UNION ALL
    SELECT 4, format('GRANT EXECUTE ON FUNCTION %%s TO %%I', f.signature, a.name)
    FROM functions AS f, account AS a
    WHERE to_regprocedure(f.signature) IS NOT NULL
      AND NOT EXISTS (
        SELECT FROM pg_roles AS r
        WHERE r.rolname = a.name AND has_function_privilege(r.oid, to_regprocedure(f.signature), 'EXECUTE')
      )
  )
SELECT coalesce(json_agg(statement ORDER BY step, statement), '[]') AS statements,
  (SELECT system_identifier::text FROM pg_control_system()) AS identifier
FROM statements
