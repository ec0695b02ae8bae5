-- The statements that the account of dumps still needs, none when it is as it should be, or when this is a standby, which gets it from its primary.
-- Runs with search_path = pg_catalog, pg_temp. named_args: account (its name), databases (those that it dumps, as JSON).
WITH
  account (name) AS (VALUES (%(account)s::name)),
  databases (name) AS (
    SELECT d.datname FROM pg_database AS d JOIN json_array_elements_text(%(databases)s::json) AS listed (name) ON listed.name = d.datname
  ),
  statements (step, statement) AS (
    SELECT 1, format('CREATE ROLE %%I LOGIN', a.name)
    FROM account AS a
    WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = a.name)
    UNION ALL
    SELECT 2, format('ALTER ROLE %%I LOGIN BYPASSRLS NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD NULL', a.name)
    FROM account AS a
    LEFT JOIN pg_authid AS r ON r.rolname = a.name
    WHERE (r.rolcanlogin, r.rolbypassrls, r.rolreplication, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolpassword IS NULL)
      IS DISTINCT FROM (true, true, false, false, false, false, true)
    UNION ALL
    SELECT 3, format('ALTER ROLE %%I SET default_transaction_read_only = on', a.name)
    FROM account AS a
    WHERE NOT EXISTS (
      SELECT FROM pg_db_role_setting AS s
      JOIN pg_roles AS r ON r.oid = s.setrole
      WHERE r.rolname = a.name AND s.setdatabase = 0 AND 'default_transaction_read_only=on' = ANY (s.setconfig)
    )
    UNION ALL
    SELECT 4, format('GRANT pg_read_all_data TO %%I', a.name)
    FROM account AS a
    WHERE NOT EXISTS (
      SELECT FROM pg_auth_members AS g
      JOIN pg_roles AS member ON member.oid = g.member AND member.rolname = a.name
      JOIN pg_roles AS granted ON granted.oid = g.roleid AND granted.rolname = 'pg_read_all_data'
    )
    UNION ALL
    SELECT 5, format('GRANT CONNECT ON DATABASE %%I TO %%I', d.name, a.name)
    FROM databases AS d, account AS a
    WHERE NOT EXISTS (
      SELECT FROM pg_roles AS r
      WHERE r.rolname = a.name AND has_database_privilege(r.oid, d.name, 'CONNECT')
    )
  )
SELECT coalesce(json_agg(statement ORDER BY step, statement), '[]') AS statements
FROM statements
WHERE NOT pg_is_in_recovery()
