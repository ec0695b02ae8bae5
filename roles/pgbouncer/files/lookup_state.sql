-- Whether the lookup function of this database is as lookup.sql makes it, and nobody else may use it.
SELECT EXISTS (
    SELECT
    FROM pg_catalog.pg_proc AS function
    JOIN pg_catalog.pg_namespace AS schema ON schema.oid = function.pronamespace
    JOIN pg_catalog.pg_roles AS owner ON owner.oid = function.proowner
    JOIN pg_catalog.pg_roles AS account ON account.rolname = %(user)s
    WHERE schema.nspname = 'pgsteward_pooler'
      AND function.proname = 'user_lookup'
      AND function.prosecdef
      AND owner.rolsuper
      AND schema.nspowner = function.proowner
      AND function.prosrc = %(body)s
      AND function.proconfig = ARRAY['search_path=pg_catalog, pg_temp']
      AND (SELECT array_agg(DISTINCT grantee) FROM aclexplode(function.proacl) WHERE grantee <> function.proowner) = ARRAY[account.oid]
      AND (SELECT array_agg(DISTINCT grantee) FROM aclexplode(schema.nspacl) WHERE grantee <> schema.nspowner) = ARRAY[account.oid]
      AND has_database_privilege(account.oid, current_database(), 'CONNECT')
) AS stands;
