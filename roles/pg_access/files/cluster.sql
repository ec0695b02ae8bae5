-- The roles, databases and settings in scope, and the extensions that the server offers. One row, one JSON value.
-- Runs with search_path = pg_catalog, pg_temp: nothing that the owner of a database has planted is called.
WITH
  named_roles AS (
    SELECT r.*
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname = ANY (
      SELECT pg_catalog.jsonb_array_elements_text(%(scope)s::pg_catalog.jsonb -> 'roles')
    )
  ),
  named_databases AS (
    SELECT d.*
    FROM pg_catalog.pg_database AS d
    WHERE d.datname = ANY (
      SELECT pg_catalog.jsonb_array_elements_text(%(scope)s::pg_catalog.jsonb -> 'databases')
    )
  ),
  -- What the roles to be dropped own or were granted, by database; the empty name stands for no database.
  dependencies AS (
    SELECT
      s.refobjid AS role,
      coalesce(d.datname, '') AS database,
      count(*) FILTER (WHERE s.deptype = 'o' AND s.classid <> 'pg_catalog.pg_default_acl'::pg_catalog.regclass) AS owned
    FROM pg_catalog.pg_shdepend AS s
    JOIN named_roles AS r ON r.oid = s.refobjid
    LEFT JOIN pg_catalog.pg_database AS d
      ON d.oid = CASE WHEN s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass THEN s.objid ELSE s.dbid END
    WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      AND r.rolname = ANY (
        SELECT pg_catalog.jsonb_array_elements_text(%(scope)s::pg_catalog.jsonb -> 'dropped')
      )
    GROUP BY 1, 2
  )
SELECT pg_catalog.jsonb_build_object(
  'version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
  'in_recovery', pg_catalog.pg_is_in_recovery(),
  'roles', (
    SELECT coalesce(pg_catalog.jsonb_object_agg(r.rolname, pg_catalog.jsonb_build_object(
      'login', r.rolcanlogin,
      'superuser', r.rolsuper,
      'createdb', r.rolcreatedb,
      'createrole', r.rolcreaterole,
      'inherit', r.rolinherit,
      'replication', r.rolreplication,
      'bypassrls', r.rolbypassrls,
      'connection_limit', r.rolconnlimit,
      'valid_until', CASE
        WHEN pg_catalog.isfinite(r.rolvaliduntil)
        THEN pg_catalog.to_char(pg_catalog.timezone('UTC', r.rolvaliduntil), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
      END,
      -- Membership options exist since version 16; before, every membership can be used in both ways.
      'member_of', (
        SELECT coalesce(pg_catalog.jsonb_agg(DISTINCT g.rolname), '[]')
        FROM pg_catalog.pg_auth_members AS m
        JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid
        WHERE m.member = r.oid
          AND coalesce((pg_catalog.to_jsonb(m) ->> 'inherit_option')::pg_catalog.bool, true)
          AND coalesce((pg_catalog.to_jsonb(m) ->> 'set_option')::pg_catalog.bool, true)
      ),
      'owns', (
        SELECT coalesce(pg_catalog.jsonb_object_agg(p.database, p.owned), '{}')
        FROM dependencies AS p
        WHERE p.role = r.oid AND p.owned > 0
      ),
      'granted', (
        SELECT coalesce(pg_catalog.jsonb_agg(p.database), '[]') FROM dependencies AS p WHERE p.role = r.oid
      )
    )), '{}')
    FROM named_roles AS r
  ),
  'databases', (
    SELECT coalesce(pg_catalog.jsonb_object_agg(d.datname, pg_catalog.jsonb_build_object(
      'owner', pg_catalog.pg_get_userbyid(d.datdba),
      'allow_connections', d.datallowconn,
      'connection_limit', d.datconnlimit,
      'encoding', pg_catalog.pg_encoding_to_char(d.encoding),
      'locale', d.datcollate,
      'locale_provider', CASE pg_catalog.to_jsonb(d) ->> 'datlocprovider'
        WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc'
      END,
      -- The column's name changed in version 17.
      'icu_locale', CASE
        WHEN pg_catalog.to_jsonb(d) ->> 'datlocprovider' = 'i'
        THEN coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale')
      END,
      'acl', (
        SELECT coalesce(pg_catalog.jsonb_object_agg(g.role, g.privileges), '{}')
        FROM (
          SELECT
            CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(a.grantee) END AS role,
            pg_catalog.jsonb_agg(DISTINCT a.privilege_type || o.words) AS privileges
          FROM pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS a
          JOIN (VALUES ('', false), (' WITH GRANT OPTION', true)) AS o (words, grantable) ON a.is_grantable OR NOT o.grantable
          GROUP BY 1
        ) AS g
      )
    )), '{}')
    FROM named_databases AS d
  ),
  -- Who is a member of a role in scope, and of what a role in scope is a member, however the membership may be used.
  'memberships', (
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'role', pg_catalog.pg_get_userbyid(m.roleid),
      'member', pg_catalog.pg_get_userbyid(m.member),
      'grantor', pg_catalog.pg_get_userbyid(m.grantor)
    )), '[]')
    FROM pg_catalog.pg_auth_members AS m
    WHERE m.roleid IN (SELECT r.oid FROM named_roles AS r) OR m.member IN (SELECT r.oid FROM named_roles AS r)
  ),
  -- What is there beside the roles and databases in scope: roles that log in or stand above privileges, and databases.
  'others', pg_catalog.jsonb_build_object(
    'roles', (
      SELECT coalesce(pg_catalog.jsonb_object_agg(r.rolname, pg_catalog.jsonb_build_object(
        'login', r.rolcanlogin, 'superuser', r.rolsuper, 'bypassrls', r.rolbypassrls
      )), '{}')
      FROM pg_catalog.pg_roles AS r
      WHERE (r.rolcanlogin OR r.rolsuper OR r.rolbypassrls) AND r.rolname OPERATOR(pg_catalog.!~) '^pg_'
        AND r.oid NOT IN (SELECT n.oid FROM named_roles AS n)
    ),
    'databases', (
      SELECT coalesce(pg_catalog.jsonb_agg(d.datname ORDER BY d.datname), '[]')
      FROM pg_catalog.pg_database AS d
      WHERE NOT d.datistemplate AND d.datname <> 'postgres' AND d.oid NOT IN (SELECT n.oid FROM named_databases AS n)
    )
  ),
  'settings', (
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'role', coalesce(r.rolname, ''),
      'database', coalesce(d.datname, ''),
      'values', s.setconfig
    )), '[]')
    FROM pg_catalog.pg_db_role_setting AS s
    LEFT JOIN named_roles AS r ON r.oid = s.setrole
    LEFT JOIN named_databases AS d ON d.oid = s.setdatabase
    WHERE (s.setrole = 0 OR r.oid IS NOT NULL) AND (s.setdatabase = 0 OR d.oid IS NOT NULL)
  ),
  'extensions', (
    SELECT coalesce(pg_catalog.jsonb_object_agg(e.name, pg_catalog.jsonb_build_object(
      'version', e.version,
      'versions', (
        SELECT pg_catalog.jsonb_agg(v.version) FROM pg_catalog.pg_available_extension_versions AS v WHERE v.name = e.name
      ),
      'schema', e.schema
    )), '{}')
    FROM pg_catalog.pg_available_extension_versions AS e
    JOIN pg_catalog.pg_available_extensions AS x ON x.name = e.name AND x.default_version = e.version
  )
) AS state
