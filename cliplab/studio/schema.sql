-- The label store of a studio. `events` is what people did, in the order in which it was stored, and is only ever added
-- to. `current_*`, `undone`, `leases` and the last columns of `items` follow from it and are made anew by rebuild().

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- What was seen of a media file when its fingerprint was taken, so that an unchanged file is not read again.
CREATE TABLE files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, fingerprint TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('frame', 'clip', 'video')),
    fingerprint TEXT NOT NULL,          -- of the content of the file
    path BLOB NOT NULL,                 -- bytes of the path: relative to the data folder, absolute outside of it
    start_seconds REAL,                 -- clip: where it begins; frame: its timestamp in the source; NULL: the start
    end_seconds REAL,
    width INTEGER, height INTEGER,
    group_name TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT '',    -- the footage that a frame was extracted from
    split TEXT,
    missing TEXT,                       -- why the file cannot be used: NULL, 'gone' or 'replaced'
    overlap REAL NOT NULL,              -- a share from 0 to 1: two people label the items below the setting
    wanted INTEGER NOT NULL DEFAULT 1,  -- people who are to label it
    done INTEGER NOT NULL DEFAULT 0,    -- people who did
    disagree INTEGER NOT NULL DEFAULT 0,
    flagged INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX items_place ON items (path, fingerprint, coalesce(start_seconds, -1), coalesce(end_seconds, -1));
CREATE INDEX items_fingerprint ON items (fingerprint);
CREATE INDEX items_open ON items (id) WHERE done < wanted AND missing IS NULL;
CREATE INDEX items_flagged ON items (id) WHERE flagged;
CREATE INDEX items_disagree ON items (id) WHERE disagree;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at REAL NOT NULL,                   -- seconds since 1970 by the client's clock
    received REAL NOT NULL,             -- by the store's clock
    annotator TEXT NOT NULL,
    item INTEGER REFERENCES items,      -- NULL for leases
    action TEXT NOT NULL,
    value TEXT NOT NULL,                -- JSON
    subject TEXT NOT NULL,              -- what it changes: events of one subject of one item make its present state
    crc INTEGER NOT NULL,
    UNIQUE (client, sequence)
);
CREATE INDEX events_subject ON events (item, subject);
CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT raise(ABORT, 'events are only ever added'); END;
CREATE TRIGGER events_unchanged BEFORE UPDATE ON events BEGIN SELECT raise(ABORT, 'events are only ever added'); END;

CREATE TABLE classes (
    name TEXT PRIMARY KEY, key TEXT NOT NULL DEFAULT '', position INTEGER NOT NULL, retired INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
-- Former names of classes: events keep the name that was typed.
CREATE TABLE class_aliases (alias TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE undone (event INTEGER PRIMARY KEY REFERENCES events);
CREATE TABLE current_labels (
    item INTEGER NOT NULL REFERENCES items, annotator TEXT NOT NULL, label TEXT NOT NULL,
    event INTEGER NOT NULL REFERENCES events, at REAL NOT NULL, PRIMARY KEY (item, annotator)
) WITHOUT ROWID;
CREATE INDEX current_labels_label ON current_labels (label);
CREATE TABLE current_reviews (
    item INTEGER PRIMARY KEY REFERENCES items, annotator TEXT NOT NULL, label TEXT NOT NULL,
    event INTEGER NOT NULL REFERENCES events, at REAL NOT NULL
);
-- Every interval that ever was: whose it is, and on which item.
CREATE TABLE interval_ids (
    id TEXT PRIMARY KEY, item INTEGER NOT NULL REFERENCES items, annotator TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE current_intervals (
    id TEXT PRIMARY KEY, item INTEGER NOT NULL REFERENCES items, annotator TEXT NOT NULL, label TEXT NOT NULL,
    start_seconds REAL NOT NULL, end_seconds REAL NOT NULL, event INTEGER NOT NULL REFERENCES events
) WITHOUT ROWID;
CREATE INDEX current_intervals_item ON current_intervals (item, start_seconds);
CREATE TABLE current_notes (
    item INTEGER NOT NULL REFERENCES items, annotator TEXT NOT NULL, text TEXT NOT NULL,
    event INTEGER NOT NULL REFERENCES events, PRIMARY KEY (item, annotator)
) WITHOUT ROWID;
CREATE TABLE current_flags (
    item INTEGER NOT NULL REFERENCES items, annotator TEXT NOT NULL, event INTEGER NOT NULL REFERENCES events,
    PRIMARY KEY (item, annotator)
) WITHOUT ROWID;
CREATE TABLE leases (
    item INTEGER NOT NULL REFERENCES items, annotator TEXT NOT NULL, until REAL NOT NULL,
    event INTEGER NOT NULL REFERENCES events, PRIMARY KEY (item, annotator)
) WITHOUT ROWID;

-- What models say of the items.
CREATE TABLE scores (
    item INTEGER NOT NULL REFERENCES items, model TEXT NOT NULL, label TEXT NOT NULL, score REAL NOT NULL,
    PRIMARY KEY (item, model, label)
) WITHOUT ROWID;
-- The best label of each item and how far it is ahead of the second: what is uncertain has a small margin.
CREATE TABLE top_scores (
    item INTEGER NOT NULL REFERENCES items, model TEXT NOT NULL, label TEXT NOT NULL, score REAL NOT NULL,
    margin REAL NOT NULL, PRIMARY KEY (model, item)
) WITHOUT ROWID;
CREATE INDEX top_scores_margin ON top_scores (model, margin);
CREATE INDEX top_scores_score ON top_scores (model, score);
-- Orders in which items are to be reviewed, such as uncertainty with diversity.
CREATE TABLE queues (
    name TEXT NOT NULL, position INTEGER NOT NULL, item INTEGER NOT NULL REFERENCES items, PRIMARY KEY (name, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX queues_item ON queues (name, item);
