-- The clean schema of the drift matrix: every kind that docs/snapshots.md names, and of each as many attributes as it has.
-- For PostgreSQL 15 and newer, by a superuser, into an empty database. The roles pgsteward_drift_* are there already; what
-- belongs to the database itself, and so is not copied with a template, is in drift_database.sql.

SET client_min_messages = warning;

CREATE SCHEMA app AUTHORIZATION pgsteward_drift_owner;
GRANT USAGE ON SCHEMA app TO pgsteward_drift_reader WITH GRANT OPTION;
GRANT CREATE ON SCHEMA public TO pgsteward_drift_writer;
COMMENT ON SCHEMA app IS 'What the application holds';
CREATE SCHEMA spare;
CREATE SCHEMA public_too;
CREATE SCHEMA "Odd schema.";

CREATE EXTENSION vector;
CREATE EXTENSION pg_trgm SCHEMA spare;
CREATE EXTENSION hstore;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO pgsteward_drift_reader;
REVOKE SELECT ON pg_catalog.pg_stats FROM PUBLIC;

-- Types

CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE app.size AS ENUM ('small', 'large');
ALTER TYPE app.size ADD VALUE 'medium' BEFORE 'large';
ALTER TYPE app.mood OWNER TO pgsteward_drift_owner;
GRANT USAGE ON TYPE app.mood TO pgsteward_drift_reader;
REVOKE USAGE ON TYPE app.mood FROM PUBLIC;
COMMENT ON TYPE app.mood IS 'How somebody feels';
CREATE DOMAIN app.email AS text COLLATE "C" DEFAULT 'nobody@example.org' NOT NULL
  CONSTRAINT email_form CHECK (VALUE ~ '^[^@]+@[^@]+$');
COMMENT ON DOMAIN app.email IS 'An address';
COMMENT ON CONSTRAINT email_form ON DOMAIN app.email IS 'One at';
CREATE DOMAIN app.percent AS numeric(5, 2) CONSTRAINT percent_range CHECK (VALUE BETWEEN 0 AND 100);
ALTER DOMAIN app.percent ADD CONSTRAINT percent_step CHECK (VALUE * 2 = round(VALUE * 2)) NOT VALID;
CREATE DOMAIN app.plain_domain AS varchar(8);
CREATE DOMAIN app.code AS varchar(8)[] CHECK (cardinality(VALUE) < 9);
CREATE TYPE app.address AS (street text, city varchar(80) COLLATE "C", zip integer);
COMMENT ON COLUMN app.address.zip IS 'Digits only';
CREATE TYPE app.point AS (x integer, label text);
CREATE TYPE app.bare_range AS RANGE (SUBTYPE = text);
CREATE TYPE app.float_range AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi);
CREATE TYPE app.word_range AS RANGE (SUBTYPE = text, COLLATION = "C", MULTIRANGE_TYPE_NAME = app.word_ranges);
CREATE TYPE app.tiny;
CREATE FUNCTION app.tiny_in(cstring) RETURNS app.tiny LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'int4in';
CREATE FUNCTION app.tiny_out(app.tiny) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'int4out';
CREATE TYPE app.tiny (INPUT = app.tiny_in, OUTPUT = app.tiny_out, INTERNALLENGTH = 4, PASSEDBYVALUE, CATEGORY = 'U');

-- Collations, conversions

CREATE COLLATION app.german (PROVIDER = icu, LOCALE = 'de-u-co-phonebk');
CREATE COLLATION app.blind (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
CREATE COLLATION app.plain FROM "C";
COMMENT ON COLLATION app.german IS 'As in the telephone book';
CREATE CONVERSION app.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;

-- Sequences

CREATE SEQUENCE app.numbers AS integer START 5 INCREMENT 5 MINVALUE 5 MAXVALUE 5000 CACHE 3 CYCLE;
CREATE SEQUENCE app.countdown INCREMENT -1;
CREATE SEQUENCE app.plain_numbers;
GRANT USAGE ON SEQUENCE app.plain_numbers TO pgsteward_drift_writer;
COMMENT ON SEQUENCE app.plain_numbers IS 'Handed out by hand';

-- Functions

CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := now(); RETURN NEW; END $$;
CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE FUNCTION app.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE FUNCTION app.watch_too() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE FUNCTION app.plain(a integer DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.add(a integer, b integer DEFAULT 1, VARIADIC rest integer[] DEFAULT ARRAY[0, 0]) RETURNS integer
  LANGUAGE sql IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 5 AS 'SELECT a + b';
CREATE FUNCTION app.sum_sql(a integer, b numeric) RETURNS numeric LANGUAGE sql STABLE RETURN a + b;
CREATE FUNCTION app.sum_atomic(a integer, OUT total bigint, OUT half numeric) LANGUAGE sql
  BEGIN ATOMIC SELECT count(*) + a, count(*) / 2.0 FROM pg_catalog.pg_class c WHERE c.relname IN ('a', 'b'); END;
CREATE FUNCTION app.list(most integer) RETURNS TABLE (number integer, word text) LANGUAGE plpgsql ROWS 20
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '8MB' AS $$ BEGIN RETURN; END $$;
CREATE FUNCTION app.supported(a text, b text) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT SUPPORT pg_catalog.textlike_support
  AS 'textlike';
CREATE FUNCTION app.third(bigint) RETURNS bigint LANGUAGE internal WINDOW IMMUTABLE AS 'window_rank';
CREATE FUNCTION app.overloaded(integer) RETURNS integer LANGUAGE sql RETURN $1;
CREATE FUNCTION app.overloaded(text) RETURNS text LANGUAGE sql RETURN $1 || 'x';
CREATE PROCEDURE app.tidy(INOUT counted integer DEFAULT 0) LANGUAGE plpgsql AS $$ BEGIN counted := 1; END $$;
CREATE FUNCTION app.step(state bigint, value integer) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT state + value';
CREATE AGGREGATE app.total(integer) (SFUNC = app.step, STYPE = bigint, INITCOND = '0', PARALLEL = SAFE);
CREATE AGGREGATE app.middle(double precision ORDER BY double precision)
  (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_cont_float8_final);
ALTER FUNCTION app.add(integer, integer, integer[]) OWNER TO pgsteward_drift_owner;
REVOKE EXECUTE ON FUNCTION app.list(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.list(integer) TO pgsteward_drift_reader;
COMMENT ON FUNCTION app.list(integer) IS 'A list';
COMMENT ON PROCEDURE app.tidy(integer) IS 'Cleans up';
COMMENT ON AGGREGATE app.total(integer) IS 'A sum';

-- Operators, classes, families, casts

CREATE FUNCTION app.near(a integer, b integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs(a - b) < 2';
CREATE FUNCTION app.far(a integer, b integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs(a - b) >= 2';
CREATE OPERATOR app.~=~ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = app.near, COMMUTATOR = OPERATOR(app.~=~),
  RESTRICT = eqsel, JOIN = eqjoinsel);
CREATE OPERATOR app.~!~ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = app.far, COMMUTATOR = OPERATOR(app.~!~),
  NEGATOR = OPERATOR(app.~=~));
CREATE OPERATOR app.~/~ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = app.far);
CREATE OPERATOR app.~*~ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = app.near);
COMMENT ON OPERATOR app.~=~ (integer, integer) IS 'Nearly the same';
CREATE OPERATOR FAMILY app.backwards USING btree;
CREATE OPERATOR CLASS app.backwards_int FOR TYPE integer USING btree FAMILY app.backwards AS
  OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(integer, integer);
CREATE OPERATOR FAMILY app.bare USING gin;
CREATE OPERATOR FAMILY app.bare_too USING gin;
CREATE OPERATOR CLASS app.bare FOR TYPE integer USING gin FAMILY app.bare AS STORAGE text;
COMMENT ON OPERATOR FAMILY app.backwards USING btree IS 'Largest first';
COMMENT ON OPERATOR CLASS app.backwards_int USING btree IS 'Largest integer first';
CREATE FUNCTION app.to_mood(integer) RETURNS app.mood LANGUAGE sql IMMUTABLE AS $$ SELECT 'ok'::app.mood $$;
CREATE CAST (integer AS app.mood) WITH FUNCTION app.to_mood(integer) AS ASSIGNMENT;
CREATE CAST (app.tiny AS integer) WITHOUT FUNCTION;
COMMENT ON CAST (integer AS app.mood) IS 'All the same';

-- Text search

CREATE TEXT SEARCH PARSER app.words (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE app.simple (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY app.english (TEMPLATE = pg_catalog.simple, STOPWORDS = english, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION app.english (PARSER = pg_catalog."default");
ALTER TEXT SEARCH CONFIGURATION app.english ADD MAPPING FOR asciiword, word WITH app.english, english_stem;
CREATE TEXT SEARCH DICTIONARY app.bare (TEMPLATE = pg_catalog.simple);
CREATE TEXT SEARCH CONFIGURATION app.bare (PARSER = pg_catalog."default");
COMMENT ON TEXT SEARCH CONFIGURATION app.english IS 'For articles';
COMMENT ON TEXT SEARCH DICTIONARY app.english IS 'Without the small words';

-- Languages, transforms, access methods

CREATE FUNCTION app.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION app.handler_too() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION app.inline(internal) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE TRUSTED LANGUAGE app_language HANDLER app.handler INLINE app.inline;
COMMENT ON LANGUAGE app_language IS 'By another name';
GRANT USAGE ON LANGUAGE app_language TO pgsteward_drift_writer;
CREATE FUNCTION app.from_sql(internal) RETURNS internal LANGUAGE internal IMMUTABLE AS 'prsd_lextype';
CREATE FUNCTION app.to_sql(internal) RETURNS app.tiny LANGUAGE internal IMMUTABLE AS 'prsd_lextype';
CREATE TRANSFORM FOR app.tiny LANGUAGE sql (FROM SQL WITH FUNCTION app.from_sql(internal), TO SQL WITH FUNCTION app.to_sql(internal));
CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
CREATE ACCESS METHOD spare_method TYPE INDEX HANDLER bthandler;
COMMENT ON ACCESS METHOD heap_too IS 'A heap as well';

-- Tables

CREATE TABLE app.persons (
  id bigint GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 2 CACHE 5) PRIMARY KEY,
  email app.email,
  name varchar(100) NOT NULL,
  nick text COLLATE "C",
  mood app.mood NOT NULL DEFAULT 'ok',
  born date,
  score numeric(10, 2) DEFAULT 0,
  tags text[] NOT NULL DEFAULT ARRAY['new', 'x']::text[],
  kinds varchar(5)[] DEFAULT ARRAY['a', 'b']::varchar[],
  doc jsonb,
  place app.address,
  wide text,
  active boolean DEFAULT true,
  touched timestamptz NOT NULL DEFAULT now(),
  photo bytea,
  full_name text GENERATED ALWAYS AS (upper(name)) STORED,
  CONSTRAINT persons_name_key UNIQUE (name) INCLUDE (born) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT persons_nick_key UNIQUE NULLS NOT DISTINCT (nick),
  CONSTRAINT persons_score_check CHECK (score >= 0 AND score < 1000 AND (name <> '' OR born IS NULL)),
  CONSTRAINT persons_mood_check CHECK (mood IN ('ok', 'happy') OR score > 0),
  CONSTRAINT persons_kinds_check CHECK (name IN ('a', 'b', 'c') IS NOT NULL)
) WITH (fillfactor = 80, autovacuum_enabled = off, toast.autovacuum_enabled = off);
ALTER TABLE app.persons OWNER TO pgsteward_drift_owner;
ALTER TABLE app.persons ALTER COLUMN wide SET STORAGE EXTERNAL, ALTER COLUMN photo SET COMPRESSION pglz,
  ALTER COLUMN born SET STATISTICS 500, ALTER COLUMN doc SET (n_distinct = -0.5);
ALTER TABLE app.persons ADD CONSTRAINT persons_born_check CHECK (born > date '1900-01-01') NOT VALID;
GRANT SELECT, INSERT ON app.persons TO pgsteward_drift_reader;
GRANT ALL ON app.persons TO pgsteward_drift_writer;
GRANT SELECT (name, born), UPDATE (name) ON app.persons TO PUBLIC;
COMMENT ON TABLE app.persons IS 'People';
COMMENT ON COLUMN app.persons.name IS 'As they call themselves';
COMMENT ON CONSTRAINT persons_score_check ON app.persons IS 'Not below zero';
CREATE INDEX persons_born_idx ON app.persons (born DESC NULLS LAST, name varchar_pattern_ops) INCLUDE (score, touched)
  WITH (fillfactor = 70) WHERE active AND mood IN ('ok', 'happy');
CREATE INDEX persons_lower_idx ON app.persons (lower(name), (doc ->> 'city') COLLATE "POSIX", (score + 1) NULLS FIRST);
CREATE INDEX persons_collated_idx ON app.persons (name COLLATE "C");
CREATE INDEX persons_doc_idx ON app.persons USING gin (doc jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX persons_tags_idx ON app.persons USING gin (tags);
CREATE INDEX persons_hash_idx ON app.persons USING hash (name);
CREATE INDEX persons_brin_idx ON app.persons USING brin (touched) WITH (pages_per_range = 32);
CREATE INDEX persons_bloom_idx ON app.persons USING brin (id int8_bloom_ops (n_distinct_per_range = 50));
CREATE INDEX persons_search_idx ON app.persons USING gist (to_tsvector('english', name) tsvector_ops (siglen = 100));
CREATE INDEX persons_spgist_idx ON app.persons USING spgist (name);
CREATE UNIQUE INDEX persons_email_idx ON app.persons (email) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX persons_tiny_idx ON app.persons ((id::integer) app.backwards_int);
ALTER INDEX app.persons_lower_idx ALTER COLUMN 1 SET STATISTICS 300;
ALTER TABLE app.persons CLUSTER ON persons_collated_idx;
COMMENT ON INDEX app.persons_doc_idx IS 'For the search page';
COMMENT ON INDEX app.persons_pkey IS 'The key';
CREATE TRIGGER persons_touch BEFORE UPDATE OF name, born ON app.persons FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name)
  EXECUTE FUNCTION app.touch('a', 'b');
CREATE CONSTRAINT TRIGGER persons_late AFTER DELETE ON app.persons DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.refuse();
CREATE TRIGGER persons_statement AFTER INSERT ON app.persons REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION app.refuse();
ALTER TABLE app.persons DISABLE TRIGGER persons_statement;
COMMENT ON TRIGGER persons_touch ON app.persons IS 'Says when';
CREATE RULE persons_keep AS ON DELETE TO app.persons WHERE OLD.active DO INSTEAD NOTHING;
COMMENT ON RULE persons_keep ON app.persons IS 'Active ones stay';
ALTER TABLE app.persons ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY persons_own ON app.persons FOR SELECT TO pgsteward_drift_reader, pgsteward_drift_writer USING (name = CURRENT_USER OR active);
CREATE POLICY persons_new ON app.persons AS RESTRICTIVE FOR INSERT WITH CHECK (score < 100);
CREATE POLICY persons_all ON app.persons;
COMMENT ON POLICY persons_own ON app.persons IS 'Everybody their own';
CREATE STATISTICS app.persons_stats (ndistinct, dependencies) ON born, score FROM app.persons;
ALTER STATISTICS app.persons_stats SET STATISTICS 400;
CREATE STATISTICS app.persons_expression ON lower(name), (score * 2) FROM app.persons;
COMMENT ON STATISTICS app.persons_stats IS 'They go together';

CREATE TABLE app.orders (
  id serial,
  number integer NOT NULL,
  year integer NOT NULL,
  person bigint,
  helper bigint DEFAULT 1,
  placed timestamp(3) with time zone DEFAULT CURRENT_TIMESTAMP,
  period tstzrange,
  total numeric CHECK (total > 0) NO INHERIT,
  state varchar(20) DEFAULT 'open'::character varying NOT NULL,
  PRIMARY KEY (number, year) WITH (fillfactor = 90),
  CONSTRAINT orders_person_fkey FOREIGN KEY (person) REFERENCES app.persons (id) ON UPDATE CASCADE ON DELETE RESTRICT
    DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT orders_helper_fkey FOREIGN KEY (helper) REFERENCES app.persons (id) ON DELETE SET DEFAULT,
  CONSTRAINT orders_period_excl EXCLUDE USING gist (period WITH &&) WHERE (state <> 'void'),
  CONSTRAINT orders_state_check CHECK (state IN ('open', 'paid', 'void'))
);
COMMENT ON CONSTRAINT orders_person_fkey ON app.orders IS 'Whose it is';
ALTER TABLE app.orders REPLICA IDENTITY FULL;
CREATE TABLE app.lines (
  tenant integer NOT NULL,
  id bigint GENERATED BY DEFAULT AS IDENTITY,
  order_number integer,
  order_year integer,
  text text,
  amount integer NOT NULL,
  CONSTRAINT lines_pkey PRIMARY KEY (tenant, id),
  CONSTRAINT lines_order_fkey FOREIGN KEY (order_number, order_year) REFERENCES app.orders MATCH FULL ON DELETE SET NULL,
  CONSTRAINT lines_some_fkey FOREIGN KEY (order_number, order_year) REFERENCES app.orders ON DELETE SET NULL (order_year)
);
ALTER TABLE app.lines ADD CONSTRAINT lines_late_fkey FOREIGN KEY (id) REFERENCES app.persons NOT VALID;
CREATE UNIQUE INDEX lines_identity_idx ON app.lines (tenant, amount);
ALTER TABLE app.lines REPLICA IDENTITY USING INDEX lines_identity_idx;
CREATE UNLOGGED TABLE app.cache (key text PRIMARY KEY, value text);
CREATE TABLE app.odd (LIKE app.lines INCLUDING DEFAULTS) USING heap_too;
CREATE TABLE app.addresses OF app.address (zip WITH OPTIONS DEFAULT 0, CHECK (zip >= 0));
CREATE TABLE app.nothing ();
CREATE TABLE app.ordered (a integer NOT NULL CONSTRAINT ordered_a_key UNIQUE, b integer);
CREATE TABLE app.shuffled (a integer, b integer);
CREATE TABLE app.lengths (word varchar(10), number numeric(10, 2), at timestamptz, twice integer GENERATED ALWAYS AS (1 + 1) STORED);
CREATE TABLE app.keyed (a integer, b integer, c integer, CONSTRAINT keyed_key UNIQUE (a, b), CONSTRAINT keyed_check CHECK (c > 0));
CREATE TABLE app.parents (a integer, b integer, c integer, UNIQUE (a, b), UNIQUE (c, b));
CREATE TABLE app.parents_too (a integer, b integer, UNIQUE (a, b));
CREATE TABLE app.children (a integer, b integer, c integer, CONSTRAINT children_fkey FOREIGN KEY (a, b) REFERENCES app.parents (a, b)
  ON DELETE SET NULL (a));
CREATE TABLE app.indexed (a integer, b integer, c text, d text);
CREATE INDEX indexed_idx ON app.indexed (a, b);
CREATE INDEX indexed_expression ON app.indexed (lower(c), (d || 'x'));
CREATE INDEX indexed_partial ON app.indexed (a) WHERE a > 0;
CREATE INDEX indexed_text ON app.indexed (c, d);
CREATE UNIQUE INDEX indexed_unique ON app.indexed (b);
CREATE TABLE app.parted (a integer, b text) PARTITION BY LIST (a);
CREATE TABLE app.spans (a int4range, period tstzrange, CONSTRAINT spans_key UNIQUE (a, period),
  CONSTRAINT spans_fkey FOREIGN KEY (a, period) REFERENCES app.spans (a, period));
CREATE TABLE app.sorted (state varchar(9) CHECK (state IN ('a', 'b')), upper text GENERATED ALWAYS AS (
    CASE WHEN state IN ('a', 'b') THEN upper(state) END) STORED);
CREATE INDEX sorted_idx ON app.sorted ((state IN ('a', 'b'))) WHERE state IN ('a', 'c');
CREATE TRIGGER sorted_touch BEFORE UPDATE ON app.sorted FOR EACH ROW WHEN (NEW.state IN ('a', 'b')) EXECUTE FUNCTION app.refuse();
CREATE POLICY sorted_own ON app.sorted USING (state IN ('a', 'b')) WITH CHECK (state NOT IN ('c', 'd') AND upper BETWEEN 'a' AND 'f');
CREATE RULE sorted_keep AS ON UPDATE TO app.sorted WHERE NEW.state IN ('a', 'b') DO ALSO INSERT INTO app.keyed DEFAULT VALUES;
CREATE STATISTICS app.plain_stats ON a, b FROM app.parents;
CREATE STATISTICS app.sorted_stats ON (state IN ('a', 'b')), upper FROM app.sorted;
CREATE FUNCTION app.sorting(what varchar) RETURNS boolean LANGUAGE sql RETURN what IN ('a', 'b') AND what::text > 'c';
CREATE TABLE app.dropped (a integer, b integer, c integer, CHECK (c > 0));
ALTER TABLE app.dropped DROP COLUMN b;
CREATE INDEX dropped_c_idx ON app.dropped (c);

-- Inheritance

CREATE TABLE app.animals (id integer PRIMARY KEY, name text NOT NULL CHECK (name <> ''), legs integer DEFAULT 4);
CREATE TABLE app.tagged (tag text, CONSTRAINT tagged_check CHECK (tag <> 'x'));
CREATE TABLE app.dogs (race text, legs integer DEFAULT 4) INHERITS (app.animals, app.tagged);
ALTER TABLE app.dogs ALTER COLUMN name SET DEFAULT 'Rex';

-- Partitions

CREATE TABLE app.events (id bigint NOT NULL, at timestamptz NOT NULL, kind text NOT NULL DEFAULT 'x', person bigint REFERENCES app.persons, note text,
  CONSTRAINT events_pkey PRIMARY KEY (id, at, kind), CONSTRAINT events_note_check CHECK (length(note) < 100))
  PARTITION BY RANGE (at);
CREATE TABLE app.events_2024 PARTITION OF app.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01 00:00+00') TO (MAXVALUE) PARTITION BY LIST (kind);
CREATE TABLE app.events_2025_a PARTITION OF app.events_2025 FOR VALUES IN ('a', 'b', NULL);
CREATE TABLE app.events_2025_rest PARTITION OF app.events_2025 DEFAULT;
CREATE INDEX events_note_idx ON app.events (note, at DESC);
CREATE INDEX events_half_idx ON ONLY app.events (kind);
CREATE INDEX events_lone_idx ON ONLY app.events (person);
CREATE INDEX events_2024_lone_idx ON app.events_2024 (person);
CREATE INDEX events_2024_own_idx ON app.events_2024 (note) WHERE note IS NOT NULL;
CREATE TRIGGER events_touch BEFORE INSERT ON app.events FOR EACH ROW EXECUTE FUNCTION app.refuse();
CREATE TABLE app.hashed (a integer, b text COLLATE "C") PARTITION BY HASH (a, lower(b) text_pattern_ops);
CREATE TABLE app.hashed_0 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0) WITH (fillfactor = 50);
CREATE TABLE app.standing (b text COLLATE "C", a integer);
ALTER TABLE app.hashed ATTACH PARTITION app.standing FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE app.event_notes (id bigint, at timestamptz, kind text, note text,
  CONSTRAINT event_notes_fkey FOREIGN KEY (id, at, kind) REFERENCES app.events ON DELETE CASCADE);

-- Vectors

CREATE TABLE app.items (id bigint PRIMARY KEY, small vector(3), big vector(8) NOT NULL, any_size vector, spare vector(3));
CREATE INDEX items_hnsw_idx ON app.items USING hnsw (small vector_cosine_ops) WITH (m = 8, ef_construction = 32);
CREATE INDEX items_ivf_idx ON app.items USING ivfflat (big vector_l2_ops) WITH (lists = 10);
CREATE INDEX items_plain_idx ON app.items USING ivfflat (big vector_cosine_ops);
CREATE INDEX items_halved_idx ON app.items USING hnsw ((big::halfvec(8)) halfvec_l2_ops);
CREATE INDEX items_bits_idx ON app.items USING hnsw ((binary_quantize(small)::bit(3)) bit_hamming_ops);
CREATE TABLE app.vectors (half halfvec(4) DEFAULT '[1,2,3,4]', sparse sparsevec(100), flags bit(3), other halfvec(4),
  CHECK (l2_distance(half, '[0,0,0,0]') < 100));
CREATE INDEX vectors_sparse_idx ON app.vectors USING hnsw (sparse sparsevec_l2_ops);

-- Views

CREATE VIEW app.people WITH (security_barrier, check_option = local) AS SELECT id, name, mood FROM app.persons WHERE active;
ALTER VIEW app.people ALTER COLUMN mood SET DEFAULT 'happy';
GRANT SELECT ON app.people TO pgsteward_drift_reader;
COMMENT ON VIEW app.people IS 'The active ones';
COMMENT ON COLUMN app.people.name IS 'Theirs';
CREATE VIEW app.report AS
  WITH recent AS (SELECT o.number, o.year, o.person, o.total FROM app.orders o WHERE o.state IN ('open', 'paid') AND o.placed > now() - interval '1 day')
  SELECT p.name, coalesce(sum(r.total), 0) AS total, row_number() OVER (PARTITION BY p.mood ORDER BY p.name) AS place,
    CASE WHEN p.active THEN 'yes' ELSE 'no' END AS active, ARRAY(SELECT l.text FROM app.lines l WHERE l.order_number = r.number) AS texts
  FROM app.persons p LEFT JOIN recent r ON r.person = p.id GROUP BY p.id, p.name, p.mood, p.active, r.number HAVING count(*) > 0;
CREATE VIEW app.joined AS SELECT o.*, l.text FROM app.orders o JOIN app.lines l ON l.order_number = o.number AND l.order_year = o.year;
CREATE VIEW app.using_view AS SELECT * FROM app.orders JOIN (SELECT number, year, 1 AS one FROM app.orders) x USING (number, year);
CREATE RECURSIVE VIEW app.counted (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < 5;
CREATE TRIGGER people_insert INSTEAD OF INSERT ON app.people FOR EACH ROW EXECUTE FUNCTION app.refuse();
CREATE RULE people_delete AS ON DELETE TO app.people DO INSTEAD UPDATE app.persons SET active = false WHERE persons.id = OLD.id RETURNING OLD.id, OLD.name, OLD.mood;
CREATE MATERIALIZED VIEW app.totals WITH (fillfactor = 75) AS SELECT person, sum(total) AS total FROM app.orders GROUP BY person WITH NO DATA;
CREATE MATERIALIZED VIEW app.plain_totals AS SELECT person, sum(total) AS total FROM app.orders GROUP BY person;
CREATE UNIQUE INDEX totals_person_idx ON app.totals (person);
COMMENT ON MATERIALIZED VIEW app.totals IS 'Refreshed at night';
ALTER MATERIALIZED VIEW app.totals ALTER COLUMN total SET STATISTICS 77;

-- Foreign data

CREATE FOREIGN DATA WRAPPER app_wrapper OPTIONS (debug 'true');
COMMENT ON FOREIGN DATA WRAPPER app_wrapper IS 'Leads nowhere';
GRANT USAGE ON FOREIGN DATA WRAPPER app_wrapper TO pgsteward_drift_writer;
CREATE SERVER "far away" TYPE 'none' VERSION '1' FOREIGN DATA WRAPPER app_wrapper OPTIONS (host 'nowhere', port '1');
GRANT USAGE ON FOREIGN SERVER "far away" TO pgsteward_drift_reader;
COMMENT ON SERVER "far away" IS 'Not there';
CREATE USER MAPPING FOR pgsteward_drift_writer SERVER "far away" OPTIONS (user_name 'them', password 'not to be seen');
CREATE USER MAPPING FOR PUBLIC SERVER "far away";
CREATE FOREIGN TABLE app.remote (id integer OPTIONS (column_name 'nr') NOT NULL, name text COLLATE "C" DEFAULT 'x', CHECK (id > 0))
  SERVER "far away" OPTIONS (table_name 'theirs');
CREATE FOREIGN DATA WRAPPER bare;
CREATE SERVER nearer FOREIGN DATA WRAPPER app_wrapper;
CREATE FOREIGN TABLE app.remote_too (id integer) SERVER "far away";
COMMENT ON FOREIGN TABLE app.remote IS 'Theirs';

-- Replication

CREATE PUBLICATION some_tables FOR TABLE app.persons (id, name, mood), TABLE app.orders WHERE (number > 0 AND year IN (2024, 2025)),
  TABLE ONLY app.animals WITH (publish = 'insert, update', publish_via_partition_root = true);
CREATE PUBLICATION some_schemas FOR TABLES IN SCHEMA spare, TABLE app.animals;
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE PUBLICATION bare;
COMMENT ON PUBLICATION everything IS 'All there is';

-- Privileges to come

ALTER DEFAULT PRIVILEGES FOR ROLE pgsteward_drift_owner IN SCHEMA app GRANT SELECT ON TABLES TO pgsteward_drift_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE pgsteward_drift_owner IN SCHEMA app GRANT USAGE ON SEQUENCES TO pgsteward_drift_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE pgsteward_drift_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Names

CREATE TABLE "Odd schema."."it's ""quoted"", dotted.and spaced" (
  "select" integer PRIMARY KEY, "Grüße 名前" text, "a.b" integer, "dieser Name hat dreiundsechzig Bytes und keines mehr, wirklich!" text,
  CONSTRAINT "odd ""check"".x" CHECK ("a.b" > 0));
CREATE INDEX "odd index." ON "Odd schema."."it's ""quoted"", dotted.and spaced" ("a.b", lower("Grüße 名前"));
CREATE TRIGGER "odd trigger" BEFORE INSERT ON "Odd schema."."it's ""quoted"", dotted.and spaced" FOR EACH ROW EXECUTE FUNCTION app.refuse();
CREATE POLICY "odd policy" ON "Odd schema."."it's ""quoted"", dotted.and spaced" USING ("a.b" > 1);
CREATE RULE "odd rule" AS ON DELETE TO "Odd schema."."it's ""quoted"", dotted.and spaced" DO INSTEAD NOTHING;
CREATE FUNCTION "Odd schema."."odd (function" ("a b" integer, "select" text DEFAULT ',)') RETURNS integer LANGUAGE sql RETURN 1;
CREATE TYPE "Odd schema."."odd enum" AS ENUM ('a''b', 'c"d', 'e,f', ' ');
CREATE SEQUENCE "Odd schema."."order";
CREATE TABLE public.json (json integer, "json_table" text);
CREATE VIEW public.json_view AS SELECT * FROM public.json;
CREATE INDEX json_idx ON public.json (json_table);

-- Last, or it would watch all this.

CREATE EVENT TRIGGER app_watch ON ddl_command_end WHEN TAG IN ('DROP TABLE', 'CREATE TABLE') EXECUTE FUNCTION app.watch();
CREATE EVENT TRIGGER bare ON sql_drop EXECUTE FUNCTION app.watch();
ALTER EVENT TRIGGER app_watch ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER app_watch IS 'Looks on';
