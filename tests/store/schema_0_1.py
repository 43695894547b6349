"""The tables of version 0.1.0, as it made them, and what it wrote into them."""

from __future__ import annotations

from sqlalchemy import create_engine

_NUMBER = {"sqlite": "INTEGER NOT NULL", "postgresql": "BIGSERIAL NOT NULL"}
_MOMENT = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP WITHOUT TIME ZONE"}

TABLES = """
CREATE TABLE artifacts (
    sop_instance_uid VARCHAR(128) NOT NULL,
    sop_class_uid VARCHAR(128) NOT NULL,
    series_instance_uid VARCHAR(128) NOT NULL,
    study_instance_uid VARCHAR(128) NOT NULL,
    revision INTEGER NOT NULL,
    kind VARCHAR(16) NOT NULL,
    model VARCHAR(128) NOT NULL,
    run_key VARCHAR(64) NOT NULL,
    path TEXT NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    created_at MOMENT NOT NULL,
    PRIMARY KEY (sop_instance_uid)
);
CREATE INDEX ix_artifacts_study ON artifacts (study_instance_uid, revision);
CREATE INDEX ix_artifacts_run_key ON artifacts (run_key);
CREATE TABLE deliveries (
    sop_instance_uid VARCHAR(128) NOT NULL,
    destination VARCHAR(64) NOT NULL,
    study_instance_uid VARCHAR(128) NOT NULL,
    revision INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempts INTEGER NOT NULL,
    status INTEGER,
    reason TEXT NOT NULL,
    created_at MOMENT NOT NULL,
    updated_at MOMENT NOT NULL,
    PRIMARY KEY (sop_instance_uid, destination)
);
CREATE INDEX ix_deliveries_study ON deliveries (study_instance_uid, revision);
CREATE INDEX ix_deliveries_state ON deliveries (state);
CREATE TABLE executors (
    executor_id VARCHAR(128) NOT NULL,
    heartbeat_at MOMENT NOT NULL,
    PRIMARY KEY (executor_id)
);
CREATE TABLE instances (
    id NUMBER,
    study_instance_uid VARCHAR(128) NOT NULL,
    series_instance_uid VARCHAR(128) NOT NULL,
    sop_instance_uid VARCHAR(128) NOT NULL,
    sop_class_uid VARCHAR(128) NOT NULL,
    transfer_syntax_uid VARCHAR(128) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    path TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    received_at MOMENT NOT NULL,
    calling_ae_title VARCHAR(16) NOT NULL,
    attributes JSON NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (study_instance_uid, series_instance_uid, sop_instance_uid, digest)
);
CREATE INDEX ix_instances_sop_instance_uid ON instances (sop_instance_uid);
CREATE TABLE returned (
    sop_instance_uid VARCHAR(128) NOT NULL,
    study_instance_uid VARCHAR(128) NOT NULL,
    calling_ae_title VARCHAR(16) NOT NULL,
    times INTEGER NOT NULL,
    last_at MOMENT NOT NULL,
    PRIMARY KEY (sop_instance_uid)
);
CREATE INDEX ix_returned_study_instance_uid ON returned (study_instance_uid);
CREATE TABLE revisions (
    study_instance_uid VARCHAR(128) NOT NULL,
    revision INTEGER NOT NULL,
    complete_at MOMENT NOT NULL,
    complete_reason TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    reason TEXT NOT NULL,
    plan JSON,
    finished_at MOMENT,
    PRIMARY KEY (study_instance_uid, revision)
);
CREATE INDEX ix_revisions_state ON revisions (state);
CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
);
CREATE TABLE steps (
    study_instance_uid VARCHAR(128) NOT NULL,
    revision INTEGER NOT NULL,
    step VARCHAR(16) NOT NULL,
    subject VARCHAR(200) NOT NULL,
    seconds FLOAT NOT NULL,
    finished_at MOMENT NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (study_instance_uid, revision, step, subject)
);
CREATE TABLE studies (
    study_instance_uid VARCHAR(128) NOT NULL,
    state VARCHAR(16) NOT NULL,
    revision INTEGER NOT NULL,
    first_received_at MOMENT NOT NULL,
    last_received_at MOMENT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (study_instance_uid)
);
CREATE INDEX ix_studies_state ON studies (state);
CREATE INDEX ix_studies_last_received_at ON studies (last_received_at);
INSERT INTO schema_version VALUES (1)
"""

ROWS = """
INSERT INTO studies VALUES
    ('1.2.3', 'done', 1, '2026-03-02 12:00:00.000000', '2026-03-02 12:00:00.000000', '');
INSERT INTO instances
    (study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid,
     transfer_syntax_uid, digest, path, size_bytes, received_at, calling_ae_title, attributes)
VALUES
    ('1.2.3', '1.2.3.1', '1.2.3.1.1', '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1',
     'ONE', 'instances/1.dcm', 1000, '2026-03-02 12:00:00.000000', 'CT1',
     '{"Modality": "CT", "Rows": 8, "Columns": 8}'),
    ('1.2.4', '1.2.3.1', '1.2.4.1.1', '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1',
     'TWO', 'instances/2.dcm', 1000, '2026-03-02 12:00:01.000000', 'CT1', '{}');
INSERT INTO revisions VALUES
    ('1.2.3', 1, '2026-03-02 12:01:00.000000', 'quiet for 60 s', 'done', '', NULL,
     '2026-03-02 12:02:00.000000');
INSERT INTO artifacts VALUES
    ('2.25.1', '1.2.840.10008.5.1.4.1.1.66.4', '2.25.100', '1.2.3', 1, 'SEG', 'ct-lungs@1.0.0',
     'KEY', 'results/1.dcm', 'HASH', '2026-03-02 12:01:30.000000');
INSERT INTO deliveries VALUES
    ('2.25.1', 'pacs', '1.2.3', 1, 'waiting', 2, 42752, 'out of resources',
     '2026-03-02 12:01:30.000000', '2026-03-02 12:01:40.000000')
"""


def make_database(url: str) -> None:
    """Leave a database as version 0.1.0 left it."""
    engine = create_engine(url)
    name = engine.dialect.name
    script = (TABLES + ";" + ROWS).replace("NUMBER,", f"{_NUMBER[name]},")
    script = script.replace("MOMENT", _MOMENT[name]).replace("'ONE'", f"'{1:064x}'")
    with engine.begin() as connection:
        for statement in script.split(";"):
            connection.exec_driver_sql(statement)
    engine.dispose()
