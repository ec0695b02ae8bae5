
    SELECT rolname::text, rolpassword
    FROM pg_catalog.pg_authid
    WHERE rolname = wanted
      AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
      AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())
      AND rolpassword LIKE 'SCRAM-SHA-256$%'
