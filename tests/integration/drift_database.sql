-- What the clean schema of the drift matrix has beside its objects: a database made from a template lacks it.

DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database());
  EXECUTE format('ALTER DATABASE %I SET statement_timeout = ''1h''', current_database());
  EXECUTE format('ALTER ROLE pgsteward_drift_reader IN DATABASE %I SET search_path = app, public', current_database());
  EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 50', current_database());
  EXECUTE format('GRANT CREATE ON DATABASE %I TO pgsteward_drift_writer', current_database());
  EXECUTE format('COMMENT ON DATABASE %I IS ''Made to drift''', current_database());
END $$;
CREATE SUBSCRIPTION app_subscription CONNECTION 'host=nowhere password=hidden' PUBLICATION theirs, others
  WITH (connect = false, slot_name = NONE, synchronous_commit = 'local', streaming = on);
COMMENT ON SUBSCRIPTION app_subscription IS 'Never connected';
