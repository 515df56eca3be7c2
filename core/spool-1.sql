-- From version 1 of the spool to 2: messages that are passed on.
ALTER TABLE outbox ADD COLUMN source TEXT;
ALTER TABLE outbox ADD COLUMN beside BLOB;
ALTER TABLE leg ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN queued REAL NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN came REAL NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN after REAL NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN passing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN due REAL;
ALTER TABLE leg ADD COLUMN agreed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE event ADD COLUMN ask INTEGER NOT NULL DEFAULT 0;
UPDATE leg SET
    rank = (SELECT priority FROM outbox WHERE outbox.id = leg.id),
    queued = (SELECT queued_at FROM outbox WHERE outbox.id = leg.id);
CREATE INDEX leg_open ON leg (link, rank DESC, queued, id, after) WHERE done = 0;
CREATE INDEX leg_passing ON leg (link, rank, came, id) WHERE done = 0 AND passing = 1;
ALTER TABLE seen ADD COLUMN source TEXT;
ALTER TABLE seen ADD COLUMN to_all INTEGER NOT NULL DEFAULT 0;
CREATE INDEX seen_tag ON seen (tag);
ALTER TABLE peer ADD COLUMN near REAL;
UPDATE peer SET near = at WHERE address IS NOT NULL;

-- What bridges decided, and what they let through.

CREATE TABLE passage (
    row INTEGER PRIMARY KEY AUTOINCREMENT,  -- its age
    id INTEGER NOT NULL,
    at REAL NOT NULL,
    said TEXT NOT NULL                   -- a line for each link: its name, a tab, what
);
CREATE INDEX passage_of ON passage (id);

CREATE TABLE crossing (                  -- what legs with a rate or a budget let through lately
    row INTEGER PRIMARY KEY,
    link TEXT NOT NULL,
    at REAL NOT NULL,
    airtime REAL NOT NULL
);
CREATE INDEX crossing_of ON crossing (link, at);

CREATE TABLE echo (                      -- receipts passed back onto a link with airtime
    id INTEGER NOT NULL,                 -- of the message that they speak of
    link TEXT NOT NULL,
    event INTEGER NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (id, link, event)
) WITHOUT ROWID;
