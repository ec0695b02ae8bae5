-- What the schemas in scope hold, as far as owners and privileges go. One row, one JSON value.
-- Runs with search_path = pg_catalog, pg_temp: nothing that the owner of the database has planted is called.
-- Objects with equal privileges share an entry: a thousand tables make a short answer. Members of extensions are left out.
WITH
  named_schemas AS (
    SELECT
      n.oid, n.nspname, n.nspowner,
      coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) AS acl
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname = ANY (
      SELECT pg_catalog.jsonb_array_elements_text(%(scope)s::pg_catalog.jsonb -> 'schemas')
    )
  ),
  objects AS (
    SELECT
      CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
      n.nspname AS schema,
      c.relname AS name,
      c.oid::pg_catalog.regclass::pg_catalog.text AS sql,
      c.relowner AS owner,
      coalesce(
        c.relacl,
        pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::pg_catalog."char", c.relowner)
      ) AS acl
    FROM pg_catalog.pg_class AS c
    JOIN named_schemas AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
      )
    UNION ALL
    SELECT
      'function',
      n.nspname,
      p.proname,
      p.oid::pg_catalog.regprocedure::pg_catalog.text,
      p.proowner,
      coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
    FROM pg_catalog.pg_proc AS p
    JOIN named_schemas AS n ON n.oid = p.pronamespace
    WHERE NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
  ),
  -- Each different list of privileges is read once.
  acls AS (
    SELECT l.spelling, coalesce(
      (
        SELECT pg_catalog.jsonb_object_agg(g.role, g.privileges)
        FROM (
          SELECT
            CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(a.grantee) END AS role,
            pg_catalog.jsonb_agg(DISTINCT a.privilege_type || o.words) AS privileges
          FROM pg_catalog.aclexplode(l.acl) AS a
          JOIN (VALUES ('', false), (' WITH GRANT OPTION', true)) AS o (words, grantable) ON a.is_grantable OR NOT o.grantable
          GROUP BY 1
        ) AS g
      ), '{}'
    ) AS privileges
    FROM (
      SELECT DISTINCT ON (e.acl::pg_catalog.text) e.acl::pg_catalog.text AS spelling, e.acl
      FROM (
        SELECT o.acl FROM objects AS o
        UNION ALL SELECT n.acl FROM named_schemas AS n
        UNION ALL SELECT f.defaclacl FROM pg_catalog.pg_default_acl AS f
      ) AS e
    ) AS l
  )
SELECT pg_catalog.jsonb_build_object(
  'schemas', (
    SELECT coalesce(pg_catalog.jsonb_object_agg(n.nspname, pg_catalog.jsonb_build_object(
      'owner', pg_catalog.pg_get_userbyid(n.nspowner),
      'acl', l.privileges
    )), '{}')
    FROM named_schemas AS n
    JOIN acls AS l ON l.spelling = n.acl::pg_catalog.text
  ),
  'objects', (
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'kind', g.kind, 'schema', g.schema, 'owner', g.owner, 'acl', g.privileges, 'names', g.names, 'sql', g.sql
    )), '[]')
    FROM (
      SELECT
        o.kind, o.schema, pg_catalog.pg_get_userbyid(o.owner) AS owner, l.privileges,
        pg_catalog.jsonb_agg(o.name ORDER BY o.sql) AS names,
        pg_catalog.jsonb_agg(o.sql ORDER BY o.sql) AS sql
      FROM objects AS o
      JOIN acls AS l ON l.spelling = o.acl::pg_catalog.text
      GROUP BY 1, 2, 3, 4
    ) AS g
  ),
  -- What the owners own from whom a database takes over, each as ALTER wants it; its owner goes with a table, and so do the sequences
  -- of its columns, its indexes and its row type.
  'handed_over', (
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'owner', r.rolname, 'schema', n.nspname, 'sql',
      CASE i.type WHEN 'statistics object' THEN 'STATISTICS' ELSE pg_catalog.upper(i.type) END || ' ' || i.identity
    ) ORDER BY n.nspname, i.type, i.identity), '[]')
    FROM (
      SELECT c.tableoid AS class, c.oid, c.relowner AS owner, c.relnamespace AS schema
      FROM pg_catalog.pg_class AS c
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend AS d
          WHERE d.classid = c.tableoid AND d.objid = c.oid AND d.refclassid = c.tableoid AND d.refobjsubid > 0
            AND d.deptype IN ('a', 'i') AND c.relkind = 'S'
        )
      UNION ALL SELECT p.tableoid, p.oid, p.proowner, p.pronamespace FROM pg_catalog.pg_proc AS p
      UNION ALL SELECT t.tableoid, t.oid, t.typowner, t.typnamespace
      FROM pg_catalog.pg_type AS t
      LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
      -- Arrays and multiranges go with the type that they are made of.
      WHERE (c.oid IS NULL OR c.relkind = 'c') AND t.typtype <> 'm'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.typarray = t.oid)
      UNION ALL SELECT o.tableoid, o.oid, o.oprowner, o.oprnamespace FROM pg_catalog.pg_operator AS o
      UNION ALL SELECT o.tableoid, o.oid, o.opcowner, o.opcnamespace FROM pg_catalog.pg_opclass AS o
      UNION ALL SELECT o.tableoid, o.oid, o.opfowner, o.opfnamespace FROM pg_catalog.pg_opfamily AS o
      UNION ALL SELECT o.tableoid, o.oid, o.collowner, o.collnamespace FROM pg_catalog.pg_collation AS o
      UNION ALL SELECT o.tableoid, o.oid, o.conowner, o.connamespace FROM pg_catalog.pg_conversion AS o
      UNION ALL SELECT o.tableoid, o.oid, o.cfgowner, o.cfgnamespace FROM pg_catalog.pg_ts_config AS o
      UNION ALL SELECT o.tableoid, o.oid, o.dictowner, o.dictnamespace FROM pg_catalog.pg_ts_dict AS o
      UNION ALL SELECT o.tableoid, o.oid, o.stxowner, o.stxnamespace FROM pg_catalog.pg_statistic_ext AS o
    ) AS x
    JOIN pg_catalog.pg_roles AS r ON r.oid = x.owner
    JOIN named_schemas AS n ON n.oid = x.schema
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(x.class, x.oid, 0) AS i
    WHERE r.rolname = ANY (
        SELECT pg_catalog.jsonb_array_elements_text(%(scope)s::pg_catalog.jsonb -> 'handed_over')
      )
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = x.class AND d.objid = x.oid AND d.deptype = 'e'
      )
  ),
  'defaults', (
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'role', pg_catalog.pg_get_userbyid(f.defaclrole),
      'schema', n.nspname,
      'kind', CASE f.defaclobjtype WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'function' ELSE 'other' END,
      'acl', l.privileges
    )), '[]')
    FROM pg_catalog.pg_default_acl AS f
    JOIN acls AS l ON l.spelling = f.defaclacl::pg_catalog.text
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = f.defaclnamespace
  ),
  'extensions', (
    SELECT coalesce(pg_catalog.jsonb_object_agg(e.extname, pg_catalog.jsonb_build_object(
      'version', e.extversion,
      'schema', n.nspname
    )), '{}')
    FROM pg_catalog.pg_extension AS e
    JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
  )
) AS state
