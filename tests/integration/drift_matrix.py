"""The drift matrix: changes to the clean schema of drift_schema.sql, and which differences each one is.

A case is a change of one attribute wherever the server allows that. Where one statement honestly changes more, all of it is
listed: the test wants exactly these differences and no other.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A change, in statements that run one after the other, and its differences as "object: attribute".

    {database} in a statement stands for the database's name. since: the oldest major version of PostgreSQL that can do it.
    committed: it cannot be undone by a rollback, so it needs a copy of the database for itself. fails: its last statement
    is an error, and changes something nevertheless.
    """

    name: str
    statements: str
    drifts: tuple[str, ...]
    since: int = 15
    committed: bool = False
    fails: bool = False


def _case(
    name: str, statements: str, *drifts: str, since: int = 15, committed: bool = False, fails: bool = False
) -> Case:
    return Case(name, statements, drifts, since, committed, fails)


def _comment(what: str, object_: str) -> Case:
    return _case(f"comment on {object_}", f"COMMENT ON {what} IS 'Said otherwise'", f"{object_}: comment")


def _owner(what: str, object_: str, role: str = "pgsteward_drift_writer") -> Case:
    return _case(f"owner of {object_}", f"ALTER {what} OWNER TO {role}", f"{object_}: owner")


def _gone(what: str, object_: str) -> Case:
    return _case(f"{object_} dropped", f"DROP {what}", f"{object_}: existence")


DATABASE = (
    _case("database setting changed", "ALTER DATABASE {database} SET work_mem = '6MB'", "database current: settings"),
    _case("database setting added", "ALTER DATABASE {database} SET password_encryption = md5", "database current: settings"),
    _case("database setting reset", "ALTER DATABASE {database} RESET work_mem", "database current: settings"),
    _case(
        "setting of a role in the database", "ALTER ROLE pgsteward_drift_reader IN DATABASE {database} SET search_path = public",
        "database current: role_settings",
    ),
    _case("connection limit", "ALTER DATABASE {database} CONNECTION LIMIT 51", "database current: connection_limit"),
    _case("no connections", "ALTER DATABASE {database} CONNECTION LIMIT 0", "database current: connection_limit"),
    _case("template", "ALTER DATABASE {database} IS_TEMPLATE true", "database current: template"),
    _case("database privilege revoked", "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC", "database current: privileges"),
    _case("database comment", "COMMENT ON DATABASE {database} IS 'Made otherwise'", "database current: comment"),
    _case("database owner", "ALTER DATABASE {database} OWNER TO pgsteward_drift_owner", "database current: owner"),
    _case("schema added", 'CREATE SCHEMA "New"', 'schema "New": existence'),
    _case("schema dropped", "DROP SCHEMA public_too", "schema public_too: existence"),
    _case("schema renamed", "ALTER SCHEMA public_too RENAME TO other", "schema other: existence", "schema public_too: existence"),
    _owner("SCHEMA app", "schema app"),
    _comment("SCHEMA app", "schema app"),
    _comment("SCHEMA public", "schema public"),
    _case("schema privilege granted", "GRANT CREATE ON SCHEMA app TO pgsteward_drift_reader", "schema app: privileges"),
    _case("grant option revoked", "REVOKE GRANT OPTION FOR USAGE ON SCHEMA app FROM pgsteward_drift_reader", "schema app: privileges"),
    _case("an owner's own privilege revoked", "REVOKE CREATE ON SCHEMA app FROM pgsteward_drift_owner", "schema app: privileges"),
    _case("extension added", "CREATE EXTENSION citext", "extension citext: existence"),
    _gone("EXTENSION hstore", "extension hstore"),
    _case("extension in another schema", "ALTER EXTENSION hstore SET SCHEMA spare", "extension hstore: schema"),
    _case(
        "extension in another version", "DROP EXTENSION pg_trgm; CREATE EXTENSION pg_trgm SCHEMA spare VERSION '1.3'",
        "extension pg_trgm: version",
    ),
)  # fmt: skip

TABLES = (
    _case("table added", "CREATE TABLE app.new (id integer)", "table app.new: existence"),
    _gone("TABLE app.nothing", "table app.nothing"),
    _case("table renamed", "ALTER TABLE app.nothing RENAME TO something", "table app.nothing: existence", "table app.something: existence"),
    _case(
        "table moved to another schema", "ALTER TABLE app.nothing SET SCHEMA spare",
        "table app.nothing: existence", "table spare.nothing: existence",
    ),
    _owner("TABLE app.ordered", "table app.ordered"),
    _comment("TABLE app.persons", "table app.persons"),
    _case("comment removed", "COMMENT ON TABLE app.persons IS NULL", "table app.persons: comment"),
    _case("comment added", "COMMENT ON TABLE app.ordered IS 'New'", "table app.ordered: comment"),
    _case("privilege granted", "GRANT DELETE ON app.persons TO pgsteward_drift_reader", "table app.persons: privileges"),
    _case("privilege granted to all", "GRANT SELECT ON app.ordered TO PUBLIC", "table app.ordered: privileges"),
    _case("privilege revoked", "REVOKE TRUNCATE ON app.persons FROM pgsteward_drift_writer", "table app.persons: privileges"),
    _case("an owner's own privileges revoked", "REVOKE ALL ON app.ordered FROM CURRENT_USER", "table app.ordered: privileges"),
    _case("security label", """INSERT INTO pg_catalog.pg_seclabel (objoid, classoid, objsubid, provider, label)
      VALUES ('app.ordered'::regclass, 'pg_catalog.pg_class'::regclass, 0, 'dummy', 'secret')""", "table app.ordered: labels"),
    _case("security label of a column", """INSERT INTO pg_catalog.pg_seclabel (objoid, classoid, objsubid, provider, label)
      VALUES ('app.ordered'::regclass, 'pg_catalog.pg_class'::regclass, 2, 'dummy', 'secret')""", "column app.ordered.b: labels"),
    _case("unlogged", "ALTER TABLE app.ordered SET UNLOGGED", "table app.ordered: persistence"),
    _case("logged", "ALTER TABLE app.cache SET LOGGED", "table app.cache: persistence"),
    _case("storage option", "ALTER TABLE app.persons SET (fillfactor = 81)", "table app.persons: options"),
    _case("storage option reset", "ALTER TABLE app.persons RESET (autovacuum_enabled)", "table app.persons: options"),
    _case("option of the TOAST table", "ALTER TABLE app.persons RESET (toast.autovacuum_enabled)", "table app.persons: toast_options"),
    _case("access method of a table", "ALTER TABLE app.odd SET ACCESS METHOD heap", "table app.odd: access_method"),
    _case("tablespace of a table", "ALTER TABLE app.ordered SET TABLESPACE pgsteward_drift_space", "table app.ordered: tablespace"),
    _case("row security off", "ALTER TABLE app.persons DISABLE ROW LEVEL SECURITY", "table app.persons: row_security"),
    _case("row security not forced", "ALTER TABLE app.persons NO FORCE ROW LEVEL SECURITY", "table app.persons: row_security"),
    _case("row security on", "ALTER TABLE app.ordered ENABLE ROW LEVEL SECURITY", "table app.ordered: row_security"),
    _case("replica identity", "ALTER TABLE app.orders REPLICA IDENTITY NOTHING", "table app.orders: replica_identity"),
    _case(
        "replica identity by another index", "ALTER TABLE app.lines REPLICA IDENTITY USING INDEX lines_pkey",
        "index app.lines_pkey: replica_identity", "index app.lines_identity_idx: replica_identity",
    ),
    _case("no longer typed", "ALTER TABLE app.addresses NOT OF", "table app.addresses: of_type"),
    _case(
        "no longer inherits", "ALTER TABLE app.dogs NO INHERIT app.tagged",
        "table app.dogs: inherits", "column app.dogs.tag: inherited", "constraint app.dogs.tagged_check: inherited",
    ),
    _case("order of columns", "DROP TABLE app.shuffled; CREATE TABLE app.shuffled (b integer, a integer)", "table app.shuffled: column_order"),
    _case("partition key", "DROP TABLE app.parted; CREATE TABLE app.parted (a integer, b text) PARTITION BY RANGE (a)", "table app.parted: partition_by"),
    _case(
        "no longer partitioned", "DROP TABLE app.parted; CREATE TABLE app.parted (a integer, b text)", "table app.parted: partition_by",
    ),
    _case(
        "bound of a partition", """ALTER TABLE app.hashed DETACH PARTITION app.hashed_0; ALTER TABLE app.hashed DETACH PARTITION app.standing;
          ALTER TABLE app.hashed ATTACH PARTITION app.hashed_0 FOR VALUES WITH (MODULUS 4, REMAINDER 0);
          ALTER TABLE app.hashed ATTACH PARTITION app.standing FOR VALUES WITH (MODULUS 2, REMAINDER 1)""",
        "table app.hashed_0: bound",
    ),
    _case("partition added", "CREATE TABLE app.parted_1 PARTITION OF app.parted FOR VALUES IN (1)", "table app.parted_1: existence"),
    _case(
        "partition detached", "ALTER TABLE app.hashed DETACH PARTITION app.standing",
        "table app.standing: bound", "table app.standing: partition_of", "column app.standing.a: inherited", "column app.standing.b: inherited",
    ),
    _case(
        "partition half detached", "UPDATE pg_catalog.pg_inherits SET inhdetachpending = true WHERE inhrelid = 'app.standing'::regclass",
        "table app.standing: detach_pending",
    ),
    _case("hostile table dropped", 'DROP TABLE "Odd schema."."it\'s ""quoted"", dotted.and spaced"',
          'table "Odd schema."."it\'s ""quoted"", dotted.and spaced": existence'),
)  # fmt: skip

_ODD = '"Odd schema."."it\'s ""quoted"", dotted.and spaced"'
_LONG = '"dieser Name hat dreiundsechzig Bytes und keines mehr, wirklich!"'

COLUMNS = (
    _case("column added", "ALTER TABLE app.ordered ADD COLUMN c integer", "column app.ordered.c: existence"),
    _case("column dropped", "ALTER TABLE app.ordered DROP COLUMN b", "column app.ordered.b: existence"),
    _case("column renamed", "ALTER TABLE app.ordered RENAME COLUMN b TO d", "column app.ordered.b: existence", "column app.ordered.d: existence"),
    _case("type", "ALTER TABLE app.ordered ALTER COLUMN b TYPE bigint", "column app.ordered.b: type"),
    _case("length", "ALTER TABLE app.lengths ALTER COLUMN word TYPE varchar(11)", "column app.lengths.word: type"),
    _case("precision", "ALTER TABLE app.lengths ALTER COLUMN number TYPE numeric(10, 3)", "column app.lengths.number: type"),
    _case("time zone", "ALTER TABLE app.lengths ALTER COLUMN at TYPE timestamp", "column app.lengths.at: type"),
    _case("array", "ALTER TABLE app.lengths ALTER COLUMN word TYPE varchar(10)[] USING ARRAY[word]", "column app.lengths.word: type"),
    _case("takes NULL", "ALTER TABLE app.persons ALTER COLUMN touched DROP NOT NULL", "column app.persons.touched: not_null"),
    _case("takes no NULL", "ALTER TABLE app.ordered ALTER COLUMN b SET NOT NULL", "column app.ordered.b: not_null"),
    _case("takes no new NULL", "ALTER TABLE app.ordered ADD CONSTRAINT b_there NOT NULL b NOT VALID", "column app.ordered.b: not_null", since=18),
    _case("takes no NULL, here only", "ALTER TABLE app.ordered ADD CONSTRAINT b_there NOT NULL b NO INHERIT", "column app.ordered.b: not_null", since=18),
    _case("default changed", "ALTER TABLE app.persons ALTER COLUMN score SET DEFAULT 1", "column app.persons.score: default"),
    _case("default dropped", "ALTER TABLE app.persons ALTER COLUMN touched DROP DEFAULT", "column app.persons.touched: default"),
    _case("default added", "ALTER TABLE app.ordered ALTER COLUMN b SET DEFAULT 0", "column app.ordered.b: default"),
    _case("default of type array", "ALTER TABLE app.persons ALTER COLUMN tags SET DEFAULT ARRAY['new', 'y']", "column app.persons.tags: default"),
    _case("default of one partition", "ALTER TABLE ONLY app.events_2024 ALTER COLUMN kind SET DEFAULT 'y'", "column app.events_2024.kind: default"),
    _case("default of a child", "ALTER TABLE app.dogs ALTER COLUMN name DROP DEFAULT", "column app.dogs.name: default"),
    _case("generated by another expression", """ALTER TABLE app.persons DROP COLUMN full_name;
      ALTER TABLE app.persons ADD COLUMN full_name text GENERATED ALWAYS AS (lower(name)) STORED""", "column app.persons.full_name: generated"),
    _case("no longer generated", "ALTER TABLE app.persons ALTER COLUMN full_name DROP EXPRESSION", "column app.persons.full_name: generated"),
    _case("a default in the place of an expression", """ALTER TABLE app.lengths DROP COLUMN twice;
      ALTER TABLE app.lengths ADD COLUMN twice integer DEFAULT 2""", "column app.lengths.twice: default", "column app.lengths.twice: generated"),
    _case("generated when read", """ALTER TABLE app.persons DROP COLUMN full_name;
      ALTER TABLE app.persons ADD COLUMN full_name text GENERATED ALWAYS AS (upper(name)) VIRTUAL""",
      "column app.persons.full_name: virtual", since=18),
    _case("identity", "ALTER TABLE app.persons ALTER COLUMN id SET GENERATED BY DEFAULT", "column app.persons.id: identity"),
    _case("no longer an identity", "ALTER TABLE app.lines ALTER COLUMN id DROP IDENTITY",
          "sequence app.lines_id_seq: existence", "column app.lines.id: identity"),
    _case("collation", 'ALTER TABLE app.persons ALTER COLUMN nick TYPE text COLLATE "POSIX"', "column app.persons.nick: collation"),
    _case("storage", "ALTER TABLE app.persons ALTER COLUMN wide SET STORAGE MAIN", "column app.persons.wide: storage"),
    _case("compression", "ALTER TABLE app.persons ALTER COLUMN photo SET COMPRESSION default", "column app.persons.photo: compression"),
    _case("statistics target", "ALTER TABLE app.persons ALTER COLUMN born SET STATISTICS 501", "column app.persons.born: statistics"),
    _case("no statistics", "ALTER TABLE app.ordered ALTER COLUMN b SET STATISTICS 0", "column app.ordered.b: statistics"),
    _case("column option", "ALTER TABLE app.persons ALTER COLUMN doc SET (n_distinct = -0.6)", "column app.persons.doc: options"),
    _case("column option added", "ALTER TABLE app.ordered ALTER COLUMN b SET (n_distinct_inherited = 5)", "column app.ordered.b: options"),
    _case("column privilege granted", "GRANT UPDATE (born) ON app.persons TO PUBLIC", "column app.persons.born: privileges"),
    _case("column privilege revoked", "REVOKE SELECT (born) ON app.persons FROM PUBLIC", "column app.persons.born: privileges"),
    _comment("COLUMN app.persons.name", "column app.persons.name"),
    _case("column of a composite type", "ALTER TYPE app.point ALTER ATTRIBUTE x TYPE bigint", "column app.point.x: type"),
    _case("column of a hostile name", f"ALTER TABLE {_ODD} ALTER COLUMN {_LONG} SET NOT NULL", f"column {_ODD}.{_LONG}: not_null"),
    _case("column called like a keyword", f'COMMENT ON COLUMN {_ODD}."select" IS \'x\'', f'column {_ODD}."select": comment'),
)  # fmt: skip

CONSTRAINTS = (
    _case("primary key dropped", "ALTER TABLE app.cache DROP CONSTRAINT cache_pkey", "constraint app.cache.cache_pkey: existence"),
    _case("constraint renamed", "ALTER TABLE app.cache RENAME CONSTRAINT cache_pkey TO other",
          "constraint app.cache.cache_pkey: existence", "constraint app.cache.other: existence"),
    _case("kind of a constraint", "ALTER TABLE app.ordered DROP CONSTRAINT ordered_a_key, ADD CONSTRAINT ordered_a_key PRIMARY KEY (a)",
          "constraint app.ordered.ordered_a_key: type"),
    _case("columns of a key", "ALTER TABLE app.keyed DROP CONSTRAINT keyed_key, ADD CONSTRAINT keyed_key UNIQUE (b, a)",
          "constraint app.keyed.keyed_key: columns"),
    _case("included columns", "ALTER TABLE app.keyed DROP CONSTRAINT keyed_key, ADD CONSTRAINT keyed_key UNIQUE (a, b) INCLUDE (c)",
          "constraint app.keyed.keyed_key: include"),
    _case("NULLs are the same", "ALTER TABLE app.keyed DROP CONSTRAINT keyed_key, ADD CONSTRAINT keyed_key UNIQUE NULLS NOT DISTINCT (a, b)",
          "constraint app.keyed.keyed_key: nulls_not_distinct"),
    _case("deferrable key", "ALTER TABLE app.keyed DROP CONSTRAINT keyed_key, ADD CONSTRAINT keyed_key UNIQUE (a, b) DEFERRABLE",
          "constraint app.keyed.keyed_key: deferrable"),
    _case("option of a key's index", "ALTER INDEX app.orders_pkey SET (fillfactor = 91)", "index app.orders_pkey: options"),
    _case("tablespace of a key's index", "ALTER INDEX app.orders_pkey SET TABLESPACE pgsteward_drift_space", "index app.orders_pkey: tablespace"),
    _comment("INDEX app.persons_pkey", "index app.persons_pkey"),
    _case("clustered by the key", "ALTER TABLE app.persons CLUSTER ON persons_pkey",
          "index app.persons_pkey: clustered", "index app.persons_collated_idx: clustered"),
    _case("check", "ALTER TABLE app.persons DROP CONSTRAINT persons_mood_check, ADD CONSTRAINT persons_mood_check"
          " CHECK (mood IN ('ok', 'happy') OR score >= 0)", "constraint app.persons.persons_mood_check: expression"),
    _case("check with another list", "ALTER TABLE app.orders DROP CONSTRAINT orders_state_check, ADD CONSTRAINT orders_state_check"
          " CHECK (state IN ('open', 'paid'))", "constraint app.orders.orders_state_check: expression"),
    _case("inherited check", "ALTER TABLE app.keyed DROP CONSTRAINT keyed_check, ADD CONSTRAINT keyed_check CHECK (c > 0) NO INHERIT",
          "constraint app.keyed.keyed_check: no_inherit"),
    _case("validated", "ALTER TABLE app.persons VALIDATE CONSTRAINT persons_born_check", "constraint app.persons.persons_born_check: valid"),
    _case("not validated", "ALTER TABLE app.keyed DROP CONSTRAINT keyed_check, ADD CONSTRAINT keyed_check CHECK (c > 0) NOT VALID",
          "constraint app.keyed.keyed_check: valid"),
    _case("check not enforced", "ALTER TABLE app.keyed DROP CONSTRAINT keyed_check, ADD CONSTRAINT keyed_check CHECK (c > 0) NOT ENFORCED",
          "constraint app.keyed.keyed_check: enforced", since=18),
    _case("foreign key not enforced", "ALTER TABLE app.orders ALTER CONSTRAINT orders_person_fkey NOT ENFORCED",
          "constraint app.orders.orders_person_fkey: enforced", since=18),
    _case("constraint of its own", "ALTER TABLE app.dogs ADD CONSTRAINT tagged_check CHECK (tag <> 'x')", "constraint app.dogs.tagged_check: inherited"),
    _comment("CONSTRAINT persons_score_check ON app.persons", "constraint app.persons.persons_score_check"),
    _case("foreign key dropped", "ALTER TABLE app.lines DROP CONSTRAINT lines_late_fkey", "constraint app.lines.lines_late_fkey: existence"),
    _case("foreign key added", "ALTER TABLE app.ordered ADD CONSTRAINT ordered_fkey FOREIGN KEY (b) REFERENCES app.ordered (a)",
          "constraint app.ordered.ordered_fkey: existence"),
    _case("foreign key validated", "ALTER TABLE app.lines VALIDATE CONSTRAINT lines_late_fkey", "constraint app.lines.lines_late_fkey: valid"),
    _case("deferrable foreign key", "ALTER TABLE app.orders ALTER CONSTRAINT orders_helper_fkey DEFERRABLE",
          "constraint app.orders.orders_helper_fkey: deferrable"),
    _case("deferred foreign key", "ALTER TABLE app.orders ALTER CONSTRAINT orders_person_fkey DEFERRABLE INITIALLY IMMEDIATE",
          "constraint app.orders.orders_person_fkey: initially_deferred"),
    *(
        _case(name, f"ALTER TABLE app.children DROP CONSTRAINT children_fkey, ADD CONSTRAINT children_fkey FOREIGN KEY {definition}",
              f"constraint app.children.children_fkey: {attribute}")
        for name, definition, attribute in (
            ("what happens on update", "(a, b) REFERENCES app.parents (a, b) ON DELETE SET NULL (a) ON UPDATE CASCADE", "on_update"),
            ("which columns are emptied", "(a, b) REFERENCES app.parents (a, b) ON DELETE SET NULL", "on_delete_columns"),
            ("match", "(a, b) REFERENCES app.parents (a, b) MATCH FULL ON DELETE SET NULL (a)", "match"),
            ("columns of a foreign key", "(a, c) REFERENCES app.parents (a, b) ON DELETE SET NULL (a)", "columns"),
            ("referenced columns", "(a, b) REFERENCES app.parents (c, b) ON DELETE SET NULL (a)", "referenced_columns"),
            ("referenced table", "(a, b) REFERENCES app.parents_too (a, b) ON DELETE SET NULL (a)", "references"),
        )
    ),
    _case("what happens on delete", "ALTER TABLE app.orders DROP CONSTRAINT orders_helper_fkey, ADD CONSTRAINT orders_helper_fkey"
          " FOREIGN KEY (helper) REFERENCES app.persons (id) ON DELETE CASCADE", "constraint app.orders.orders_helper_fkey: on_delete"),
    _case("foreign key switched off", """DO $$ DECLARE name text; BEGIN
      FOR name IN SELECT t.tgname FROM pg_trigger t JOIN pg_constraint k ON k.oid = t.tgconstraint
        WHERE k.conname = 'orders_person_fkey' AND t.tgrelid = 'app.orders'::regclass
      LOOP EXECUTE format('ALTER TABLE app.orders DISABLE TRIGGER %I', name); END LOOP; END $$""",
          "constraint app.orders.orders_person_fkey: disabled_triggers"),
    _case("foreign key of a partitioned table", "ALTER TABLE app.events DROP CONSTRAINT events_person_fkey",
          "constraint app.events.events_person_fkey: existence"),
    _case("exclusion", "ALTER TABLE app.orders DROP CONSTRAINT orders_period_excl, ADD CONSTRAINT orders_period_excl"
          " EXCLUDE USING gist (period WITH &&) WHERE (state <> 'paid')", "constraint app.orders.orders_period_excl: definition"),
    _case("deferrable exclusion", "ALTER TABLE app.orders DROP CONSTRAINT orders_period_excl, ADD CONSTRAINT orders_period_excl"
          " EXCLUDE USING gist (period WITH &&) WHERE (state <> 'void') DEFERRABLE INITIALLY DEFERRED",
          "constraint app.orders.orders_period_excl: deferrable", "constraint app.orders.orders_period_excl: initially_deferred"),
    _case("option of an exclusion's index", "ALTER INDEX app.orders_period_excl SET (buffering = off)",
          "constraint app.orders.orders_period_excl: definition"),
    _case("temporal keys", """ALTER TABLE app.spans DROP CONSTRAINT spans_fkey, DROP CONSTRAINT spans_key;
      ALTER TABLE app.spans ADD CONSTRAINT spans_key UNIQUE (a, period WITHOUT OVERLAPS);
      ALTER TABLE app.spans ADD CONSTRAINT spans_fkey FOREIGN KEY (a, PERIOD period) REFERENCES app.spans (a, PERIOD period)""",
          "constraint app.spans.spans_key: without_overlaps", "constraint app.spans.spans_fkey: period", since=18),
    _case("constraint of a hostile name", f'ALTER TABLE {_ODD} DROP CONSTRAINT "odd ""check"".x"', f'constraint {_ODD}."odd ""check"".x": existence'),
)  # fmt: skip


def _index(name: str, definition: str, attribute: str) -> Case:
    """Return the change of an index of app.indexed to another definition."""
    index = definition.split()[0] if definition.startswith("indexed_") else "indexed_idx"
    rest = definition.removeprefix(index).strip()
    head, _, tail = rest.partition("@")
    return _case(
        name, f"DROP INDEX app.{index}; CREATE {head.strip()} INDEX {index} ON app.indexed {tail.strip()}", f"index app.{index}: {attribute}",
    )  # fmt: skip


INDEXES = (
    _case("index added", "CREATE INDEX ON app.ordered (b)", "index app.ordered_b_idx: existence"),
    _gone("INDEX app.persons_tags_idx", "index app.persons_tags_idx"),
    _case("index renamed", "ALTER INDEX app.persons_tags_idx RENAME TO other", "index app.other: existence", "index app.persons_tags_idx: existence"),
    _index("index method", "@ USING brin (a, b)", "method"),
    _index("columns of an index", "@ (b, a)", "columns"),
    _index("an expression in the place of a column", "@ (a, (b + 0))", "columns"),
    _index("expression of an index", "indexed_expression @ (lower(c), (d || 'y'))", "columns"),
    _index("unique", "UNIQUE @ (a, b)", "unique"),
    _index("included column", "@ (a, b) INCLUDE (c)", "include"),
    _index("predicate", "@ (a, b) WHERE a > 0", "predicate"),
    _index("other predicate", "indexed_partial @ (a) WHERE a > 1", "predicate"),
    _index("operator class", "indexed_text @ (c text_pattern_ops, d)", "opclasses"),
    _index("operator class of one's own", "@ (a app.backwards_int, b)", "opclasses"),
    _index("collation of an index", 'indexed_text @ (c COLLATE "POSIX", d)', "collations"),
    _index("descending", "@ (a, b DESC)", "orders"),
    _index("NULLs first", "@ (a NULLS FIRST, b)", "orders"),
    _index("index option", "@ (a, b) WITH (fillfactor = 60)", "options"),
    _case("NULLs are the same in an index", "DROP INDEX app.persons_email_idx; CREATE UNIQUE INDEX persons_email_idx ON app.persons (email)",
          "index app.persons_email_idx: nulls_not_distinct"),
    _case("option of an operator class", """DROP INDEX app.persons_bloom_idx;
      CREATE INDEX persons_bloom_idx ON app.persons USING brin (id int8_bloom_ops (n_distinct_per_range = 60))""",
          "index app.persons_bloom_idx: opclass_options"),
    _case("option of a default operator class", """DROP INDEX app.persons_search_idx;
      CREATE INDEX persons_search_idx ON app.persons USING gist (to_tsvector('english', name))""",
          "index app.persons_search_idx: opclass_options"),
    _case("option of GIN", "ALTER INDEX app.persons_doc_idx SET (fastupdate = on)", "index app.persons_doc_idx: options"),
    _case("option of BRIN", "ALTER INDEX app.persons_brin_idx SET (pages_per_range = 64)", "index app.persons_brin_idx: options"),
    _case("hash index on another column", "DROP INDEX app.persons_hash_idx; CREATE INDEX persons_hash_idx ON app.persons USING hash (nick)",
          "index app.persons_hash_idx: columns"),
    _case("statistics of an index", "ALTER INDEX app.persons_lower_idx ALTER COLUMN 1 SET STATISTICS 301", "index app.persons_lower_idx: statistics"),
    _case("tablespace of an index", "ALTER INDEX app.persons_tags_idx SET TABLESPACE pgsteward_drift_space", "index app.persons_tags_idx: tablespace"),
    _case("no longer clustered", "ALTER TABLE app.persons SET WITHOUT CLUSTER", "index app.persons_collated_idx: clustered"),
    _case("invalid", "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'app.persons_tags_idx'::regclass",
          "index app.persons_tags_idx: valid"),
    _case("left behind by a failed build", """INSERT INTO app.indexed (a) VALUES (1), (1);
      CREATE UNIQUE INDEX CONCURRENTLY failed_idx ON app.indexed (a)""", "index app.failed_idx: existence", committed=True, fails=True),
    _case("left invalid by a failed build", """DROP INDEX app.indexed_unique; INSERT INTO app.indexed (b) VALUES (1), (1);
      CREATE UNIQUE INDEX CONCURRENTLY indexed_unique ON app.indexed (b)""", "index app.indexed_unique: valid", committed=True, fails=True),
    _case("built without locks", "CREATE INDEX CONCURRENTLY new_idx ON app.indexed (a)", "index app.new_idx: existence", committed=True),
    _case("index of partitions completed", """CREATE INDEX half_1 ON app.events_2024 (kind); CREATE INDEX half_2 ON app.events_2025 (kind);
      ALTER INDEX app.events_half_idx ATTACH PARTITION app.half_1; ALTER INDEX app.events_half_idx ATTACH PARTITION app.half_2""",
          "index app.half_1: existence", "index app.events_half_idx: valid", "index app.half_2: existence",
          "index app.events_2025_a_kind_idx: existence", "index app.events_2025_rest_kind_idx: existence"),
    _case("index of a partition attached", "ALTER INDEX app.events_lone_idx ATTACH PARTITION app.events_2024_lone_idx",
          "index app.events_2024_lone_idx: partition_of"),
    _comment("INDEX app.persons_doc_idx", "index app.persons_doc_idx"),
    _case("index of a materialized view", "DROP INDEX app.totals_person_idx; CREATE INDEX totals_person_idx ON app.totals (person)",
          "index app.totals_person_idx: unique"),
    _case("index of a hostile name", 'ALTER INDEX "Odd schema."."odd index." SET (fillfactor = 50)', 'index "Odd schema."."odd index.": options'),
)  # fmt: skip

VECTORS = (
    _case("dimensions of vector", "ALTER TABLE app.items ALTER COLUMN spare TYPE vector(4)", "column app.items.spare: type"),
    _case("any dimensions", "ALTER TABLE app.items ALTER COLUMN spare TYPE vector", "column app.items.spare: type"),
    _case("some dimensions", "ALTER TABLE app.items ALTER COLUMN any_size TYPE vector(5)", "column app.items.any_size: type"),
    _case("halfvec", "ALTER TABLE app.items ALTER COLUMN spare TYPE halfvec(3)", "column app.items.spare: type"),
    _case("dimensions of halfvec", "ALTER TABLE app.vectors ALTER COLUMN other TYPE halfvec(5)", "column app.vectors.other: type"),
    _case("dimensions of sparsevec", "DROP INDEX app.vectors_sparse_idx; ALTER TABLE app.vectors ALTER COLUMN sparse TYPE sparsevec(101)",
          "index app.vectors_sparse_idx: existence", "column app.vectors.sparse: type"),
    _case("default of type halfvec", "ALTER TABLE app.vectors ALTER COLUMN half SET DEFAULT '[1,2,3,5]'", "column app.vectors.half: default"),
    _case("storage of a vector", "ALTER TABLE app.items ALTER COLUMN big SET STORAGE PLAIN", "column app.items.big: storage"),
    _case("check of a vector", "ALTER TABLE app.vectors DROP CONSTRAINT vectors_half_check, ADD CONSTRAINT vectors_half_check"
          " CHECK (l2_distance(half, '[0,0,0,0]') < 101)", "constraint app.vectors.vectors_half_check: expression"),
    _case("HNSW dropped", "DROP INDEX app.items_hnsw_idx", "index app.items_hnsw_idx: existence"),
    *(
        _case(name, f"DROP INDEX app.{index}; CREATE INDEX {index} ON app.{definition}", f"index app.{index}: {attribute}")
        for name, index, definition, attribute in (
            ("m of HNSW", "items_hnsw_idx", "items USING hnsw (small vector_cosine_ops) WITH (m = 9, ef_construction = 32)", "options"),
            ("ef_construction of HNSW", "items_hnsw_idx", "items USING hnsw (small vector_cosine_ops) WITH (m = 8, ef_construction = 33)", "options"),
            ("distance of HNSW", "items_hnsw_idx", "items USING hnsw (small vector_ip_ops) WITH (m = 8, ef_construction = 32)", "opclasses"),
            ("lists of IVFFlat", "items_ivf_idx", "items USING ivfflat (big vector_l2_ops) WITH (lists = 11)", "options"),
            ("distance of IVFFlat", "items_ivf_idx", "items USING ivfflat (big vector_cosine_ops) WITH (lists = 10)", "opclasses"),
            ("halved in HNSW", "items_halved_idx", "items USING hnsw ((any_size::halfvec(8)) halfvec_l2_ops)", "columns"),
            ("quantized in HNSW", "items_bits_idx", "items USING hnsw ((binary_quantize(small)::bit(3)) bit_jaccard_ops)", "opclasses"),
            ("distance of sparse HNSW", "vectors_sparse_idx", "vectors USING hnsw (sparse sparsevec_l1_ops)", "opclasses"),
        )
    ),
    _case("HNSW in the place of IVFFlat", "DROP INDEX app.items_plain_idx; CREATE INDEX items_plain_idx ON app.items USING hnsw (big vector_cosine_ops)",
          "index app.items_plain_idx: method"),
    _case("HNSW invalid", "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'app.items_hnsw_idx'::regclass",
          "index app.items_hnsw_idx: valid"),
)  # fmt: skip

PARTS = (
    _case("trigger added", "CREATE TRIGGER new BEFORE INSERT ON app.ordered EXECUTE FUNCTION app.refuse()", "trigger app.ordered.new: existence"),
    _gone("TRIGGER persons_touch ON app.persons", "trigger app.persons.persons_touch"),
    _case("trigger renamed", "ALTER TRIGGER persons_late ON app.persons RENAME TO later",
          "trigger app.persons.later: existence", "trigger app.persons.persons_late: existence"),
    _case("trigger", "CREATE OR REPLACE TRIGGER persons_touch BEFORE UPDATE OF name ON app.persons FOR EACH ROW"
          " WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION app.touch('a', 'b')", "trigger app.persons.persons_touch: definition"),
    _case("trigger with another list", "CREATE OR REPLACE TRIGGER sorted_touch BEFORE UPDATE ON app.sorted FOR EACH ROW WHEN (NEW.state IN ('a', 'c'))"
          " EXECUTE FUNCTION app.refuse()", "trigger app.sorted.sorted_touch: definition"),
    _case("constraint trigger", """DROP TRIGGER persons_late ON app.persons; CREATE CONSTRAINT TRIGGER persons_late AFTER DELETE ON app.persons
      DEFERRABLE FOR EACH ROW EXECUTE FUNCTION app.refuse()""", "trigger app.persons.persons_late: definition"),
    _case("trigger switched off", "ALTER TABLE app.persons DISABLE TRIGGER persons_touch", "trigger app.persons.persons_touch: enabled"),
    _case("trigger on replicas", "ALTER TABLE app.persons ENABLE REPLICA TRIGGER persons_touch", "trigger app.persons.persons_touch: enabled"),
    _case("trigger of one partition switched off", "ALTER TABLE ONLY app.events_2024 DISABLE TRIGGER events_touch",
          "trigger app.events_2024.events_touch: enabled"),
    _comment("TRIGGER persons_touch ON app.persons", "trigger app.persons.persons_touch"),
    _case("trigger of a view", "DROP TRIGGER people_insert ON app.people", "trigger app.people.people_insert: existence"),
    _case("rule", "CREATE OR REPLACE RULE persons_keep AS ON DELETE TO app.persons WHERE NOT OLD.active DO INSTEAD NOTHING",
          "rule app.persons.persons_keep: definition"),
    _gone("RULE persons_keep ON app.persons", "rule app.persons.persons_keep"),
    _case("rule switched off", "ALTER TABLE app.persons DISABLE RULE persons_keep", "rule app.persons.persons_keep: enabled"),
    _comment("RULE persons_keep ON app.persons", "rule app.persons.persons_keep"),
    _case("rule of a view", "CREATE OR REPLACE RULE people_delete AS ON DELETE TO app.people DO INSTEAD NOTHING", "rule app.people.people_delete: definition"),
    _case("policy added", "CREATE POLICY new ON app.ordered", "policy app.ordered.new: existence"),
    _gone("POLICY persons_all ON app.persons", "policy app.persons.persons_all"),
    _case("who a policy is for", "ALTER POLICY persons_own ON app.persons TO pgsteward_drift_reader", "policy app.persons.persons_own: roles"),
    _case("a policy for everybody", "ALTER POLICY persons_own ON app.persons TO PUBLIC", "policy app.persons.persons_own: roles"),
    _case("what a policy lets see", "ALTER POLICY persons_own ON app.persons USING (active)", "policy app.persons.persons_own: using"),
    _case("what a policy lets write", "ALTER POLICY persons_new ON app.persons WITH CHECK (score < 101)", "policy app.persons.persons_new: check"),
    _case("command of a policy", "DROP POLICY persons_all ON app.persons; CREATE POLICY persons_all ON app.persons FOR UPDATE",
          "policy app.persons.persons_all: command"),
    _case("restrictive policy", "DROP POLICY persons_all ON app.persons; CREATE POLICY persons_all ON app.persons AS RESTRICTIVE",
          "policy app.persons.persons_all: permissive"),
    _comment("POLICY persons_own ON app.persons", "policy app.persons.persons_own"),
    _case("policy of a hostile name", f'DROP POLICY "odd policy" ON {_ODD}', f'policy {_ODD}."odd policy": existence'),
    _case("trigger of a hostile name", f'ALTER TABLE {_ODD} DISABLE TRIGGER "odd trigger"', f'trigger {_ODD}."odd trigger": enabled'),
    _case("rule of a hostile name", f'DROP RULE "odd rule" ON {_ODD}', f'rule {_ODD}."odd rule": existence'),
)  # fmt: skip

VIEWS = (
    _case("view added", "CREATE VIEW app.new AS SELECT 1 AS one", "view app.new: existence"),
    _gone("VIEW app.report", "view app.report"),
    _case("view", "CREATE OR REPLACE VIEW app.people WITH (security_barrier, check_option = local) AS"
          " SELECT id, name, mood FROM app.persons WHERE NOT active", "view app.people: definition"),
    _case("column of a view", "CREATE OR REPLACE VIEW app.people WITH (security_barrier, check_option = local) AS"
          " SELECT id, name, mood, nick FROM app.persons WHERE active", "view app.people: definition", "column app.people.nick: existence"),
    _case("order of a view's columns", "DROP VIEW public.json_view; CREATE VIEW public.json_view AS SELECT json_table, json FROM public.json",
          "view public.json_view: column_order", "view public.json_view: definition"),
    _case("security of a view", "ALTER VIEW app.people SET (security_invoker = true)", "view app.people: options"),
    _case("check option", "ALTER VIEW app.people RESET (check_option)", "view app.people: options"),
    _case("default of a view's column", "ALTER VIEW app.people ALTER COLUMN mood DROP DEFAULT", "column app.people.mood: default"),
    _owner("VIEW app.people", "view app.people"),
    _comment("VIEW app.people", "view app.people"),
    _comment("COLUMN app.people.name", "column app.people.name"),
    _case("privilege on a view", "GRANT SELECT ON app.report TO pgsteward_drift_reader", "view app.report: privileges"),
    _case("materialized view", """DROP MATERIALIZED VIEW app.plain_totals;
      CREATE MATERIALIZED VIEW app.plain_totals AS SELECT person, max(total) AS total FROM app.orders GROUP BY person""",
          "materialized view app.plain_totals: definition"),
    _gone("MATERIALIZED VIEW app.totals", "materialized view app.totals"),
    _case("option of a materialized view", "ALTER MATERIALIZED VIEW app.totals SET (fillfactor = 76)", "materialized view app.totals: options"),
    _case("access method of a materialized view", "ALTER MATERIALIZED VIEW app.totals SET ACCESS METHOD heap_too",
          "materialized view app.totals: access_method"),
    _case("statistics of a materialized view", "ALTER MATERIALIZED VIEW app.totals ALTER COLUMN total SET STATISTICS 78",
          "column app.totals.total: statistics"),
    _comment("MATERIALIZED VIEW app.totals", "materialized view app.totals"),
    _owner("MATERIALIZED VIEW app.totals", "materialized view app.totals"),
)  # fmt: skip

SEQUENCES = (
    _case("sequence added", "CREATE SEQUENCE app.new", "sequence app.new: existence"),
    _gone('SEQUENCE "Odd schema."."order"', 'sequence "Odd schema."."order"'),
    *(
        _case(f"{attribute} of a sequence", f"ALTER SEQUENCE app.numbers {change}", f"sequence app.numbers: {attribute}")
        for attribute, change in {
            "type": "AS bigint", "start": "START 6", "increment": "INCREMENT 6", "minimum": "MINVALUE 4", "maximum": "MAXVALUE 5001",
            "cache": "CACHE 4", "cycle": "NO CYCLE", "owned_by": "OWNED BY app.ordered.b", "persistence": "SET UNLOGGED",
        }.items()
    ),
    _case("no longer owned", "ALTER SEQUENCE app.orders_id_seq OWNED BY NONE", "sequence app.orders_id_seq: owned_by"),
    _case("sequence of an identity", "ALTER TABLE app.persons ALTER COLUMN id SET INCREMENT 3", "sequence app.persons_id_seq: increment"),
    _owner("SEQUENCE app.numbers", "sequence app.numbers"),
    _comment("SEQUENCE app.plain_numbers", "sequence app.plain_numbers"),
    _case("privilege on a sequence", "GRANT SELECT ON SEQUENCE app.plain_numbers TO PUBLIC", "sequence app.plain_numbers: privileges"),
)  # fmt: skip

TYPES = (
    _case("enum added", "CREATE TYPE app.new AS ENUM ()", "enum app.new: existence"),
    _gone('TYPE "Odd schema."."odd enum"', 'enum "Odd schema."."odd enum"'),
    _case("label added", "ALTER TYPE app.mood ADD VALUE 'elated'", "enum app.mood: labels_in_order"),
    _case("label added between others", "ALTER TYPE app.mood ADD VALUE 'fine' BEFORE 'happy'", "enum app.mood: labels_in_order"),
    _case("label renamed", "ALTER TYPE app.size RENAME VALUE 'large' TO 'big'", "enum app.size: labels_in_order"),
    _case("order of labels", "DROP TYPE app.size; CREATE TYPE app.size AS ENUM ('small', 'large', 'medium')", "enum app.size: labels_in_order"),
    _owner("TYPE app.size", "enum app.size"),
    _case("privilege on a type", "GRANT USAGE ON TYPE app.mood TO PUBLIC", "enum app.mood: privileges"),
    _comment("TYPE app.mood", "enum app.mood"),
    _case("domain added", "CREATE DOMAIN app.new AS integer", "domain app.new: existence"),
    _case("type of a domain", "DROP DOMAIN app.plain_domain; CREATE DOMAIN app.plain_domain AS varchar(9)", "domain app.plain_domain: base"),
    _case("collation of a domain", 'DROP DOMAIN app.plain_domain; CREATE DOMAIN app.plain_domain AS varchar(8) COLLATE "C"',
          "domain app.plain_domain: collation"),
    _case("default of a domain", "ALTER DOMAIN app.percent SET DEFAULT 5", "domain app.percent: default"),
    _case("default of a domain dropped", "ALTER DOMAIN app.email DROP DEFAULT", "domain app.email: default"),
    _case("domain takes NULL", "ALTER DOMAIN app.email DROP NOT NULL", "domain app.email: not_null"),
    _case("check of a domain", "ALTER DOMAIN app.code DROP CONSTRAINT code_check; ALTER DOMAIN app.code ADD CHECK (cardinality(VALUE) < 8)",
          "constraint app.code.code_check: expression"),
    _case("check of a domain added", "ALTER DOMAIN app.code ADD CHECK (VALUE IS NOT NULL)", "constraint app.code.code_check1: existence"),
    _case("check of a domain validated", "ALTER DOMAIN app.percent VALIDATE CONSTRAINT percent_step", "constraint app.percent.percent_step: valid"),
    _comment("CONSTRAINT email_form ON DOMAIN app.email", "constraint app.email.email_form"),
    _comment("DOMAIN app.email", "domain app.email"),
    _owner("DOMAIN app.email", "domain app.email"),
    _gone("TYPE app.point", "composite type app.point"),
    _case("attribute added", "ALTER TYPE app.point ADD ATTRIBUTE z integer", "column app.point.z: existence"),
    _case("collation of an attribute", 'DROP TYPE app.point; CREATE TYPE app.point AS (x integer, label text COLLATE "C")',
          "column app.point.label: collation"),
    _case("order of attributes", "DROP TYPE app.point; CREATE TYPE app.point AS (label text, x integer)", "composite type app.point: column_order"),
    _comment("COLUMN app.address.zip", "column app.address.zip"),
    _owner("TYPE app.point", "composite type app.point"),
    _gone("TYPE app.float_range", "range type app.float_range"),
    _case("difference of a range", "DROP TYPE app.float_range; CREATE TYPE app.float_range AS RANGE (SUBTYPE = float8)",
          "range type app.float_range: subtype_diff"),
    _case("subtype of a range", "DROP TYPE app.bare_range; CREATE TYPE app.bare_range AS RANGE (SUBTYPE = varchar)", "range type app.bare_range: subtype"),
    _case("operator class of a range", "DROP TYPE app.bare_range; CREATE TYPE app.bare_range AS RANGE (SUBTYPE = text, SUBTYPE_OPCLASS = text_pattern_ops)",
          "range type app.bare_range: opclass"),
    _case("collation of a range", """DROP TYPE app.word_range;
      CREATE TYPE app.word_range AS RANGE (SUBTYPE = text, COLLATION = "POSIX", MULTIRANGE_TYPE_NAME = app.word_ranges)""",
          "range type app.word_range: collation"),
    _case("multirange of a range", "ALTER TYPE app.word_ranges RENAME TO other", "range type app.word_range: multirange"),
    _owner("TYPE app.float_range", "range type app.float_range"),
    _case("option of a base type", "ALTER TYPE app.tiny SET (ANALYZE = pg_catalog.range_typanalyze)", "base type app.tiny: analyze"),
    _owner("TYPE app.tiny", "base type app.tiny"),
    _comment("TYPE app.tiny", "base type app.tiny"),
)  # fmt: skip

FUNCTIONS = (
    _case("function added", "CREATE FUNCTION app.overloaded(date) RETURNS date LANGUAGE sql RETURN $1", "function app.overloaded(date): existence"),
    _gone("FUNCTION app.overloaded(text)", "function app.overloaded(text)"),
    _case("function in the place of a procedure", """DROP PROCEDURE app.tidy;
      CREATE FUNCTION app.tidy(integer) RETURNS integer LANGUAGE sql RETURN 1""",
          "function app.tidy(integer): existence", "procedure app.tidy(integer): existence"),
    _case("default of an argument", "CREATE OR REPLACE FUNCTION app.plain(a integer DEFAULT 2) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
          "function app.plain(integer): arguments"),
    _case("name of an argument", "DROP FUNCTION app.plain; CREATE FUNCTION app.plain(b integer DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
          "function app.plain(integer): arguments"),
    _case("type of an argument", "DROP FUNCTION app.plain; CREATE FUNCTION app.plain(a bigint DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
          "function app.plain(bigint): existence", "function app.plain(integer): existence"),
    _case("result", "DROP FUNCTION app.plain; CREATE FUNCTION app.plain(a integer DEFAULT 1) RETURNS SETOF integer LANGUAGE sql AS 'SELECT 1'",
          "function app.plain(integer): returns"),
    _case("language", "CREATE OR REPLACE FUNCTION app.plain(a integer DEFAULT 1) RETURNS integer LANGUAGE app_language AS 'SELECT 1'",
          "function app.plain(integer): language"),
    _case("body", "CREATE OR REPLACE FUNCTION app.plain(a integer DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 2'", "function app.plain(integer): body"),
    _case("space in a body", "CREATE OR REPLACE FUNCTION app.plain(a integer DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 1 '",
          "function app.plain(integer): body"),
    _case("body as a tree", "CREATE OR REPLACE FUNCTION app.sum_sql(a integer, b numeric) RETURNS numeric LANGUAGE sql STABLE RETURN a - b",
          "function app.sum_sql(integer, numeric): body"),
    _case("body as a tree in the place of text", "CREATE OR REPLACE FUNCTION app.plain(a integer DEFAULT 1) RETURNS integer LANGUAGE sql RETURN 1",
          "function app.plain(integer): body"),
    *(
        _case(f"{attribute} of a function", f"ALTER FUNCTION app.plain(integer) {change}", f"function app.plain(integer): {attribute}")
        for attribute, change in {
            "volatility": "STABLE", "strict": "STRICT", "security_definer": "SECURITY DEFINER", "leakproof": "LEAKPROOF",
            "parallel": "PARALLEL RESTRICTED", "cost": "COST 7", "settings": "SET search_path = pg_catalog",
            "support": "SUPPORT pg_catalog.textlike_support",
        }.items()
    ),
    _case("rows", "ALTER FUNCTION app.list(integer) ROWS 21", "function app.list(integer): rows"),
    _case("setting of a function", "ALTER FUNCTION app.list(integer) SET work_mem = '9MB'", "function app.list(integer): settings"),
    _case("not as its owner", "ALTER FUNCTION app.list(integer) SECURITY INVOKER", "function app.list(integer): security_definer"),
    _case("window function", "DROP FUNCTION app.third; CREATE FUNCTION app.third(bigint) RETURNS bigint LANGUAGE internal IMMUTABLE AS 'window_rank'",
          "function app.third(bigint): window"),
    _case("library", "CREATE OR REPLACE FUNCTION app.inline(internal) RETURNS void LANGUAGE c STRICT AS 'plpgsql', 'plpgsql_inline_handler'",
          "function app.inline(internal): library"),
    _case("transforms", "CREATE OR REPLACE FUNCTION app.plain(a integer DEFAULT 1) RETURNS integer TRANSFORM FOR TYPE app.tiny LANGUAGE sql AS 'SELECT 1'",
          "function app.plain(integer): transforms"),
    _owner("FUNCTION app.list(integer)", "function app.list(integer)"),
    _comment("FUNCTION app.list(integer)", "function app.list(integer)"),
    _case("everybody may execute", "GRANT EXECUTE ON FUNCTION app.list(integer) TO PUBLIC", "function app.list(integer): privileges"),
    _case("nobody may execute", "REVOKE EXECUTE ON FUNCTION app.plain(integer) FROM PUBLIC", "function app.plain(integer): privileges"),
    _case("function of a hostile name", 'ALTER FUNCTION "Odd schema."."odd (function"(integer, text) STRICT',
          'function "Odd schema."."odd (function"(integer, text): strict'),
    _case("body of a procedure", "CREATE OR REPLACE PROCEDURE app.tidy(INOUT counted integer DEFAULT 0) LANGUAGE plpgsql AS 'BEGIN END'",
          "procedure app.tidy(integer): body"),
    _case("procedure as its owner", "ALTER PROCEDURE app.tidy(integer) SECURITY DEFINER", "procedure app.tidy(integer): security_definer"),
    _owner("PROCEDURE app.tidy(integer)", "procedure app.tidy(integer)"),
    _case("arguments of a procedure", "CREATE OR REPLACE PROCEDURE app.tidy(INOUT counted integer DEFAULT 1) LANGUAGE plpgsql AS"
          " $$ BEGIN counted := 1; END $$", "procedure app.tidy(integer): arguments"),
    _comment("PROCEDURE app.tidy(integer)", "procedure app.tidy(integer)"),
    *(
        _case(name, f"CREATE OR REPLACE AGGREGATE app.total(integer) (SFUNC = app.step, STYPE = bigint, {rest})", f"aggregate app.total(integer): {attribute}")
        for name, rest, attribute in (
            ("initial value of an aggregate", "INITCOND = '1', PARALLEL = SAFE", "definition"),
            ("no initial value of an aggregate", "PARALLEL = SAFE", "definition"),
            ("state size of an aggregate", "INITCOND = '0', PARALLEL = SAFE, SSPACE = 64", "definition"),
            ("combination of an aggregate", "INITCOND = '0', PARALLEL = SAFE, COMBINEFUNC = int8pl", "definition"),
            ("parallel aggregate", "INITCOND = '0'", "parallel"),
        )
    ),
    _owner("AGGREGATE app.total(integer)", "aggregate app.total(integer)"),
    _case("arguments of an aggregate", """DROP AGGREGATE app.middle(double precision ORDER BY double precision);
      CREATE AGGREGATE app.middle(share double precision ORDER BY double precision)
        (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_cont_float8_final)""",
          "aggregate app.middle(double precision, double precision): arguments"),
    _comment("AGGREGATE app.total(integer)", "aggregate app.total(integer)"),
    _gone("AGGREGATE app.total(integer)", "aggregate app.total(integer)"),
)  # fmt: skip

STATISTICS = (
    _gone("STATISTICS app.persons_stats", "statistics app.persons_stats"),
    _case("kinds of statistics", "DROP STATISTICS app.plain_stats; CREATE STATISTICS app.plain_stats (mcv) ON a, b FROM app.parents",
          "statistics app.plain_stats: kinds"),
    _case("columns of statistics", "DROP STATISTICS app.plain_stats; CREATE STATISTICS app.plain_stats ON a, (b + 1) FROM app.parents",
          "statistics app.plain_stats: columns"),
    _case("table of statistics", "DROP STATISTICS app.plain_stats; CREATE STATISTICS app.plain_stats ON a, b FROM app.shuffled",
          "statistics app.plain_stats: table"),
    _case("target of statistics", "ALTER STATISTICS app.persons_stats SET STATISTICS 401", "statistics app.persons_stats: target"),
    _case("no target of statistics", "ALTER STATISTICS app.persons_stats SET STATISTICS -1", "statistics app.persons_stats: target"),
    _owner("STATISTICS app.persons_stats", "statistics app.persons_stats"),
    _comment("STATISTICS app.persons_stats", "statistics app.persons_stats"),
)  # fmt: skip

OPERATORS = (
    _case("operator added", "CREATE OPERATOR app.@@@@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = app.near)",
          "operator app.@@@@(integer,integer): existence"),
    _case("operator dropped", "DROP OPERATOR app.~/~ (integer, integer)", "operator app.~/~(integer,integer): existence"),
    _case("restriction of an operator", "ALTER OPERATOR app.~=~ (integer, integer) SET (RESTRICT = NONE)", "operator app.~=~(integer,integer): restrict"),
    _case("join of an operator", "ALTER OPERATOR app.~=~ (integer, integer) SET (JOIN = NONE)", "operator app.~=~(integer,integer): join"),
    *(
        _case(name, f"DROP OPERATOR app.~/~ (integer, integer); CREATE OPERATOR app.~/~ (LEFTARG = integer, RIGHTARG = integer, {rest})",
              f"operator app.~/~(integer,integer): {attribute}")
        for name, rest, attribute in (
            ("function of an operator", "FUNCTION = app.near", "function"),
            ("commutator", "FUNCTION = app.far, COMMUTATOR = OPERATOR(app.~/~)", "commutator"),
            ("hashes", "FUNCTION = app.far, HASHES", "hashes"),
            ("merges", "FUNCTION = app.far, MERGES", "merges"),
        )
    ),
    _case("negator", "DROP OPERATOR app.~/~ (integer, integer); CREATE OPERATOR app.~/~"
          " (LEFTARG = integer, RIGHTARG = integer, FUNCTION = app.far, NEGATOR = OPERATOR(app.~*~))",
          "operator app.~/~(integer,integer): negator", "operator app.~*~(integer,integer): negator"),
    _owner("OPERATOR app.~=~ (integer, integer)", "operator app.~=~(integer,integer)"),
    _comment("OPERATOR app.~=~ (integer, integer)", "operator app.~=~(integer,integer)"),
    _case("operator in a family", "ALTER OPERATOR FAMILY app.backwards USING btree ADD OPERATOR 1 > (bigint, bigint)",
          "operator family app.backwards using btree: operators"),
    _case("function in a family", "ALTER OPERATOR FAMILY app.backwards USING btree ADD FUNCTION 1 btint8cmp(bigint, bigint)",
          "operator family app.backwards using btree: functions"),
    _owner("OPERATOR FAMILY app.backwards USING btree", "operator family app.backwards using btree"),
    _comment("OPERATOR FAMILY app.backwards USING btree", "operator family app.backwards using btree"),
    _case("operator family added", "CREATE OPERATOR FAMILY app.new USING hash", "operator family app.new using hash: existence"),
    _case("type of an operator class", "DROP OPERATOR CLASS app.bare USING gin; CREATE OPERATOR CLASS app.bare FOR TYPE bigint USING gin"
          " FAMILY app.bare AS STORAGE text",
          "operator class app.bare using gin: type"),
    _case("family of an operator class", "DROP OPERATOR CLASS app.bare USING gin; CREATE OPERATOR CLASS app.bare FOR TYPE integer USING gin"
          " FAMILY app.bare_too AS STORAGE text", "operator class app.bare using gin: family"),
    _case("storage of an operator class", "DROP OPERATOR CLASS app.bare USING gin; CREATE OPERATOR CLASS app.bare FOR TYPE integer USING gin"
          " FAMILY app.bare AS STORAGE name", "operator class app.bare using gin: storage"),
    _case("default operator class", "DROP OPERATOR CLASS app.bare USING gin; CREATE OPERATOR CLASS app.bare DEFAULT FOR TYPE integer USING gin"
          " FAMILY app.bare AS STORAGE text", "operator class app.bare using gin: default"),
    _owner("OPERATOR CLASS app.backwards_int USING btree", "operator class app.backwards_int using btree"),
    _comment("OPERATOR CLASS app.backwards_int USING btree", "operator class app.backwards_int using btree"),
    _gone("CAST (app.tiny AS integer)", "cast app.tiny as integer"),
    _case("when a cast is used", "DROP CAST (app.tiny AS integer); CREATE CAST (app.tiny AS integer) WITHOUT FUNCTION AS IMPLICIT",
          "cast app.tiny as integer: context"),
    _case("how a cast is made", "DROP CAST (app.tiny AS integer); CREATE CAST (app.tiny AS integer) WITH INOUT", "cast app.tiny as integer: method"),
    _case("function of a cast", """CREATE FUNCTION app.to_mood_too(integer) RETURNS app.mood LANGUAGE sql RETURN 'ok'::app.mood;
      DROP CAST (integer AS app.mood); CREATE CAST (integer AS app.mood) WITH FUNCTION app.to_mood_too(integer) AS ASSIGNMENT;
      COMMENT ON CAST (integer AS app.mood) IS 'All the same'""", "cast integer as app.mood: function", "function app.to_mood_too(integer): existence"),
    _comment("CAST (integer AS app.mood)", "cast integer as app.mood"),
    _case("collation dropped", "DROP COLLATION app.plain", "collation app.plain: existence"),
    _case("locale of a collation", "DROP COLLATION app.blind; CREATE COLLATION app.blind (PROVIDER = icu, LOCALE = 'und-u-ks-level1', DETERMINISTIC = false)",
          "collation app.blind: locale"),
    _case("provider of a collation", "DROP COLLATION app.plain; CREATE COLLATION app.plain (PROVIDER = icu, LOCALE = 'und')",
          "collation app.plain: collate", "collation app.plain: ctype", "collation app.plain: locale", "collation app.plain: provider"),
    _case("deterministic", "DROP COLLATION app.blind; CREATE COLLATION app.blind (PROVIDER = icu, LOCALE = 'und-u-ks-level2')",
          "collation app.blind: nondeterministic"),
    _case("rules of a collation", "DROP COLLATION app.blind; CREATE COLLATION app.blind (PROVIDER = icu, LOCALE = 'und-u-ks-level2',"
          " DETERMINISTIC = false, RULES = '&a < g')", "collation app.blind: rules", since=16),
    _case("collation of the C library", "DROP COLLATION app.plain; CREATE COLLATION app.plain (LOCALE = 'POSIX')",
          "collation app.plain: collate", "collation app.plain: ctype"),
    _owner("COLLATION app.german", "collation app.german"),
    _comment("COLLATION app.german", "collation app.german"),
    _gone("CONVERSION app.latin", "conversion app.latin"),
    _case("default conversion", "DROP CONVERSION app.latin; CREATE DEFAULT CONVERSION app.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
          "conversion app.latin: default"),
    _case("encoding of a conversion", "DROP CONVERSION app.latin; CREATE CONVERSION app.latin FOR 'LATIN2' TO 'UTF8' FROM iso8859_to_utf8",
          "conversion app.latin: from", "conversion app.latin: function"),
    _case("other encoding of a conversion", "DROP CONVERSION app.latin; CREATE CONVERSION app.latin FOR 'LATIN1' TO 'MULE_INTERNAL' FROM latin1_to_mic",
          "conversion app.latin: function", "conversion app.latin: to"),
    _owner("CONVERSION app.latin", "conversion app.latin"),
)  # fmt: skip

TEXT_SEARCH = (
    _case("mapping of a configuration", "ALTER TEXT SEARCH CONFIGURATION app.english ALTER MAPPING FOR word WITH english_stem",
          "text search configuration app.english: mapping"),
    _case("order of dictionaries", "ALTER TEXT SEARCH CONFIGURATION app.english ALTER MAPPING FOR word WITH english_stem, app.english",
          "text search configuration app.english: mapping"),
    _case("token of a configuration", "ALTER TEXT SEARCH CONFIGURATION app.english ADD MAPPING FOR numword WITH app.english",
          "text search configuration app.english: mapping"),
    _case("parser of a configuration", "DROP TEXT SEARCH CONFIGURATION app.bare; CREATE TEXT SEARCH CONFIGURATION app.bare (PARSER = app.words)",
          "text search configuration app.bare: parser"),
    _owner("TEXT SEARCH CONFIGURATION app.english", "text search configuration app.english"),
    _comment("TEXT SEARCH CONFIGURATION app.english", "text search configuration app.english"),
    _case("option of a dictionary", "ALTER TEXT SEARCH DICTIONARY app.english (ACCEPT = true)", "text search dictionary app.english: options"),
    _case("template of a dictionary", "DROP TEXT SEARCH DICTIONARY app.bare; CREATE TEXT SEARCH DICTIONARY app.bare (TEMPLATE = app.simple)",
          "text search dictionary app.bare: template"),
    _owner("TEXT SEARCH DICTIONARY app.english", "text search dictionary app.english"),
    _comment("TEXT SEARCH DICTIONARY app.english", "text search dictionary app.english"),
    _case("headline of a parser", """DROP TEXT SEARCH PARSER app.words; CREATE TEXT SEARCH PARSER app.words
      (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline)""",
          "text search parser app.words: headline"),
    _gone("TEXT SEARCH PARSER app.words", "text search parser app.words"),
    _case("initialization of a template", "DROP TEXT SEARCH TEMPLATE app.simple; CREATE TEXT SEARCH TEMPLATE app.simple (LEXIZE = dsimple_lexize)",
          "text search template app.simple: init"),
    _case("function of a template", "DROP TEXT SEARCH TEMPLATE app.simple; CREATE TEXT SEARCH TEMPLATE app.simple"
          " (INIT = dsimple_init, LEXIZE = dsynonym_lexize)", "text search template app.simple: lexize"),
    _gone("TEXT SEARCH TEMPLATE app.simple", "text search template app.simple"),
)  # fmt: skip

GLOBALS = (
    _case("trusted language", "UPDATE pg_catalog.pg_language SET lanpltrusted = false WHERE lanname = 'app_language'", "language app_language: trusted"),
    _case("validator of a language", "CREATE OR REPLACE TRUSTED LANGUAGE app_language HANDLER app.handler INLINE app.inline"
          " VALIDATOR pg_catalog.plpgsql_validator", "language app_language: validator"),
    _case("handler of a language", "CREATE OR REPLACE TRUSTED LANGUAGE app_language HANDLER app.handler_too INLINE app.inline",
          "language app_language: handler"),
    _case("no anonymous blocks of a language", "CREATE OR REPLACE TRUSTED LANGUAGE app_language HANDLER app.handler", "language app_language: inline"),
    _owner("LANGUAGE app_language", "language app_language", "pgsteward_drift_owner"),
    _comment("LANGUAGE app_language", "language app_language"),
    _case("privilege on a language", "REVOKE USAGE ON LANGUAGE app_language FROM PUBLIC", "language app_language: privileges"),
    _gone("LANGUAGE app_language", "language app_language"),
    _case("transform", "CREATE OR REPLACE TRANSFORM FOR app.tiny LANGUAGE sql (FROM SQL WITH FUNCTION app.from_sql(internal))",
          "transform for app.tiny language sql: to_sql"),
    _case("other half of a transform", "CREATE OR REPLACE TRANSFORM FOR app.tiny LANGUAGE sql (TO SQL WITH FUNCTION app.to_sql(internal))",
          "transform for app.tiny language sql: from_sql"),
    _gone("TRANSFORM FOR app.tiny LANGUAGE sql", "transform for app.tiny language sql"),
    _case("access method added", "CREATE ACCESS METHOD new TYPE INDEX HANDLER bthandler", "access method new: existence"),
    _case("handler of an access method", "DROP ACCESS METHOD spare_method; CREATE ACCESS METHOD spare_method TYPE INDEX HANDLER hashhandler",
          "access method spare_method: handler"),
    _case("type of an access method", "DROP ACCESS METHOD spare_method; CREATE ACCESS METHOD spare_method TYPE TABLE HANDLER heap_tableam_handler",
          "access method spare_method: handler", "access method spare_method: type"),
    _comment("ACCESS METHOD heap_too", "access method heap_too"),
    _case("option of a wrapper", "ALTER FOREIGN DATA WRAPPER app_wrapper OPTIONS (SET debug 'false')", "foreign data wrapper app_wrapper: options"),
    _case("validator of a wrapper", "ALTER FOREIGN DATA WRAPPER app_wrapper VALIDATOR pg_catalog.postgresql_fdw_validator OPTIONS (DROP debug)",
          "foreign data wrapper app_wrapper: options", "foreign data wrapper app_wrapper: validator"),
    _case("handler of a wrapper", "CREATE EXTENSION postgres_fdw; ALTER FOREIGN DATA WRAPPER app_wrapper HANDLER public.postgres_fdw_handler",
          "extension postgres_fdw: existence", "foreign data wrapper app_wrapper: handler"),
    _case("privilege on a wrapper", "REVOKE USAGE ON FOREIGN DATA WRAPPER app_wrapper FROM pgsteward_drift_writer",
          "foreign data wrapper app_wrapper: privileges"),
    _case("wrapper added", "CREATE FOREIGN DATA WRAPPER new", "foreign data wrapper new: existence"),
    _comment("FOREIGN DATA WRAPPER app_wrapper", "foreign data wrapper app_wrapper"),
    _case("option of a server", "ALTER SERVER \"far away\" OPTIONS (SET port '2')", 'server "far away": options'),
    _case("version of a server", "ALTER SERVER \"far away\" VERSION '2'", 'server "far away": version'),
    _owner('SERVER "far away"', 'server "far away"'),
    _comment('SERVER "far away"', 'server "far away"'),
    _case("privilege on a server", 'GRANT USAGE ON FOREIGN SERVER "far away" TO PUBLIC', 'server "far away": privileges'),
    _case("type of a server", "DROP SERVER nearer; CREATE SERVER nearer TYPE 'x' FOREIGN DATA WRAPPER app_wrapper", "server nearer: type"),
    _case("wrapper of a server", "DROP SERVER nearer; CREATE SERVER nearer FOREIGN DATA WRAPPER bare", "server nearer: wrapper"),
    _case("server added", "CREATE SERVER new FOREIGN DATA WRAPPER app_wrapper", "server new: existence"),
    _case("option of a user mapping", "ALTER USER MAPPING FOR pgsteward_drift_writer SERVER \"far away\" OPTIONS (SET user_name 'us')",
          'user mapping pgsteward_drift_writer on "far away": options'),
    _case("password of a user mapping dropped", 'ALTER USER MAPPING FOR pgsteward_drift_writer SERVER "far away" OPTIONS (DROP password)',
          'user mapping pgsteward_drift_writer on "far away": options'),
    _case("user mapping without a password", "ALTER USER MAPPING FOR pgsteward_drift_writer SERVER \"far away\" OPTIONS (ADD password_required 'false')",
          'user mapping pgsteward_drift_writer on "far away": options'),
    _gone('USER MAPPING FOR PUBLIC SERVER "far away"', 'user mapping public on "far away"'),
    _case("foreign table dropped", "DROP FOREIGN TABLE app.remote", "foreign table app.remote: existence"),
    _case("option of a foreign table", "ALTER FOREIGN TABLE app.remote OPTIONS (SET table_name 'ours')", "foreign table app.remote: foreign_options"),
    _case("option of a foreign column", "ALTER FOREIGN TABLE app.remote ALTER COLUMN id OPTIONS (DROP column_name)",
          "column app.remote.id: foreign_options"),
    _case("server of a foreign table", "DROP FOREIGN TABLE app.remote_too; CREATE FOREIGN TABLE app.remote_too (id integer) SERVER nearer",
          "foreign table app.remote_too: server"),
    _case("check of a foreign table", "ALTER FOREIGN TABLE app.remote DROP CONSTRAINT remote_id_check", "constraint app.remote.remote_id_check: existence"),
    _comment("FOREIGN TABLE app.remote", "foreign table app.remote"),
    _owner("FOREIGN TABLE app.remote", "foreign table app.remote"),
    _case("event trigger switched off", "ALTER EVENT TRIGGER app_watch DISABLE", "event trigger app_watch: enabled"),
    _comment("EVENT TRIGGER app_watch", "event trigger app_watch"),
    *(
        _case(name, f"DROP EVENT TRIGGER bare; CREATE EVENT TRIGGER bare ON {rest}", f"event trigger bare: {attribute}")
        for name, rest, attribute in (
            ("tags of an event trigger", "sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION app.watch()", "tags"),
            ("event of an event trigger", "ddl_command_start EXECUTE FUNCTION app.watch()", "event"),
            ("function of an event trigger", "sql_drop EXECUTE FUNCTION app.watch_too()", "function"),
        )
    ),
    _gone("EVENT TRIGGER app_watch", "event trigger app_watch"),
)  # fmt: skip

REPLICATION = (
    _case("publication added", "CREATE PUBLICATION new", "publication new: existence"),
    _gone("PUBLICATION everything", "publication everything"),
    _case("all tables published", "DROP PUBLICATION bare; CREATE PUBLICATION bare FOR ALL TABLES", "publication bare: all_tables"),
    _case("table published", "ALTER PUBLICATION some_tables ADD TABLE app.items", "publication some_tables: tables"),
    _case("table no longer published", "ALTER PUBLICATION some_tables DROP TABLE app.persons", "publication some_tables: tables"),
    _case("rows published", "ALTER PUBLICATION some_tables SET TABLE app.persons (id, name, mood), app.orders WHERE (number > 1), ONLY app.animals",
          "publication some_tables: tables"),
    _case("columns published", """ALTER PUBLICATION some_tables SET TABLE app.persons (id, name),
      app.orders WHERE (number > 0 AND year IN (2024, 2025)), ONLY app.animals""", "publication some_tables: tables"),
    _case("schema published", "ALTER PUBLICATION some_schemas ADD TABLES IN SCHEMA public", "publication some_schemas: schemas"),
    _case("what is published", "ALTER PUBLICATION some_tables SET (publish = 'insert')", "publication some_tables: publish"),
    _case("nothing is published", "ALTER PUBLICATION everything SET (publish = '')", "publication everything: publish"),
    _case("published by the root", "ALTER PUBLICATION some_tables SET (publish_via_partition_root = false)", "publication some_tables: via_partition_root"),
    _case("generated columns published", "ALTER PUBLICATION everything SET (publish_generated_columns = stored)",
          "publication everything: generated_columns", since=18),
    _comment("PUBLICATION everything", "publication everything"),
    _case("owner of a publication", "ALTER PUBLICATION bare OWNER TO pgsteward_drift_super", "publication bare: owner"),
    _case("owner of an event trigger", "ALTER EVENT TRIGGER bare OWNER TO pgsteward_drift_super", "event trigger bare: owner"),
    _case("owner of a wrapper", "ALTER FOREIGN DATA WRAPPER app_wrapper OWNER TO pgsteward_drift_super", "foreign data wrapper app_wrapper: owner"),
    _case("owner of a subscription", "ALTER SUBSCRIPTION app_subscription OWNER TO pgsteward_drift_super", "subscription app_subscription: owner"),
    _gone("SUBSCRIPTION app_subscription", "subscription app_subscription"),
    _comment("SUBSCRIPTION app_subscription", "subscription app_subscription"),
    _case("what is subscribed", "ALTER SUBSCRIPTION app_subscription SET PUBLICATION theirs WITH (refresh = false)",
          "subscription app_subscription: publications"),
    *(
        _case(f"{attribute} of a subscription", f"ALTER SUBSCRIPTION app_subscription SET ({change})",
              f"subscription app_subscription: {attribute}", since=since)
        for attribute, change, since in (
            ("slot", "slot_name = theirs", 15),
            ("binary", "binary = true", 15),
            ("streaming", "streaming = off", 15),
            ("disable_on_error", "disable_on_error = true", 15),
            ("synchronous_commit", "synchronous_commit = off", 15),
            ("origin", "origin = none", 16),
            ("run_as_owner", "run_as_owner = true", 16),
            ("no_password_required", "password_required = false", 16),
        )
    ),
    _case("failover of a subscription", """DROP SUBSCRIPTION app_subscription;
      CREATE SUBSCRIPTION app_subscription CONNECTION '' PUBLICATION theirs, others
        WITH (connect = false, slot_name = NONE, failover = true, synchronous_commit = 'local', streaming = on);
      COMMENT ON SUBSCRIPTION app_subscription IS 'Never connected'""", "subscription app_subscription: failover", since=17),
    _case("two-phase commit of a subscription", """DROP SUBSCRIPTION app_subscription;
      CREATE SUBSCRIPTION app_subscription CONNECTION '' PUBLICATION theirs, others
        WITH (connect = false, slot_name = NONE, two_phase = true, synchronous_commit = 'local', streaming = on);
      COMMENT ON SUBSCRIPTION app_subscription IS 'Never connected'""", "subscription app_subscription: two_phase"),
    _case("where the subscription goes is no part of the schema", "ALTER SUBSCRIPTION app_subscription CONNECTION 'host=elsewhere password=other'"),
    _case("a password is no part of the schema", "ALTER USER MAPPING FOR pgsteward_drift_writer SERVER \"far away\" OPTIONS (SET password 'other')"),
)  # fmt: skip

PRIVILEGES = (
    _case("default privilege granted", "ALTER DEFAULT PRIVILEGES FOR ROLE pgsteward_drift_owner IN SCHEMA app GRANT INSERT ON TABLES TO pgsteward_drift_reader",
          "default privileges of pgsteward_drift_owner on tables in app: privileges"),
    _case("default privileges revoked", "ALTER DEFAULT PRIVILEGES FOR ROLE pgsteward_drift_owner IN SCHEMA app"
          " REVOKE ALL ON TABLES FROM pgsteward_drift_reader",
          "default privileges of pgsteward_drift_owner on tables in app: existence"),
    _case("default privileges everywhere", "ALTER DEFAULT PRIVILEGES FOR ROLE pgsteward_drift_owner GRANT EXECUTE ON FUNCTIONS TO pgsteward_drift_reader",
          "default privileges of pgsteward_drift_owner on functions: privileges"),
    _case("default privileges of another role", "ALTER DEFAULT PRIVILEGES FOR ROLE pgsteward_drift_writer GRANT USAGE ON SCHEMAS TO pgsteward_drift_reader",
          "default privileges of pgsteward_drift_writer on schemas: existence"),
    _case("default privileges on types", "ALTER DEFAULT PRIVILEGES FOR ROLE pgsteward_drift_writer REVOKE USAGE ON TYPES FROM PUBLIC",
          "default privileges of pgsteward_drift_writer on types: existence"),
    _case("function of the server", "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO PUBLIC",
          "system privileges on function pg_read_file(text): privileges"),
    _case("another function of the server", "GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO pgsteward_drift_reader",
          "system privileges on function pg_ls_dir(text): existence"),
    _case("function of an extension", "REVOKE EXECUTE ON FUNCTION public.hstore(text, text) FROM PUBLIC",
          "system privileges on function public.hstore(text,text): existence"),
    _case("type of an extension", "REVOKE USAGE ON TYPE public.hstore FROM PUBLIC", "system privileges on type public.hstore: existence"),
    _case("catalog", "GRANT SELECT ON pg_catalog.pg_authid TO pgsteward_drift_reader", "system privileges on table pg_authid: existence"),
    _case("column of a catalog", "GRANT SELECT (rolpassword) ON pg_catalog.pg_authid TO pgsteward_drift_reader",
          "system privileges on column pg_authid.rolpassword: existence"),
    _case("the server's schema", "REVOKE USAGE ON SCHEMA pg_catalog FROM PUBLIC; GRANT USAGE ON SCHEMA pg_catalog TO pgsteward_drift_reader",
          "system privileges on schema pg_catalog: existence"),
    _case("language of the server", "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC", "system privileges on language plpgsql: existence"),
)  # fmt: skip

CASES = (
    *DATABASE, *TABLES, *COLUMNS, *CONSTRAINTS, *INDEXES, *VECTORS, *PARTS, *VIEWS, *SEQUENCES, *TYPES, *FUNCTIONS, *STATISTICS,
    *OPERATORS, *TEXT_SEARCH, *GLOBALS, *REPLICATION, *PRIVILEGES,
)  # fmt: skip
