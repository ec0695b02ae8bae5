"""Definitions print differently by major version and after a restore; their canonical texts are equal.

The servers are those of PGSTEWARD_TEST_URL_15, _17 and _18, each the URL of a superuser; those not set are left out. A
restore makes each object from the text that the first server printed, as pg_dump and psql would.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _canonical
from psycopg import sql

Texts = dict[tuple[str, str], str]

URLS = {major: os.environ[name] for major in (15, 17, 18) if (name := f"PGSTEWARD_TEST_URL_{major}") in os.environ}
PINNED = "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=1"

BASE = r'''
CREATE SCHEMA shop;
CREATE SCHEMA "Odd.Schema";
CREATE SCHEMA person;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
CREATE DOMAIN short AS varchar(10);
CREATE DOMAIN code AS text;
CREATE DOMAIN positive AS integer;
CREATE TYPE pair AS (x integer, y text);
CREATE TABLE person ( id bigint PRIMARY KEY, name varchar(40) NOT NULL, nick text, status varchar, kind char(3), mood
  mood, code code, short short, age integer, rate numeric(10, 2), score double precision, small smallint, born date,
  made timestamp, seen timestamptz, span interval, tags text[], words varchar[], other varchar[], pair pair, doc json,
  body jsonb, flag boolean, raw bytea, ip inet, at time, parent bigint REFERENCES person, bits bit(4), box box, x xml,
  ts tsvector, ranges int4range, uid uuid );
CREATE TABLE person.person (id bigint PRIMARY KEY, name text, at timestamp);
CREATE TABLE shop.orders (id bigint PRIMARY KEY, person_id bigint REFERENCES person, status varchar(20), total
  numeric, at timestamptz, name text);
CREATE TABLE shop.stock (id integer PRIMARY KEY, n integer, name varchar);
CREATE TABLE shop.line (order_id bigint, n integer, price numeric, name text, PRIMARY KEY (order_id, n));
CREATE TABLE "Odd.Schema"."Odd ""table"" a.b" (id integer PRIMARY KEY, "Col 1" text, "a.b" varchar, "select" integer,
  "say ""hi""" varchar, "x]" text, "FROM" text);
CREATE TABLE words (id integer, "json" json, "json_value" text, "system_user" text, "merge_action" varchar,
  "json_array" varchar[], "user" text, path text, string text, absent text, keep text, period text);
CREATE TABLE log (id bigint, what text, old_name text, new_name text, at timestamptz);
CREATE TABLE a (id integer, x text, y integer);
CREATE TABLE b (id integer, x text, z integer);
CREATE TABLE c (id integer, w varchar);
CREATE FUNCTION same(v integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN v; END $$;
CREATE FUNCTION shop.orders(v integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN v; END $$;
CREATE FUNCTION many(n integer) RETURNS SETOF person LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$;
CREATE FUNCTION pairs(n integer) RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$;
CREATE FUNCTION series(n integer) RETURNS SETOF integer LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE FUNCTION "json_object"(v integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN v; END $$;
CREATE FUNCTION named(a integer, b text DEFAULT 'x', VARIADIC c text[] DEFAULT ARRAY['p', 'q']) RETURNS text LANGUAGE
  plpgsql IMMUTABLE AS $$ BEGIN RETURN b; END $$;
CREATE OPERATOR shop.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE AGGREGATE shop.total(numeric) (SFUNC = numeric_add, STYPE = numeric);
CREATE COLLATION shop.plain FROM "C";
CREATE SEQUENCE shop.numbers;
CREATE TABLE defaults (a varchar(5), b text[], c varchar[], d varchar[], e integer, f numeric(10, 2), g bigint, h
  timestamptz, i timestamptz, j date, k mood, l short, m jsonb, n boolean, o boolean, p text, q char(3), r integer, s
  interval, t text, u real, v text[], w text, x smallint, y text, z uuid);
CREATE TABLE computed (a varchar, b integer, "json" text);
CREATE TABLE shape (id integer, k text, at timestamptz, "json" varchar);
CREATE TABLE changing (id integer, one text, two text, three varchar);
CREATE TABLE same_name (same_name pair, x integer);
'''

QUERIES = r'''
SELECT id, name FROM person;
SELECT p.id AS number, p.name FROM person p;
SELECT person.* FROM person.person;
SELECT person.id, person.person.name FROM person.person;
SELECT p.id, o.total FROM person p JOIN shop.orders o ON o.person_id = p.id;
SELECT o.*, p.nick FROM shop.orders o LEFT JOIN person p ON p.id = o.person_id WHERE p.name IS NULL;
SELECT id, x, y, z FROM a JOIN b USING (id, x);
SELECT * FROM a NATURAL JOIN b;
SELECT id, a.x, b.x AS bx, c.w FROM a FULL JOIN b USING (id) RIGHT JOIN c USING (id);
SELECT j.id FROM a JOIN b USING (id) AS j;
SELECT q.* FROM (a JOIN b USING (id)) AS q(i, j, k, l, m);
SELECT a.id, b.z FROM a, b WHERE a.id = b.id;
SELECT a.id FROM a CROSS JOIN LATERAL (SELECT b.z FROM b WHERE b.id = a.id) l;
SELECT s.n FROM (SELECT count(*) AS n FROM person WHERE person.age > 3) s;
SELECT s.n, s.m FROM (SELECT p.id, p.name FROM person p) s(n, m) WHERE s.n > 2;
SELECT s.id FROM (SELECT id FROM a UNION ALL SELECT id FROM b) s WHERE s.id > 1;
SELECT s.id FROM ((SELECT id FROM a ORDER BY id LIMIT 1) UNION ALL SELECT id FROM b) s WHERE s.id > 1;
WITH c AS (SELECT id FROM a) SELECT id FROM c;
WITH c AS MATERIALIZED (SELECT id, x FROM a WHERE x = 'q'), d AS NOT MATERIALIZED (SELECT id FROM c) SELECT d.id FROM
  d;
WITH c AS (SELECT id FROM a) SELECT c.id, b.z FROM c JOIN b USING (id);
WITH RECURSIVE r(id, n) AS (SELECT id, 1 FROM a UNION ALL SELECT b.id, r.n + 1 FROM b JOIN r ON r.id = b.z) SELECT id,
  n FROM r;
WITH RECURSIVE r AS (SELECT id, parent FROM person WHERE parent IS NULL UNION ALL SELECT p.id, p.parent FROM person p
  JOIN r ON p.parent = r.id) SEARCH DEPTH FIRST BY id SET ord CYCLE id SET looped USING path SELECT id, parent FROM r
  ORDER BY ord;
SELECT id FROM a UNION SELECT id FROM b;
SELECT id FROM a UNION ALL SELECT id FROM b ORDER BY id LIMIT 5;
(SELECT id FROM a ORDER BY y LIMIT 1) UNION ALL (SELECT id FROM b ORDER BY z LIMIT 1);
SELECT id FROM a INTERSECT SELECT id FROM b EXCEPT SELECT id FROM c;
SELECT w FROM c UNION SELECT x FROM a;
SELECT id, row_number() OVER (PARTITION BY status ORDER BY age DESC NULLS LAST) AS n FROM person;
SELECT id, sum(age) OVER w AS s, lag(name, 1, 'x') OVER w AS l FROM person WINDOW w AS (PARTITION BY kind ORDER BY id
  ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES);
SELECT first_value(age) OVER (w ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS f FROM
  person WINDOW w AS (PARTITION BY kind);
SELECT status, kind, count(*) AS n, GROUPING(status, kind) AS g FROM person GROUP BY GROUPING SETS ((status, kind),
  (status), ());
SELECT status, kind, count(*) FROM person GROUP BY ROLLUP (status, kind) HAVING count(*) > 2;
SELECT status, lower(nick) AS l, count(DISTINCT age) FROM person GROUP BY CUBE (status, lower(nick));
SELECT DISTINCT status, count(*) FROM person GROUP BY DISTINCT ROLLUP (status), CUBE (kind);
SELECT id, name, count(*) FROM person GROUP BY id;
SELECT lower(name) AS l, max(age) FROM person GROUP BY lower(name) ORDER BY lower(name);
SELECT lower(name) AS l, upper(lower(name)) AS u FROM person GROUP BY 1 ORDER BY 1;
SELECT p.status, o.status AS os, count(*) FROM person p JOIN shop.orders o ON o.person_id = p.id GROUP BY p.status,
  o.status;
SELECT status AS s, date_trunc('day', made) AS d, count(*) AS n FROM person GROUP BY 1, 2 ORDER BY 2 DESC, 1;
SELECT count(*) FILTER (WHERE flag) AS n, string_agg(name, ',' ORDER BY id DESC) AS names, array_agg(DISTINCT age
  ORDER BY age) FROM person;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY score) AS p, mode() WITHIN GROUP (ORDER BY status) AS m FROM person;
SELECT rank(3) WITHIN GROUP (ORDER BY age) FROM person;
SELECT DISTINCT ON (status) status, id, age FROM person ORDER BY status, age DESC;
SELECT DISTINCT ON (lower(name), kind) id FROM person ORDER BY lower(name), kind, id;
SELECT DISTINCT status, kind FROM person;
SELECT id FROM person p WHERE EXISTS (SELECT 1 FROM shop.orders o WHERE o.person_id = p.id AND o.total > p.rate);
SELECT id FROM person WHERE EXISTS (SELECT FROM shop.orders WHERE orders.person_id = person.id);
SELECT id FROM person WHERE id IN (SELECT person_id FROM shop.orders WHERE status IN ('new', 'paid'));
SELECT id FROM person WHERE id NOT IN (SELECT person_id FROM shop.orders);
SELECT id, (SELECT max(total) FROM shop.orders o WHERE o.person_id = person.id) AS best FROM person WHERE age > ALL
  (SELECT y FROM a);
SELECT id, ARRAY(SELECT o.id FROM shop.orders o WHERE o.person_id = person.id ORDER BY o.at) AS orders FROM person;
SELECT id FROM person WHERE (id, age) IN (SELECT person_id, 3 FROM shop.orders);
SELECT id FROM person WHERE (id, age) = (SELECT person_id, 3 FROM shop.orders LIMIT 1);
SELECT id FROM person p WHERE p.id = (SELECT p2.id FROM person p2 WHERE p2.parent = p.id AND EXISTS (SELECT 1 FROM
  person p3 WHERE p3.id = p.id OR p3.id = p2.id));
SELECT id FROM person WHERE age = ((SELECT 1) UNION (SELECT y FROM a) LIMIT 1);
SELECT id, (SELECT count(*) FROM person) AS n FROM person;
SELECT id, ((SELECT id FROM a LIMIT 1) UNION ALL (SELECT y FROM a WHERE a.id = person.age LIMIT 1) LIMIT 1) AS n FROM
  person;
SELECT id, (SELECT id FROM a ORDER BY person.age LIMIT person.age) AS n FROM person;
SELECT id, ((SELECT id FROM a LIMIT 1) UNION (SELECT id FROM b) LIMIT person.age) AS n FROM person;
SELECT id, (VALUES (age), (small) LIMIT 1) AS v FROM person;
SELECT id, (WITH q AS (SELECT age + 1 AS z) SELECT z FROM q) AS v FROM person;
SELECT id, CASE WHEN age < 18 THEN 'child' WHEN age IS NULL THEN NULL ELSE 'adult' END AS label, CASE status WHEN 'a'
  THEN 1 WHEN 'b' THEN 2 END AS n FROM person;
SELECT COALESCE(nick, name, 'x') AS n, NULLIF(age, 0) AS a, GREATEST(age, small) AS g, LEAST(score, rate) AS l FROM
  person;
SELECT age::text AS t, name::char(5) AS c, rate::integer AS i, '5'::bigint AS b, age::numeric(5, 1) AS n, CAST(made AS
  date) AS d, '2 days'::interval AS s FROM person;
SELECT ARRAY[age, 1, 2] AS a, tags[1] AS t, tags[1:2] AS s, tags || 'x'::text AS p, ARRAY[[1, 2], [3, 4]] AS m,
  '{a,"b c"}'::text[] AS l, ARRAY[]::text[] AS e FROM person;
SELECT ROW(id, name)::text AS r, ROW(id, name) = ROW(1, 'x') AS same, (id, age) < (1, 2) AS less, (pair).x AS x,
  (pair).y || 'z' AS y, ROW(1, 'a')::pair AS p FROM person;
SELECT doc -> 'a' AS a, doc ->> 'b' AS b, body #> '{a,b}' AS c, body @> '{"a": 1}' AS d, body ? 'k' AS e, body ?|
  ARRAY['a', 'b'] AS f, body @? '$.a[*] ? (@ > 2)' AS g, body - 'x' AS h, body['a'] AS i FROM person;
SELECT made AT TIME ZONE 'UTC' AS u, seen AT TIME ZONE 'Europe/Paris' AS p, EXTRACT(year FROM made) AS y,
  EXTRACT(epoch FROM span) AS e, date_part('day', seen) AS d, seen AT TIME ZONE INTERVAL '-02:00' AS i FROM person;
SELECT substring(name FROM 2 FOR 3) AS s, substring(name FROM 'a.') AS r, substring(name SIMILAR '%#"o_b#"%' ESCAPE
  '#') AS sim, overlay(nick PLACING 'x' FROM 2 FOR 1) AS o, position('a' IN name) AS p, trim(BOTH 'x' FROM name) AS b,
  trim(LEADING FROM nick) AS l, trim(TRAILING 'y' FROM nick) AS t, normalize(nick, NFC) AS n, nick IS NORMALIZED AS
  isn, collation for (nick) AS cf FROM person;
SELECT substr(name, 2) AS s, lower(name) || 'x' AS l, format('%s-%s', name, age) AS f, concat_ws(',', VARIADIC tags)
  AS c, left(name, -1) AS lf FROM person;
SELECT age IS DISTINCT FROM small AS d, age IS NOT DISTINCT FROM small AS n, flag IS TRUE AS t, flag IS NOT UNKNOWN AS
  u, NOT flag AS f, nick IS NULL AS nn, (pair) IS NOT NULL AS p FROM person;
SELECT id FROM person WHERE name ILIKE 'a%' AND nick NOT LIKE '%\_' AND status SIMILAR TO '(a|b)%' AND name ~ '^x' AND
  nick !~* 'y' AND kind LIKE 'a!%' ESCAPE '!';
SELECT id FROM person WHERE age BETWEEN 1 AND 5 AND age NOT BETWEEN 7 AND 9 AND age BETWEEN SYMMETRIC 5 AND 1;
SELECT id FROM person WHERE mood = 'ok' AND mood IN ('sad', 'it''s "fine"') AND short = 'abc' AND short IN ('a', 'b')
  AND code IN ('x', 'y');
SELECT -1 AS m, - age AS n, -1.5 AS f, -1::bigint AS b, 1e10 AS e, 'NaN'::float8 AS nan, age - -1 AS mm, -(-3) AS p, @
  (-5) AS a, 12345678901 AS big, '-7'::integer AS s FROM person;
SELECT id FROM person WHERE status IN ('a', 'b') AND name <> 'x' AND name NOT IN ('y', 'z') AND kind IN ('abc', 'de')
  AND kind = 'x' AND rate IN (1, 2.5) AND id IN (1, 2) AND age = ANY ('{1,2}') AND small IN (1, 2) AND score > 1 AND
  rate > 1 AND id > 5 AND name = nick;
SELECT id FROM person WHERE status = ANY (ARRAY['a', 'b']) AND name = ANY (ARRAY['c', NULL]) AND status LIKE ANY
  (ARRAY['a%', 'b%']) AND tags && ARRAY['x', 'y'] AND words && ARRAY['x', 'y']::varchar[] AND words @> '{q}';
SELECT id FROM person WHERE status IN ('it''s', E'back\\slash', '])::text[]', '(ARRAY[''a''])::text[]') OR nick IN
  ('(ARRAY[1])::text[]', 'b');
SELECT id FROM person WHERE status IN (name, upper(nick), 'z') OR lower(status) IN ('a', 'b') OR status IN (SELECT w
  FROM c) OR words IN (other, '{a}');
SELECT id, (status IN ('a', 'b'))::integer AS n, CASE WHEN status IN ('c', 'd') THEN status IN ('e', 'f') END AS m
  FROM person WHERE NOT (status IN ('x', 'y') AND (nick = 'a' OR status NOT IN ('p', 'q')));
SELECT id FROM person WHERE born > '2024-01-01' AND made < '2024-01-02 03:04:05.678' AND seen >=
  '2024-01-01 00:00:00+00' AND at = '12:00' AND span > interval '1 day 2 hours' AND ip << '10.0.0.0/8' AND bits =
  B'1010' AND raw = '\x00ff' AND uid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AND ranges @> 3 AND ranges && '[1,5)';
SELECT now() AS n, CURRENT_DATE AS d, CURRENT_TIMESTAMP AS t, CURRENT_TIMESTAMP(3) AS t3, LOCALTIME AS l,
  LOCALTIMESTAMP(0) AS l0, CURRENT_TIME AS ct, CURRENT_USER AS u, SESSION_USER AS s, CURRENT_ROLE AS r, USER AS uu,
  CURRENT_CATALOG AS c, CURRENT_SCHEMA AS sc, clock_timestamp() AS ck;
SELECT "Col 1", "a.b", "select", "say ""hi""", "x]", "FROM" FROM "Odd.Schema"."Odd ""table"" a.b" WHERE "a.b" IN ('a',
  'b') AND "say ""hi""" IN ('c', 'd') ORDER BY "Col 1";
SELECT "T.t"."a.b" AS "out.put", "T.t"."select" AS "select" FROM "Odd.Schema"."Odd ""table"" a.b" AS "T.t" WHERE
  "T.t"."Col 1" = 'T.t."a.b"';
SELECT "T.t"."c 1", "T.t"."FROM" FROM "Odd.Schema"."Odd ""table"" a.b" AS "T.t"(i, "c 1", d, "FROM", e, f, "from");
SELECT id FROM person ORDER BY age DESC, name USING <, nick COLLATE "C" NULLS FIRST LIMIT 10 OFFSET 5;
SELECT id FROM person ORDER BY age FETCH FIRST 3 ROWS WITH TIES;
SELECT id FROM person ORDER BY age OFFSET 1 + 1 FETCH FIRST (2 + 1) ROWS ONLY;
SELECT id FROM person LIMIT ALL;
SELECT id FROM person FOR UPDATE;
SELECT p.id FROM person p WHERE p.age > 1 FOR NO KEY UPDATE OF p SKIP LOCKED;
SELECT p.id FROM person p JOIN a ON a.id = p.age FOR SHARE OF a NOWAIT;
SELECT id FROM person TABLESAMPLE system (10);
SELECT p.id FROM person p TABLESAMPLE bernoulli (10.5) REPEATABLE (3);
VALUES (1, 'a'), (2, 'b');
SELECT v.a, v.b FROM (VALUES (1, 'x'), (2, 'y')) v(a, b) WHERE v.a > 1;
SELECT v.a, p.id FROM (VALUES (1), (2)) v(a) JOIN person p ON p.age = v.a;
SELECT * FROM (VALUES (1), (2)) v(a);
SELECT n, o FROM series(3) WITH ORDINALITY AS s(n, o);
SELECT g FROM generate_series(1, 10) g;
SELECT s.s FROM series(3) s WHERE s > 1;
SELECT m.id, m.name FROM many(2) m WHERE m.age > 1;
SELECT id, unnest(tags) AS t FROM person;
SELECT p.id, t.tag, t.n FROM person p, unnest(p.tags, p.words) WITH ORDINALITY t(tag, word, n);
SELECT x.n, x.t FROM pairs(1) AS x(n integer, t shop.orders);
SELECT x.n FROM ROWS FROM (series(1), generate_series(1, 3)) WITH ORDINALITY AS x(n, m, o);
SELECT p.a, p.c FROM ROWS FROM (pairs(1) AS (a integer, b text), series(2)) AS p(a, b, c);
SELECT p.number, p.n FROM person p(number, n) WHERE p.number > 1;
SELECT p FROM person p;
SELECT person FROM person;
SELECT p.*::text AS t, p IS NULL AS n, row_to_json(p) AS j, row_to_json(p.*) AS k, to_jsonb(p) - 'id' AS d, count(p)
  OVER () AS c FROM person p;
SELECT (p).name AS n, (p.pair).x AS x, count(p.*) AS c FROM person p GROUP BY (p).name, p.pair;
SELECT ROW(p.*)::text AS r, ROW(p.*, 1)::text AS s FROM person p;
SELECT p.tableoid::regclass AS t, p.ctid, xmin FROM person p;
SELECT same(age) AS s, shop.orders(age) AS o, age OPERATOR(shop.===) 3 AS e, shop.total(rate) AS t FROM person GROUP
  BY age;
SELECT shop.orders(id::integer) AS f, orders.status, 'x'::short AS s, name COLLATE shop.plain AS c, orders.total FROM
  shop.orders WHERE id::integer OPERATOR(shop.===) shop.orders(3) AND name::code = 'x';
SELECT shop.status, shop.orders(shop.id::integer) AS f, shop.name COLLATE shop.plain AS c, shop.id::integer
  OPERATOR(shop.===) 3 AS e, NULL::shop.orders AS n FROM shop.orders shop;
SELECT named(1) AS a, named(a => 1, b => 'q', VARIADIC c => '{}') AS b, named(1, 'z', 'c', 'd') AS c, named(1, 'y',
  VARIADIC ARRAY['x']) AS d FROM a;
SELECT person.id, person.name, person.at FROM person.person WHERE person.name IN ('a', 'b') AND person.at > now();
SELECT nextval('shop.numbers') AS n, 'shop.orders'::regclass AS r, 'person.id' AS text, E'person.id\\' AS e,
  U&'person\0041.id' AS u FROM person;
SELECT id, "json", "json_value", "system_user", "merge_action", path, string, absent, keep, period, "user" FROM words
  WHERE "json_value" = 'x' AND "merge_action" IN ('a', 'b') AND "json" ->> 'json' = '"json"';
SELECT w."json" AS "json_table", w."json_value" AS "json", w."system_user" AS "Json" FROM words w JOIN a ON a.id =
  w.id;
SELECT "json_table".id AS "json_exists" FROM a AS "json_table";
SELECT json_object('{a,1}'::text[]) AS o, json_object(ARRAY['k'], ARRAY['v']) AS p, public."json_object"(3) AS q FROM
  a;
SELECT json_agg(name) AS j, json_build_object('a', age) AS b, jsonb_object_agg(name, age) AS k, to_json(max(name)) AS
  t FROM person GROUP BY age;
SELECT q.k, q.v FROM person, json_each(doc) q(k, v);
SELECT q.a FROM json_to_recordset('[]'::json) AS q(a integer, b text);
SELECT xmlelement(name foo, xmlattributes(id AS n), nick) AS e, xmlforest(name AS nm, age) AS f, xmlconcat(x, x) AS c,
  xmlpi(name php, 'e') AS p, xmlroot(x, VERSION '1.0', STANDALONE YES) AS r, xmlparse(CONTENT '<a/>') AS pa,
  xmlserialize(CONTENT x AS text) AS s, x IS DOCUMENT AS d, xmlagg(x) OVER () AS g FROM person;
SELECT t.a, t.n FROM person, XMLTABLE('/r/x' PASSING person.x COLUMNS n FOR ORDINALITY, a integer PATH '@a' DEFAULT 3
  NOT NULL) AS t;
SELECT t.a FROM XMLTABLE(XMLNAMESPACES('http://x' AS q), '/r/x' PASSING '<r/>' COLUMNS a text) AS t;
SELECT xpath('/a', x) AS p, 'xmlserialize(x NO INDENT)' AS s FROM person;
SELECT box << box AS l, name || nick AS c, 5 % 3 AS m, 2 ^ 3 AS p, |/ 4 AS s, ~ age AS t, age & 3 AS a, age # 2 AS x,
  ts @@ to_tsquery('english', 'a & b') AS q, NOT flag OR flag AND age > 1 AS o FROM person;
SELECT sum(age) AS sum, avg(rate) AS avg, count(*) AS count, max(seen) AS max, bool_and(flag) FROM person;
SELECT x AS y, y AS x FROM a ORDER BY x;
SELECT x AS y, y AS x FROM a ORDER BY a.x;
SELECT x AS y, y AS x FROM a ORDER BY a.x, a.y, y + 1, lower(x);
SELECT y AS id, id AS y, x FROM a ORDER BY a.id, x;
SELECT lower(x) AS x, id FROM a ORDER BY a.x;
SELECT DISTINCT ON (a.x) lower(x) AS x, id FROM a ORDER BY a.x;
SELECT count(*) AS y, x FROM a GROUP BY a.y, x ORDER BY a.y;
SELECT string_agg(x, ',' ORDER BY a.y) AS y, array_agg(x ORDER BY x) AS x FROM a;
SELECT rank() OVER (PARTITION BY a.x ORDER BY a.y) AS y, lower(x) AS x FROM a;
SELECT rank() OVER w AS y FROM a WINDOW w AS (ORDER BY a.y DESC);
SELECT a.x AS "X", y AS "id" FROM a ORDER BY a.id;
SELECT -y AS y FROM a ORDER BY a.y DESC NULLS LAST;
SELECT x COLLATE "C" AS x FROM a ORDER BY a.x;
SELECT 1 AS one, 'a' AS t, NULL AS n FROM a GROUP BY 2 ORDER BY 1, 2;
SELECT 'k' AS k, x FROM a GROUP BY 1, 2;
SELECT a.id, a.x, a.y, count(b.*) AS n FROM a LEFT JOIN b ON b.id = a.id GROUP BY a.id, a.x, a.y;
SELECT id FROM ONLY person;
SELECT 1 AS one;
SELECT FROM a;
SELECT FROM person WHERE age > 1;
SELECT;
SELECT * FROM information_schema.tables;
SELECT relname, relkind FROM pg_class WHERE relkind IN ('r', 'v');
SELECT c.relname FROM pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid) AND relname::text = 'x';
SELECT name::varchar(3) AS n, name::bpchar AS b, name::"char" AS c, id::oid AS o, 'a'::varchar(5) AS v, 'abc'::char(2)
  AS ch, '1'::numeric(3, 1) AS nu, '1 day'::interval(2) AS i, '12:00'::timetz(1) AS tz, interval '1' year AS iy,
  '3'::interval day to second AS ds FROM person;
SELECT name || 1 AS a, age || 'x' AS b, name || nick AS c, id + age AS d, rate * 2 AS e, score + 1 AS f, rate + score
  AS g, made + span AS h, born - 7 AS i, seen - made AS j FROM person;
SELECT person.id FROM person WHERE (words)::text[] && ARRAY['a'] AND (ARRAY[status, name])::text[] @> tags AND tags <@
  ARRAY[status, name]::text[] AND status = ANY (tags || ARRAY['a']) AND (ARRAY['a'::varchar, 'b'])[1] = 'a';
SELECT (ARRAY['a'::varchar, 'b'])::text[] AS a, (ARRAY[ARRAY['a'::varchar], ARRAY['b']])::text[] AS b, (ARRAY[status,
  name])::code[] AS c, (ARRAY[]::varchar[])::text[] AS d, ARRAY['a', 'b']::short[] AS e, ARRAY['sad', 'ok']::mood[] AS
  f, ARRAY[1, 2]::bigint[] AS g, (ARRAY[1, age])::numeric(5, 1)[] AS h, (ARRAY['a'::varchar, 'b']::text[])::varchar[]
  AS i FROM person;
SELECT CURRENT_DATE - born AS d, make_interval(days => age) AS m, age(born) AS a, to_char(made, 'YYYY "x"') AS t,
  OVERLAY(name PLACING 'x' FROM 1) AS o, (born, born) OVERLAPS (born, born) AS v FROM person;
SELECT $tag$dollar ' "quoted" person.id$tag$ AS d, 'semi;colon -- no comment /* x */' AS s, E'new\nline' AS n FROM
  person;
SELECT tags[1] AS tags, words AS id FROM person ORDER BY person.tags[1], person.id;
SELECT DISTINCT x AS y, y AS x FROM a ORDER BY a.x, a.y;
SELECT count(*) FILTER (WHERE x > 'a') OVER (PARTITION BY lower(x), a.y ORDER BY a.id, a.x DESC ROWS BETWEEN 1
  PRECEDING AND CURRENT ROW) AS y, a.x || 'q' AS id FROM a;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a.y) AS y, max(x) AS x FROM a;
SELECT x AS y, count(*) AS x FROM a GROUP BY GROUPING SETS ((a.x), (a.y, a.x)) ORDER BY a.x;
SELECT x AS y FROM a ORDER BY a.y USING >, (a.y)::text, a.y + 1;
SELECT lower(x) AS x, y AS id FROM a ORDER BY CASE a.x WHEN 'q' THEN a.x ELSE max(a.x) OVER () END, a.x, a.id;
SELECT same_name.same_name, (same_name.same_name).x AS y, same_name.x, same_name.*::text AS t FROM same_name;
SELECT lower(x) AS id FROM (SELECT a.id, b.x FROM a JOIN b USING (id) ORDER BY a.id) s ORDER BY s.id;
SELECT id FROM person WHERE age BETWEEN 1 AND 5 AND flag OR age NOT BETWEEN 7 AND 9 OR NOT (age BETWEEN 2 AND 3 AND
  flag);
SELECT x IS DOCUMENT AS d, NOT x IS DOCUMENT AS n, (x IS DOCUMENT) = flag AS s, COALESCE(x IS DOCUMENT, false) AS c,
  (seen AT TIME ZONE 'UTC')::date AS t FROM person WHERE flag AND x IS DOCUMENT;
'''

QUERIES_17 = r"""
SELECT JSON_OBJECT('a': id, 'b': nick NULL ON NULL) AS o, JSON_ARRAY(id, nick ABSENT ON NULL) AS a,
  JSON_OBJECTAGG(name: age) AS g, JSON_ARRAYAGG(nick ORDER BY id RETURNING jsonb) AS h FROM person GROUP BY id;
SELECT nick IS JSON OBJECT WITH UNIQUE KEYS AS j, JSON(nick) AS k, JSON_SCALAR(age) AS s, JSON_SERIALIZE(nick
  RETURNING text) AS z, JSON_VALUE(body, '$.a' RETURNING integer DEFAULT 3 ON EMPTY ERROR ON ERROR) AS v,
  JSON_QUERY(body, '$.b' WITH WRAPPER) AS q, JSON_EXISTS(body, '$.c ? (@ > $x)' PASSING age AS x) AS e FROM person;
SELECT t.a, t.n FROM person, JSON_TABLE(body, '$[*]' AS r COLUMNS (n FOR ORDINALITY, a integer PATH '$.a' DEFAULT 1 ON
  EMPTY, NESTED PATH '$.b[*]' COLUMNS (c text PATH '$'))) AS t;
SELECT made AT LOCAL AS l, SYSTEM_USER AS s, xmlserialize(CONTENT x AS text INDENT) AS i, xmlserialize(DOCUMENT x AS
  varchar NO INDENT) AS n, any_value(age) OVER () AS a FROM person;
SELECT id FROM (SELECT id FROM person);
SELECT id FROM (VALUES (1), (2)) AS v(id);
SELECT 0x1F AS h, 1_000 AS u, 0b101 AS b FROM a;
"""

OTHERS = r'''
CREATE VIEW shop.over AS SELECT v.id FROM public.v000 v WHERE v.name IN ('a', 'b');
CREATE VIEW shop.person AS SELECT person.id, person.name FROM public.person;
CREATE MATERIALIZED VIEW mat AS SELECT id, name FROM person WHERE status IN ('a', 'b') ORDER BY age;
CREATE UNIQUE INDEX mat_i ON mat (id) WHERE name IN ('c', 'd');
CREATE RECURSIVE VIEW numbers(n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 10;
CREATE VIEW checked WITH (security_barrier, check_option = local) AS SELECT id, status FROM person WHERE status IN
  ('a', 'b');
ALTER TABLE defaults ALTER a SET DEFAULT 'x', ALTER b SET DEFAULT ARRAY['a', 'b'], ALTER c SET DEFAULT ARRAY['a',
  'b'], ALTER d SET DEFAULT '{a}', ALTER e SET DEFAULT -1, ALTER f SET DEFAULT -1.50, ALTER g SET DEFAULT 5, ALTER h
  SET DEFAULT now(), ALTER i SET DEFAULT (now() AT TIME ZONE 'UTC'), ALTER j SET DEFAULT CURRENT_DATE, ALTER k SET
  DEFAULT 'ok', ALTER l SET DEFAULT 'q', ALTER m SET DEFAULT '{}', ALTER n SET DEFAULT (1 = 1), ALTER o SET DEFAULT
  ('a'::varchar IN ('a', 'b')), ALTER p SET DEFAULT 'a' || 'b', ALTER q SET DEFAULT 'a', ALTER r SET DEFAULT
  nextval('shop.numbers'), ALTER s SET DEFAULT '1 day', ALTER t SET DEFAULT CURRENT_USER, ALTER u SET DEFAULT 1.1,
  ALTER v SET DEFAULT '{}', ALTER w SET DEFAULT E'a\\b', ALTER x SET DEFAULT 3, ALTER y SET DEFAULT substring('abc'
  from 2), ALTER z SET DEFAULT gen_random_uuid();
ALTER TABLE computed ADD total integer GENERATED ALWAYS AS (b * 2 + 1) STORED, ADD isab boolean GENERATED ALWAYS AS (a
  IN ('a', 'b')) STORED, ADD low text GENERATED ALWAYS AS (lower(a) || COALESCE("json", '')) STORED, ADD y numeric
  GENERATED ALWAYS AS (EXTRACT(year FROM '2024-01-01'::date) + b) STORED;
ALTER TABLE person ADD CONSTRAINT ck_status CHECK (status IN ('a', 'b'));
ALTER TABLE person ADD CONSTRAINT ck_not CHECK (status NOT IN ('c', 'd') AND status <> 'e');
ALTER TABLE person ADD CONSTRAINT ck_kind CHECK (kind IN ('abc', 'de') OR kind = 'x');
ALTER TABLE person ADD CONSTRAINT ck_text CHECK (nick IN ('a', 'b') AND nick ~ '^a' AND length(nick) BETWEEN 1 AND 5);
ALTER TABLE person ADD CONSTRAINT ck_short CHECK (short IN ('a', 'b') AND code IN ('a', 'b') AND mood IN ('ok',
  'sad'));
ALTER TABLE person ADD CONSTRAINT ck_lower CHECK (lower(status) IN ('a', 'b') AND upper(name) = name);
ALTER TABLE person ADD CONSTRAINT ck_nums CHECK (id IN (1, 2) AND rate IN (1, 2.5) AND small IN (1, 2) AND score IN
  (1, 2.5) AND age > -1 AND rate > -1.5) NOT VALID;
ALTER TABLE person ADD CONSTRAINT ck_one CHECK (status IN ('a')) NO INHERIT;
ALTER TABLE person ADD CONSTRAINT ck_mixed CHECK (status IN ('a', name, 'c') OR (status, name) IN (('a', 'b'), ('c',
  'd')) OR (status IN ('a', 'b')) = flag OR (status IN ('a', 'b')) IS NOT TRUE);
ALTER TABLE person ADD CONSTRAINT ck_case CHECK (CASE WHEN status IN ('a', 'b') THEN age > 1 ELSE NOT status IN ('c',
  'd') END);
ALTER TABLE person ADD CONSTRAINT ck_strings CHECK (status IN ('it''s', E'b\\s', '])::text[]',
  '(ARRAY[''q''::character varying])::text[]', ''));
ALTER TABLE person ADD CONSTRAINT ck_any CHECK (status = ANY (ARRAY['a', 'b']) AND status = ANY ('{a,b}') AND status =
  ANY ('{a,b}'::text[]) AND status LIKE ALL (ARRAY['a%']) AND tags <@ ARRAY['a', 'b'] AND words <@ ARRAY['a',
  'b']::varchar[] AND words <@ ARRAY['a'::varchar, 'b']);
ALTER TABLE person ADD CONSTRAINT ck_words CHECK (words IN (ARRAY['a', 'b']::varchar[], ARRAY['c']::varchar[]) OR
  (ARRAY[words, other])::text[] @> tags OR tags IN (words::text[], tags));
ALTER TABLE person ADD CONSTRAINT ck_dates CHECK (born > '2000-01-01' AND made > '2000-01-01' AND seen >
  '2000-01-01 00:00+00' AND span < '1 year' AND born IN ('2024-01-01', '2024-02-01') AND EXTRACT(dow FROM born) IN (1,
  2) AND date_trunc('day', made) = made);
ALTER TABLE person ADD CONSTRAINT ck_json CHECK (body ? 'a' AND jsonb_typeof(body -> 'b') IN ('array', 'object') AND
  (body ->> 'c')::integer > 3 AND (doc ->> 'x') IN ('1', '2'));
ALTER TABLE words ADD CONSTRAINT ck_words CHECK ("json_value" IN ('a', 'b') AND "merge_action" IN ('c', 'd') AND
  "json" ->> '"json"' <> '"json"' AND "json_array" <> '{}');
ALTER TABLE "Odd.Schema"."Odd ""table"" a.b" ADD CONSTRAINT "ck x" CHECK ("a.b" IN ('a', 'b') AND "say ""hi""" IN
  ('"', ']', ')') AND "x]" IN ('a', 'b'));
ALTER TABLE shop.orders ADD CONSTRAINT ck_varchar20 CHECK (status IN ('a', 'b') AND status::varchar(5) IN ('c', 'd')
  AND status::text = 'x' AND (status || name) IN ('c', 'd') AND status = name);
ALTER DOMAIN short ADD CONSTRAINT ck_domain CHECK (VALUE IN ('a', 'b') AND VALUE ~ '^.');
ALTER DOMAIN code ADD CONSTRAINT ck_domain CHECK (VALUE IN ('a', 'b') AND length(VALUE) > 0);
ALTER DOMAIN positive ADD CONSTRAINT ck_domain CHECK (VALUE > 0 AND VALUE NOT IN (13, 17));
ALTER DOMAIN short SET DEFAULT 'a';
CREATE INDEX i_status ON person (status) WHERE status IN ('a', 'b');
CREATE INDEX i_not ON person (id) WHERE status NOT IN ('a', 'b') AND nick IS NOT NULL;
CREATE INDEX i_expr ON person (lower(name), (age + 1), (status IN ('a', 'b')), (name || nick) text_pattern_ops DESC,
  COALESCE(nick, 'x') COLLATE "C") INCLUDE (id);
CREATE INDEX i_json ON person USING gin ((body -> 'a') jsonb_path_ops, to_tsvector('english', nick));
CREATE INDEX i_cast ON person ((made::date), (EXTRACT(year FROM made)), (rate::integer), date_trunc('day', made),
  (seen AT TIME ZONE 'UTC'));
CREATE INDEX i_sub ON person (substring(name FROM 1 FOR 3), (trim(BOTH FROM nick)), (CASE WHEN flag THEN 1 ELSE 0
  END));
CREATE INDEX i_words ON words ("json_value", "merge_action" DESC, lower("system_user")) INCLUDE ("json_array") WHERE
  "json_value" <> '' AND "merge_action" IN ('a', 'b');
CREATE INDEX i_odd ON "Odd.Schema"."Odd ""table"" a.b" ("a.b", lower("Col 1"), ("say ""hi""" IN ('a', 'b'))) WHERE
  "x]" <> ']';
ALTER TABLE person ADD CONSTRAINT ex_range EXCLUDE USING gist (ranges WITH &&) WHERE (status IN ('a', 'b'));
CREATE STATISTICS s_expr (mcv, ndistinct) ON lower(name), (status IN ('a', 'b')), age FROM person;
CREATE STATISTICS s_one ON (age + 1) FROM person;
CREATE STATISTICS s_words ON "json_value", "merge_action" FROM words;
CREATE TRIGGER t_when BEFORE UPDATE OF status, name ON person FOR EACH ROW WHEN (old.status IS DISTINCT FROM
  new.status AND new.status IN ('a', 'b')) EXECUTE FUNCTION note('a', 'it''s');
CREATE TRIGGER t_row AFTER UPDATE ON person FOR EACH ROW WHEN (old.* IS DISTINCT FROM new.*) EXECUTE FUNCTION note();
CREATE TRIGGER t_words BEFORE UPDATE OF "json", "json_value" ON words FOR EACH ROW WHEN (old."json_value" IS DISTINCT
  FROM new."json_value") EXECUTE FUNCTION note();
CREATE TRIGGER t_trans AFTER INSERT ON person REFERENCING NEW TABLE AS "json_table" FOR EACH STATEMENT EXECUTE
  FUNCTION note();
CREATE CONSTRAINT TRIGGER t_con AFTER INSERT ON shop.orders FROM shop.line DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (new.status IN ('a', 'b')) EXECUTE FUNCTION note();
CREATE TRIGGER t_view INSTEAD OF INSERT ON v000 FOR EACH ROW EXECUTE FUNCTION note();
CREATE POLICY p_own ON person USING (name = CURRENT_USER OR status IN ('a', 'b')) WITH CHECK (status NOT IN ('c',
  'd'));
CREATE POLICY p_sub ON person FOR SELECT USING (EXISTS (SELECT 1 FROM shop.orders WHERE orders.person_id = person.id
  AND orders.status IN ('a', 'b')) AND id IN (SELECT person_id FROM shop.orders o));
CREATE POLICY p_set ON shop.orders FOR ALL USING (person_id = current_setting('app.id', true)::bigint AND (SELECT
  count(*) FROM shop.orders) > 1);
CREATE RULE r_del AS ON DELETE TO person WHERE old.status IN ('a', 'b') DO INSTEAD UPDATE person SET status = 'x', age
  = age + 1 WHERE id = old.id;
CREATE RULE r_ins AS ON INSERT TO person DO ALSO INSERT INTO log (id, what, new_name) VALUES (new.id, 'insert',
  new.name);
CREATE RULE r_upd AS ON UPDATE TO person WHERE new.name <> old.name DO ALSO INSERT INTO log SELECT new.id, 'u',
  old.name, new.name, now() FROM a WHERE a.id = new.age AND a.x IN ('a', 'b');
CREATE RULE r_none AS ON INSERT TO shop.line WHERE new.n < 0 DO INSTEAD NOTHING;
CREATE RULE r_many AS ON UPDATE TO shop.line DO ALSO (DELETE FROM log WHERE id = old.order_id; UPDATE shop.orders SET
  total = new.price FROM a WHERE orders.id = new.order_id AND a.id = orders.id; NOTIFY changed);
CREATE RULE r_view AS ON INSERT TO v000 DO INSTEAD INSERT INTO person (id, name) VALUES (new.id, new.name) RETURNING
  id, name;
CREATE RULE r_viewu AS ON UPDATE TO v000 DO INSTEAD UPDATE person SET (name, nick) = (SELECT new.name, x FROM a WHERE
  a.id = old.id) WHERE person.id = old.id RETURNING person.id, person.name;
CREATE RULE r_viewd AS ON DELETE TO v000 DO INSTEAD DELETE FROM person USING a WHERE person.id = old.id AND a.x =
  person.nick AND person.status IN ('a', 'b');
CREATE RULE r_conf AS ON INSERT TO c DO INSTEAD INSERT INTO shop.line (order_id, n, name) VALUES (new.id, 1, new.w) ON
  CONFLICT (order_id, n) DO UPDATE SET name = excluded.name WHERE line.name IN ('a', 'b') OR excluded.price >
  line.price;
CREATE RULE r_sel AS ON UPDATE TO log DO ALSO SELECT new.id, a.x FROM a WHERE a.id = new.id;
CREATE RULE r_with AS ON DELETE TO log DO ALSO WITH q AS (SELECT x, id FROM b WHERE z > 1) INSERT INTO a (id, x)
  SELECT q.id, q.x FROM q;
CREATE FUNCTION f_return(v varchar, n integer DEFAULT 1 + 2) RETURNS boolean LANGUAGE sql RETURN v IN ('a', 'b') AND n
  > 1;
CREATE FUNCTION f_body(p bigint) RETURNS TABLE(a bigint, b text) LANGUAGE sql BEGIN ATOMIC SELECT id, name FROM person
  WHERE id = p AND status IN ('a', 'b') ORDER BY age; END;
CREATE FUNCTION f_join(p bigint) RETURNS SETOF person LANGUAGE sql BEGIN ATOMIC SELECT p.* FROM person p JOIN
  shop.orders o ON o.person_id = p.id WHERE p.id = f_join.p; END;
CREATE FUNCTION f_param(id bigint, v varchar) RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT a.id FROM a WHERE a.id =
  f_param.id AND x = $2 AND y = id; END;
CREATE FUNCTION f_dml(n integer, t varchar) RETURNS SETOF integer LANGUAGE sql BEGIN ATOMIC INSERT INTO a (id, x)
  VALUES (n, t) RETURNING id, lower(x); UPDATE a SET x = 'y', y = y + 1 WHERE id = n AND x IN ('a', 'b'); UPDATE a SET
  y = b.z FROM b WHERE b.id = a.id; DELETE FROM a WHERE id = n; INSERT INTO a SELECT id, x, z FROM b WHERE z > 1;
  INSERT INTO shop.stock AS l (id, n) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET n = excluded.n + l.n WHERE l.name
  IN ('a', 'b'); DELETE FROM a USING b WHERE a.id = b.id RETURNING a.id; END;
CREATE FUNCTION f_with(n integer) RETURNS SETOF integer LANGUAGE sql BEGIN ATOMIC WITH d AS (DELETE FROM a WHERE id =
  n RETURNING id, x), u AS (UPDATE b SET x = 'q' WHERE x IN ('a', 'b') RETURNING *) SELECT d.id FROM d JOIN u USING
  (id); SELECT id FROM a UNION SELECT id FROM b; SELECT x, count(*) FROM a GROUP BY x HAVING count(*) > n ORDER BY x;
  SELECT x AS y, y AS x FROM a ORDER BY a.x; VALUES (1); SELECT y FROM a; END;
CREATE FUNCTION f_default(c varchar[] DEFAULT ARRAY['a', 'b'], d date DEFAULT CURRENT_DATE, e mood DEFAULT 'ok', f
  boolean DEFAULT ('a'::varchar IN ('a', 'b')), OUT o integer, INOUT io numeric(5, 2) DEFAULT -1.5) LANGUAGE plpgsql
  AS $$ BEGIN END $$;
CREATE FUNCTION f_json("json" text, n integer DEFAULT public."json_object"(1)) RETURNS text LANGUAGE sql RETURN "json"
  || 'x';
CREATE PROCEDURE f_proc(n integer, INOUT m integer DEFAULT 3) LANGUAGE sql BEGIN ATOMIC MERGE INTO a USING b ON a.id =
  b.id WHEN MATCHED AND b.z > n THEN UPDATE SET x = b.x, y = a.y + 1 WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND b.x
  IN ('a', 'b') THEN INSERT (id, x) VALUES (b.id, b.x) WHEN NOT MATCHED THEN DO NOTHING; SELECT 1; END;
CREATE PROCEDURE f_empty() LANGUAGE sql BEGIN ATOMIC END;
CREATE TABLE parted (LIKE shape) PARTITION BY RANGE (lower(k), (at AT TIME ZONE 'UTC'), (id + 1));
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('a', '2024-01-01 00:00', -1) TO ('b', MAXVALUE, MAXVALUE);
CREATE TABLE listed (LIKE shape) PARTITION BY LIST ("json");
ALTER TABLE listed ADD CONSTRAINT ck_list CHECK ("json" IN ('a', 'b'));
CREATE TABLE listed_1 PARTITION OF listed FOR VALUES IN ('a', 'it''s', NULL);
CREATE TABLE listed_d PARTITION OF listed DEFAULT;
CREATE VIEW changed AS SELECT id, one, two AS three, three AS two FROM changing WHERE one IN ('a', 'b') ORDER BY
  changing.two;
CREATE VIEW changed_join AS SELECT * FROM changing JOIN c USING (id);
CREATE VIEW changed_more AS SELECT id, renamed FROM changing AS n(id, renamed);
CREATE VIEW named_columns(y, x) AS SELECT x, y FROM a ORDER BY x;
CREATE INDEX i_brackets ON person ((seen AT TIME ZONE 'UTC') DESC, (name IS NORMALIZED), ((made, made) OVERLAPS (made,
  made)));
'''

OTHERS_17 = r"""
CREATE PROCEDURE f_merge_17() LANGUAGE sql BEGIN ATOMIC MERGE INTO a USING b ON a.id = b.id WHEN NOT MATCHED BY SOURCE
  THEN DELETE WHEN NOT MATCHED BY TARGET THEN INSERT (id) VALUES (b.id) RETURNING merge_action(), a.id; END;
"""

OTHERS_18 = r"""
ALTER TABLE computed ADD virtual_18 boolean GENERATED ALWAYS AS (a IN ('a', 'b')) VIRTUAL;
"""

LATER = r"""
ALTER TABLE changing RENAME one TO renamed;
ALTER TABLE changing ADD COLUMN w text, ADD COLUMN four integer;
ALTER TABLE c ADD COLUMN four integer;
ALTER TABLE changing RENAME TO changed_name;
"""

# kind, name, text, and the statement that restores the object, if the text is not a part of another's; in order of creation.
PRINTED = """
WITH relation AS (
  SELECT c.*, n.nspname || '.' || relname AS label, c.oid::regclass AS name,
    EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid) AS of_constraint
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE c.oid >= 16384 AND nspname NOT LIKE 'pg_%'
), expression AS (
  SELECT d.*, r.label || ' ' || attname AS label, attgenerated, pg_get_expr(adbin, adrelid) AS text, name,
    format('%I %s', attname, format_type(atttypid, atttypmod)) AS attribute, quote_ident(attname) AS attname
  FROM pg_attrdef d JOIN relation r ON r.oid = adrelid JOIN pg_attribute a ON attrelid = adrelid AND attnum = adnum
), policy AS (
  SELECT p.*, label || ' ' || polname AS label, name, pg_get_expr(polqual, polrelid) AS used,
    pg_get_expr(polwithcheck, polrelid) AS checked
  FROM pg_policy p JOIN relation r ON r.oid = polrelid
)
SELECT kind, label, text, statement FROM (
  SELECT oid, 'view' AS kind, label, pg_get_viewdef(oid) AS text,
    format('CREATE %sVIEW %s AS %s', CASE relkind WHEN 'm' THEN 'MATERIALIZED ' END, name, pg_get_viewdef(oid)) AS statement
  FROM relation WHERE relkind IN ('v', 'm')
  UNION ALL
  SELECT w.oid, 'rule', label || ' ' || rulename, pg_get_ruledef(w.oid), pg_get_ruledef(w.oid)
  FROM pg_rewrite w JOIN relation r ON r.oid = ev_class WHERE rulename <> '_RETURN'
  UNION ALL
  SELECT t.oid, 'trigger', label || ' ' || tgname, pg_get_triggerdef(t.oid), pg_get_triggerdef(t.oid)
  FROM pg_trigger t JOIN relation r ON r.oid = tgrelid WHERE NOT tgisinternal
  UNION ALL
  SELECT oid, 'policy', label, used,
    format('CREATE POLICY %I ON %s USING (%s)', polname, name, used) || coalesce(' WITH CHECK (' || checked || ')', '')
  FROM policy
  UNION ALL
  SELECT oid, 'policy check', label, checked, NULL FROM policy WHERE checked IS NOT NULL
  UNION ALL
  SELECT oid, 'default', label, text, format('ALTER TABLE %s ALTER %s SET DEFAULT %s', name, attname, text)
  FROM expression WHERE attgenerated = ''
  UNION ALL
  SELECT oid, 'generated', label, text, format('ALTER TABLE %s ADD %s GENERATED ALWAYS AS (%s) %s', name, attribute, text,
    CASE attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END)
  FROM expression WHERE attgenerated <> ''
  UNION ALL
  SELECT t.oid, 'default', typname, pg_get_expr(typdefaultbin, 0),
    format('ALTER DOMAIN %s SET DEFAULT %s', t.oid::regtype, pg_get_expr(typdefaultbin, 0))
  FROM pg_type t WHERE typdefaultbin IS NOT NULL AND t.oid >= 16384
  UNION ALL
  SELECT k.oid, 'constraint', coalesce(label, '') || ' ' || conname, pg_get_constraintdef(k.oid),
    CASE WHEN conislocal THEN format('ALTER %s %s ADD CONSTRAINT %I %s', CASE contypid WHEN 0 THEN 'TABLE' ELSE 'DOMAIN' END,
      coalesce(name::text, contypid::regtype::text), conname, pg_get_constraintdef(k.oid)) END
  FROM pg_constraint k LEFT JOIN relation r ON r.oid = conrelid WHERE contype IN ('c', 'x') AND k.oid >= 16384
  UNION ALL
  SELECT oid, 'index', label, pg_get_indexdef(oid), CASE WHEN NOT of_constraint THEN pg_get_indexdef(oid) END
  FROM relation WHERE relkind = 'i'
  UNION ALL
  SELECT r.oid, 'index column', label || ' ' || n, pg_get_indexdef(r.oid, n, false), NULL
  FROM relation r JOIN pg_index ON indexrelid = r.oid, generate_series(1, indnatts) n
  UNION ALL
  SELECT r.oid, 'index predicate', label, pg_get_expr(indpred, indrelid), NULL
  FROM relation r JOIN pg_index ON indexrelid = r.oid WHERE indpred IS NOT NULL
  UNION ALL
  SELECT oid, 'statistics', stxname, pg_get_statisticsobjdef(oid), pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
  UNION ALL
  SELECT oid, 'statistics expression', stxname || ' ' || n, text, NULL
  FROM pg_statistic_ext, unnest(pg_get_statisticsobjdef_expressions(oid)) WITH ORDINALITY e(text, n)
  UNION ALL
  SELECT oid, 'arguments', proname, pg_get_function_arguments(oid), pg_get_functiondef(oid)
  FROM pg_proc WHERE oid >= 16384 AND prokind <> 'a'
  UNION ALL
  SELECT oid, 'body', proname, pg_get_function_sqlbody(oid), NULL FROM pg_proc WHERE oid >= 16384 AND prosqlbody IS NOT NULL
  UNION ALL
  SELECT oid, 'partition key', label, pg_get_partkeydef(oid),
    format('CREATE TABLE %s (LIKE public.shape) PARTITION BY %s', name, pg_get_partkeydef(oid))
  FROM relation WHERE relkind = 'p'
  UNION ALL
  SELECT r.oid, 'partition bound', label, pg_get_expr(relpartbound, r.oid),
    format('CREATE TABLE %s PARTITION OF %s %s', name, inhparent::regclass, pg_get_expr(relpartbound, r.oid))
  FROM relation r JOIN pg_inherits ON inhrelid = r.oid WHERE relispartition AND relkind = 'r'
) x ORDER BY oid, statement IS NULL
"""


def split(statements: str) -> list[str]:
    """Return the statements of a block; the further lines of one are indented."""
    return re.split(r";\n(?=\S|\Z)", statements.strip() + "\n")[:-1]


def made(major: int) -> list[str]:
    """Return what makes the objects, those that came after PostgreSQL 15 with the major version in their names."""
    views = [f"CREATE VIEW v{number:03} AS {query}" for number, query in enumerate(split(QUERIES))]
    late = [f"CREATE VIEW v{number:03}_17 AS {query}" for number, query in enumerate(split(QUERIES_17))]
    others = (
        split(OTHERS) + (late + split(OTHERS_17) if major >= 17 else []) + (split(OTHERS_18) if major >= 18 else [])
    )
    return split(BASE) + views + others + split(LATER)


_numbers = itertools.count(1)


@contextmanager
def database(major: int) -> Iterator[psycopg.Connection[tuple[str, ...]]]:
    """Make a database of the test's own on the server of that major version, and drop it at the end."""
    name = sql.Identifier(f"pgsteward_canonical_{os.getpid()}_{next(_numbers)}")
    with psycopg.connect(URLS[major], autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        try:
            with psycopg.connect(URLS[major], dbname=name.as_string()[1:-1], options=PINNED) as connection:
                yield connection
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def printed(connection: psycopg.Connection[tuple[str, ...]], quoted: bool = False) -> tuple[Texts, list[str]]:
    """Return the texts by kind and name, and the statements that restore them; quoted as for another major version."""
    connection.execute(
        "SELECT set_config('search_path', '', false), set_config('quote_all_identifiers', %s, false)", [str(quoted)]
    )
    rows = connection.execute(PRINTED).fetchall()
    return {(kind, name): text for kind, name, text, _ in rows}, [row[3] for row in rows if row[3]]


@cache
def original(major: int) -> tuple[Texts, dict[bool, list[str]]]:
    """Return the texts of a first database, and the statements that restore it on the same and on another major version."""
    with database(major) as connection:
        for statement in made(major):
            connection.execute(statement)
        texts, statements = printed(connection)
        return texts, {False: statements, True: printed(connection, quoted=True)[1]}


@cache
def restored(source: int, major: int) -> Texts:
    """Return the texts of a second database, which was made from those of a first one."""
    statements = original(source)[1][source != major]
    with database(major) as connection:
        for statement in split(BASE) + split(LATER):
            connection.execute(statement)
        connection.execute("SET search_path = ''")
        for statement in statements:
            connection.execute(statement)
        return printed(connection)[0]


def canonical(texts: Texts, major: int) -> Texts:
    """Return the canonical texts."""
    return {
        key: _canonical.view(text, major) if key[0] == "view" else _canonical.expression(text)
        for key, text in texts.items()
    }


def differences(some: Texts, others: Texts) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    """Return what differs of two sets of texts."""
    return {key: (some.get(key), others.get(key)) for key in {**some, **others} if some.get(key) != others.get(key)}


def known(texts: Texts, major: int) -> Texts:
    """Return the texts without those of objects that a server of that major version cannot have."""
    late = tuple(f"_{newer}" for newer in (17, 18) if newer > major)
    return {key: text for key, text in texts.items() if not key[1].endswith(late)}


PAIRS = [(source, major) for source in URLS for major in URLS if source <= major]


@pytest.mark.parametrize(("source", "major"), PAIRS)
def test_a_restore_leaves_the_canonical_texts_as_they_are(source: int, major: int) -> None:
    first, second = original(source)[0], restored(source, major)
    assert len(first) > 300
    assert differences(first, second), "the server prints the same anyway: the test proves nothing"
    assert not differences(canonical(first, source), canonical(second, major))


@pytest.mark.parametrize(("older", "newer"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_majors_have_the_same_canonical_texts(older: int, newer: int) -> None:
    first, second = original(older)[0], known(original(newer)[0], older)
    assert differences(first, second), "the servers print the same anyway: the test proves nothing"
    assert not differences(canonical(first, older), canonical(second, newer))


@pytest.mark.parametrize("major", URLS)
def test_what_differs_still_does(major: int) -> None:
    texts = original(major)[0]
    assert len(set(canonical(texts, major).values())) == len(set(texts.values()))


@pytest.mark.parametrize("major", URLS)
def test_a_canonical_text_is_its_own(major: int) -> None:
    once = canonical(original(major)[0], major)
    assert not differences(once, canonical(once, 18))
