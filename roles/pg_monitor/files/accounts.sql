-- The statements that the account of the monitoring still needs, none when it is as it should be, or when this is a standby, which gets it from its
-- primary. It may look at the server's own figures, and at nothing that belongs to others; nobody logs in as it but the system's account of its name.
-- Runs in the database postgres, with search_path = pg_catalog, pg_temp. named_args: account (its name).
WITH
  account (name) AS (VALUES (%(account)s::name)),
  settings (name, value, shown) AS (
    VALUES
      ('search_path', 'pg_catalog, pg_temp', 'pg_catalog, pg_temp'),
      ('default_transaction_read_only', 'on', '''on'''),
      ('statement_timeout', '10s', '''10s''')
  ),
  statements (step, statement) AS (
    SELECT 1, format('CREATE ROLE %%I LOGIN', a.name)
    FROM account AS a
    WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = a.name)
    UNION ALL
    SELECT 2, format('ALTER ROLE %%I LOGIN INHERIT NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS CONNECTION LIMIT 8 PASSWORD NULL', a.name)
    FROM account AS a
    LEFT JOIN pg_authid AS r ON r.rolname = a.name
    WHERE (r.rolcanlogin, r.rolinherit, r.rolreplication, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolbypassrls, r.rolconnlimit,
      r.rolpassword IS NULL) IS DISTINCT FROM (true, true, false, false, false, false, false, 8, true)
    UNION ALL
    SELECT 3, format('ALTER ROLE %%I SET %%s = %%s', a.name, s.name, s.shown)
    FROM account AS a, settings AS s
    WHERE NOT EXISTS (
      SELECT FROM pg_db_role_setting AS held
      JOIN pg_roles AS r ON r.oid = held.setrole
      WHERE r.rolname = a.name AND held.setdatabase = 0 AND s.name || '=' || s.value = ANY (held.setconfig)
    )
    UNION ALL
    SELECT 4, format('GRANT pg_monitor TO %%I', a.name)
    FROM account AS a
    WHERE NOT EXISTS (
      SELECT FROM pg_auth_members AS g
      JOIN pg_roles AS member ON member.oid = g.member AND member.rolname = a.name
      JOIN pg_roles AS granted ON granted.oid = g.roleid AND granted.rolname = 'pg_monitor'
    )
    UNION ALL
    SELECT 5, format('GRANT CONNECT ON DATABASE %%I TO %%I', d.datname, a.name)
    FROM pg_database AS d, account AS a
    WHERE d.datallowconn AND NOT d.datistemplate AND NOT EXISTS (
      SELECT FROM pg_roles AS r
      WHERE r.rolname = a.name AND has_database_privilege(r.oid, d.oid, 'CONNECT')
    )
    UNION ALL
    -- It counts the statements of all databases, wherever it is.
    SELECT 6, 'CREATE EXTENSION pg_stat_statements SCHEMA public'
    WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')
      AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements')
  )
SELECT coalesce(json_agg(statement ORDER BY step, statement), '[]') AS statements
FROM statements
WHERE NOT pg_is_in_recovery()
