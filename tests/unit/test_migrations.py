"""The five histories as they lie in the files: linear, both ways, rendered offline, with the promised names."""

from __future__ import annotations

import ast
import importlib
import io
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Enum, MetaData

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
sys.path.insert(0, str(MIGRATIONS))

from pgsteward_url import find_url, with_psycopg  # noqa: E402
from samples.draw import Draw  # noqa: E402

SYSTEMS = ("face_recognition", "pixcrawler", "imagemanager", "cats_monitor", "powergym")

REVISIONS = {
    "face_recognition": [
        "v1_0_initial_schema",
        "v1_1_user_authentication",
        "v1_2_face_landmarks",
        "v1_3_embedding_vectors",
    ],
    "pixcrawler": ["000", "001"],
    "imagemanager": ["001_initial_schema", "002_lookup_indexes", "003_api_keys", "004_project_status"],
    "cats_monitor": ["001_initial_schema", "002_cat_recognition", "003_activity_features"],
    "powergym": ["001_core", "002_biometrics", "003_subscriptions", "004_attendance_and_stock", "005_hnsw"],
}

# Exactly the tables that the systems have.
TABLES = {
    "face_recognition": "persons face_embeddings recognition_results datasets processing_jobs users",
    "pixcrawler": "profiles projects crawl_jobs images activity_logs validation_jobs export_jobs",
    "imagemanager": "users projects data_instances image_classes image_classifications image_comments"
    " project_metadata api_keys",
    "cats_monitor": "feedback cat_profiles detection_results cat_features cat_recognition_models activity_features"
    " activity_models",
    "powergym": "users clients biometrics plans subscriptions payments attendances products inventory_movements",
}

# The indexes that the guides name; a system may have more.
INDEXES = {
    "face_recognition": {
        "idx_persons_name": ("persons", ["name"]),
        "idx_face_embeddings_person_id": ("face_embeddings", ["person_id"]),
        "idx_recognition_results_timestamp": ("recognition_results", ["recognized_at"]),
        "idx_face_embeddings_landmarks": ("face_embeddings", ["landmarks"]),
    },
    "pixcrawler": {
        "ix_profiles_email": ("profiles", ["email"]),
        "ix_project_user_id": ("projects", ["user_id"]),
        "ix_crawl_job_project_id": ("crawl_jobs", ["project_id"]),
        "ix_crawl_job_status": ("crawl_jobs", ["status"]),
        "ix_crawl_job_project_status": ("crawl_jobs", ["project_id", "status"]),
        "ix_image_crawl_job_id": ("images", ["crawl_job_id"]),
        "ix_activity_log_user_id": ("activity_logs", ["user_id"]),
        "ix_activity_log_timestamp": ("activity_logs", ["timestamp"]),
        "ix_validation_job_status": ("validation_jobs", ["status"]),
        "ix_validation_job_crawl_job_id": ("validation_jobs", ["crawl_job_id"]),
        "ix_export_job_status": ("export_jobs", ["status"]),
        "ix_export_job_user_id": ("export_jobs", ["user_id"]),
        "ix_export_job_crawl_job_id": ("export_jobs", ["crawl_job_id"]),
    },
    "imagemanager": {
        "ix_projects_name": ("projects", ["name"]),
        "idx_projects_meta_group": ("projects", ["meta_group_id"]),
        "idx_images_project": ("data_instances", ["project_id"]),
        "idx_images_deleted": ("data_instances", ["deleted_at"]),
        "idx_classifications_image": ("image_classifications", ["image_id"]),
    },
    "cats_monitor": {},
    "powergym": {
        "idx_users_email": ("users", ["email"]),
        "idx_users_username": ("users", ["username"]),
        "idx_clients_dni": ("clients", ["dni_number"]),
        "idx_clients_active": ("clients", ["is_active"]),
        "idx_subscriptions_client": ("subscriptions", ["client_id"]),
        "idx_subscriptions_status": ("subscriptions", ["status"]),
        "idx_subscriptions_dates": ("subscriptions", ["start_date", "end_date"]),
        "idx_attendances_client": ("attendances", ["client_id"]),
        "idx_attendances_date": ("attendances", ["entry_time"]),
        "idx_biometrics_embedding": ("biometrics", ["embedding"]),
        "idx_biometrics_embedding_l2": ("biometrics", ["embedding"]),
    },
}

KEYS = {
    "face_recognition": ["persons.user_id -> users.id", "face_embeddings.person_id -> persons.id"],
    "pixcrawler": [
        "projects.user_id -> profiles.id",
        "crawl_jobs.project_id -> projects.id",
        "images.crawl_job_id -> crawl_jobs.id",
        "activity_logs.user_id -> profiles.id",
        "validation_jobs.crawl_job_id -> crawl_jobs.id",
        "export_jobs.crawl_job_id -> crawl_jobs.id",
        "export_jobs.user_id -> profiles.id",
    ],
    "imagemanager": [
        "data_instances.project_id -> projects.id",
        "image_classifications.image_id -> data_instances.id",
    ],
    "cats_monitor": ["detection_results.cat_profile_id -> cat_profiles.id"],
    "powergym": [
        "biometrics.client_id -> clients.id",
        "subscriptions.client_id -> clients.id",
        "subscriptions.plan_id -> plans.id",
        "payments.subscription_id -> subscriptions.id",
        "attendances.client_id -> clients.id",
    ],
}

POWERGYM_ENUMS = {
    "user_role_enum": ["admin", "employee"],
    "document_type_enum": ["CC", "TI", "CE", "PP"],
    "gender_type_enum": ["male", "female", "other"],
    "biometric_type_enum": ["FACE", "FINGERPRINT"],
    "subscription_status_enum": ["active", "expired", "pending_payment", "scheduled", "canceled"],
    "payment_method_enum": ["cash", "qr"],
    "stock_status_enum": ["NORMAL", "LOW_STOCK", "STOCK_OUT", "OVERSTOCK"],
}

# Names that PostgreSQL would cut off are never what they seem to be.
LONGEST_NAME = 63
LONGEST_REVISION = 32


def config_of(system: str, tree: Path = MIGRATIONS) -> Config:
    """Return the configuration of one system."""
    return Config(tree / "alembic.ini", ini_section=system)


def history(system: str) -> list[Script]:
    """Return the revisions, oldest first."""
    return list(ScriptDirectory.from_config(config_of(system)).walk_revisions())[::-1]


def metadata(system: str) -> MetaData:
    """Return what the system's models describe."""
    found: MetaData = importlib.import_module(f"{system}.models").Base.metadata
    return found


def rendered(system: str, monkeypatch: pytest.MonkeyPatch, direction: Any, span: str) -> str:
    """Return the SQL of a part of the history, made without any database."""
    for variable in ("DATABASE_URL", "POSTGRES_HOST", "POSTGRES_DB"):
        monkeypatch.delenv(variable, raising=False)
    config = config_of(system)
    config.output_buffer = io.StringIO()
    direction(config, span, sql=True)
    return config.output_buffer.getvalue()


@pytest.mark.parametrize("system", SYSTEMS)
class TestHistory:
    """Each of the five, by the same rules."""

    def test_is_one_line_of_the_promised_revisions(self, system: str) -> None:
        """One head, no branches, in this order."""
        revisions = history(system)
        assert [script.revision for script in revisions] == REVISIONS[system]
        assert [script.down_revision for script in revisions] == [None, *REVISIONS[system][:-1]]
        assert all(len(script.revision) <= LONGEST_REVISION for script in revisions)

    def test_every_revision_goes_both_ways(self, system: str) -> None:
        """Neither function is empty, and the docstring says what it does."""
        for script in history(system):
            functions = {
                node.name: node
                for node in ast.parse(Path(script.path).read_text(encoding="utf-8")).body
                if isinstance(node, ast.FunctionDef)
            }
            for name in ("upgrade", "downgrade"):
                assert ast.get_docstring(functions[name]), f"{script.revision}: {name} has no docstring"
                assert statements(functions[name]), f"{script.revision}: {name} does nothing"

    def test_renders_offline_both_ways(self, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """All SQL can be read before it runs."""
        head = REVISIONS[system][-1]
        up = rendered(system, monkeypatch, command.upgrade, "head")
        down = rendered(system, monkeypatch, command.downgrade, f"{head}:base")
        for table in metadata(system).tables:
            assert f"CREATE TABLE {table} " in up or f"CREATE TABLE IF NOT EXISTS {table} " in up
            assert f"DROP TABLE {table};" in down
        assert f"'{head}'" in up
        assert "%%" not in up + down

    def test_models_have_the_promised_names(self, system: str) -> None:
        """Tables, indexes and keys are as the guides name them."""
        found = metadata(system)
        assert sorted(found.tables) == sorted(TABLES[system].split())
        indexes = {
            str(index.name): (table.name, [column.name for column in index.columns])
            for table in found.tables.values()
            for index in table.indexes
        }
        assert INDEXES[system].items() <= indexes.items()
        keys = {f"{key.parent.table.name}.{key.parent.name} -> {key.target_fullname}" for key in all_keys(found)}
        assert set(KEYS[system]) <= keys

    def test_names_are_complete_and_fit(self, system: str) -> None:
        """Every constraint has a name, and the server keeps all of it."""
        for table in metadata(system).tables.values():
            for item in (*table.constraints, *table.indexes):
                assert item.name is not None, f"{table.name}: {item!r}"
                assert len(str(item.name)) <= LONGEST_NAME, str(item.name)


def statements(function: ast.FunctionDef) -> list[ast.stmt]:
    """Return what a function does besides its docstring and pass."""
    return [
        node
        for node in function.body
        if not isinstance(node, ast.Pass) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


def all_keys(found: MetaData) -> list[Any]:
    """Return every foreign key of every table."""
    return [key for table in found.tables.values() for key in table.foreign_keys]


def test_powergym_enums_have_their_labels_in_order() -> None:
    """The labels' order is how the server sorts them."""
    types = [column.type for table in metadata("powergym").tables.values() for column in table.columns]
    assert {kind.name: kind.enums for kind in types if isinstance(kind, Enum)} == POWERGYM_ENUMS


def test_cats_monitor_files_bear_the_names_of_the_guide() -> None:
    """The guide lists the files, too."""
    assert [Path(script.path).name for script in history("cats_monitor")] == [
        "001_initial_database_schema.py",
        "002_add_cat_recognition_tables.py",
        "003_add_enhanced_activity_features.py",
    ]


def test_every_section_of_the_ini_file_is_a_system() -> None:
    """A section without a tree, or a tree without a section, would only be found in production."""
    config = config_of("powergym")
    sections = [
        name for name in config.file_config.sections() if config.file_config.has_option(name, "version_locations")
    ]
    assert sorted(sections) == sorted(path.parent.name for path in MIGRATIONS.glob("*/models.py")) == sorted(SYSTEMS)


def test_a_new_revision_is_made_as_the_readme_says(tmp_path: Path) -> None:
    """The template gives a file in the right tree, with types, which refuses to run until it is written."""
    tree = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, tree, ignore=shutil.ignore_patterns("__pycache__"))
    made = command.revision(config_of("powergym", tree), message="add lockers", rev_id="006")
    assert isinstance(made, Script)
    assert Path(made.path) == tree / "powergym" / "versions" / "006_add_lockers.py"
    assert made.down_revision == "005_hnsw"
    assert made.doc == "add lockers."
    with pytest.raises(NotImplementedError, match="write the way back"):
        made.module.downgrade()


PASSWORD = "s3cret-%40-word"


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        (None, {}, None),
        ("postgresql://u:p@h:1/d", {"DATABASE_URL": "postgresql://other/x"}, "postgresql+psycopg://u:p@h:1/d"),
        (None, {"DATABASE_URL": "postgres://u@h/d"}, "postgresql+psycopg://u@h/d"),
        (None, {"DATABASE_URL": "postgresql+psycopg2://u@h/d"}, "postgresql+psycopg://u@h/d"),
        (
            None,
            {"DATABASE_URL": "postgresql+asyncpg://u:p@h/d?ssl=require&prepared_statement_cache_size=0"},
            "postgresql+psycopg://u:p@h/d?sslmode=require",
        ),
        (None, {"DATABASE_URL": "postgresql+asyncpg://h/d?ssl=true"}, "postgresql+psycopg://h/d?sslmode=require"),
        (
            None,
            {"DATABASE_URL": "postgresql:///d?host=/run/postgresql"},
            "postgresql+psycopg:///d?host=%2Frun%2Fpostgresql",
        ),
        (None, {"POSTGRES_HOST": "h", "POSTGRES_DB": "d"}, "postgresql+psycopg://h:5432/d"),
        (
            None,
            {
                "POSTGRES_HOST": "h",
                "POSTGRES_DB": "d",
                "POSTGRES_USER": "u",
                "POSTGRES_PASSWORD": "a@b/c%d",
                "POSTGRES_PORT": "6432",
            },
            "postgresql+psycopg://u:a%40b%2Fc%25d@h:6432/d",
        ),
        (None, {"DATABASE_URL": "", "POSTGRES_HOST": "h", "POSTGRES_DB": "d"}, "postgresql+psycopg://h:5432/d"),
    ],
)
def test_the_database_is_found(configured: str | None, environment: dict[str, str], expected: str | None) -> None:
    """The configuration wins over DATABASE_URL, and that over the parts; the driver is always psycopg."""
    url = find_url(configured, environment)
    assert (None if url is None else url.render_as_string(hide_password=False)) == expected


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"DATABASE_URL": f"not a url {PASSWORD}"}, "DATABASE_URL is not a database URL"),
        ({"DATABASE_URL": f"postgresql://u:{PASSWORD}@h:port/d"}, "DATABASE_URL is not a database URL"),
        ({"DATABASE_URL": f"mysql://u:{PASSWORD}@h/d"}, "'mysql'"),
        ({"POSTGRES_HOST": "h", "POSTGRES_PASSWORD": PASSWORD}, "POSTGRES_DB is not set"),
        ({"POSTGRES_DB": "d", "POSTGRES_PASSWORD": PASSWORD}, "POSTGRES_HOST is not set"),
        ({"POSTGRES_HOST": "h", "POSTGRES_DB": "d", "POSTGRES_PORT": "six"}, "POSTGRES_PORT"),
    ],
)
def test_a_bad_database_gets_one_line_without_secrets(environment: dict[str, str], named: str) -> None:
    """The variable is named, its value is not quoted."""
    with pytest.raises(CommandError) as raised:
        find_url(None, environment)
    message = str(raised.value)
    assert named in message
    assert PASSWORD not in message
    assert "\n" not in message


def test_no_database_is_an_error_that_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any of the variables an online command stops before it does anything."""
    for variable in ("DATABASE_URL", "POSTGRES_HOST", "POSTGRES_DB"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(CommandError, match="no database named for powergym: set DATABASE_URL"):
        command.current(config_of("powergym"))


def test_an_unknown_section_is_named() -> None:
    """The section decides which models are imported."""
    config = config_of("powergym")
    config.config_ini_section = "nothing"
    config.file_config.add_section("nothing")
    config.set_main_option("sqlalchemy.url", "postgresql://nobody@nowhere.invalid/nothing")
    config.set_main_option("version_locations", str(MIGRATIONS / "powergym" / "versions"))
    with pytest.raises(CommandError, match="there is no system 'nothing' here"):
        command.upgrade(config, "head", sql=True)


def test_the_url_is_parsed_whole() -> None:
    """A doubled per cent sign of the ini file has become one before it gets here."""
    assert with_psycopg("postgresql://u:a%25b@h/d", "x").password == "a%b"


class TestDraw:
    """The values that samples are made of."""

    def test_is_the_same_everywhere(self) -> None:
        """These values are fixed: a change of them changes every stored sample."""
        draw = Draw(1)
        assert str(draw.uuid("client", 0)) == "2cef5aab-2b47-4f51-8f18-5b388e097862"
        assert draw.random("visits", 3).randrange(10**9) == 600_978_308
        assert draw.vector("face", 7).startswith("[-0.02810,0.01038,0.02524,-0")

    def test_depends_on_seed_and_key(self) -> None:
        """Other seeds and other keys give other values."""
        assert Draw(1).uuid("client", 0) != Draw(2).uuid("client", 0)
        assert Draw(1).uuid("client", 0) != Draw(1).uuid("client", 1)

    @pytest.mark.parametrize("n", [0, 1, 15, 16, 4711])
    def test_vectors_lie_where_they_should(self, n: int) -> None:
        """Near to another picture, away from those who look alike, far from all others; all of length 1."""
        draw = Draw(1)
        stored, near = parsed(draw.vector("face", n)), parsed(draw.vector_near("face", n))
        assert math.isclose(math.hypot(*stored), 1, abs_tol=1e-4)
        assert cosine_distance(stored, near) < 0.2
        for other in range(max(0, n - 40), n + 40):
            if other != n:
                assert cosine_distance(near, parsed(draw.vector("face", other))) > 0.45

    def test_packed_and_text_are_the_same_vector(self) -> None:
        """The bytea of an embedding holds what its vector column holds."""
        packed = memoryview(Draw(1).packed_vector("face", 3)).cast("f")
        assert list(packed) == pytest.approx(parsed(Draw(1).vector("face", 3)), abs=1e-7)


def parsed(vector: str) -> list[float]:
    """Return the components of a vector in text form."""
    return [float(part) for part in vector.strip("[]").split(",")]


def cosine_distance(left: list[float], right: list[float]) -> float:
    """Return the distance that pgvector's <=> gives."""
    product = sum(a * b for a, b in zip(left, right, strict=True))
    return 1 - product / (math.hypot(*left) * math.hypot(*right))
