"""The registry's tables."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES ('sequence', 0), ('published', 0), ('attempted', 0);
    CREATE TABLE person (
        subject TEXT PRIMARY KEY,
        shard TEXT NOT NULL,
        revision INTEGER NOT NULL,
        gone INTEGER NOT NULL,
        name TEXT NOT NULL,
        groups TEXT NOT NULL,
        valid_from REAL,
        valid_until REAL,
        schedule TEXT NOT NULL,
        suspended INTEGER NOT NULL,
        enrolled_at REAL NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX person_by_revision ON person (revision);
    CREATE INDEX person_by_shard ON person (shard, subject, revision);
    CREATE TABLE template (
        subject TEXT NOT NULL REFERENCES person ON DELETE CASCADE,
        encoder TEXT NOT NULL,
        embedding BLOB NOT NULL,
        PRIMARY KEY (subject, encoder)
    ) STRICT;
    CREATE INDEX template_by_encoder ON template (encoder, subject);
    CREATE TABLE shard (
        name TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        count INTEGER NOT NULL,
        digest BLOB NOT NULL
    ) STRICT;
    WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 255)
        INSERT INTO shard
        SELECT printf('%02x', n), 0, 0, x'e3b0c44298fc1c149afbf4c8996fb924' FROM number;
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        subject TEXT,
        sequence INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX audit_by_subject ON audit (subject);
    CREATE TABLE device (id TEXT PRIMARY KEY, added_at REAL NOT NULL, removed INTEGER NOT NULL)
        STRICT;
    CREATE TABLE erasure (sequence INTEGER PRIMARY KEY, shard TEXT NOT NULL) STRICT
    """,
    """
    ALTER TABLE template ADD COLUMN photos INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE person ADD COLUMN learns INTEGER NOT NULL DEFAULT 0
    """,
)
"""The SQL of each version. `shard` caches the sums that the head lists; each transaction that
changes a shard writes them. A head over 100,000 people then reads 256 rows and need not sum 100,000
revisions."""
