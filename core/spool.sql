-- The spool, version 2: what one node has to send, what it was sent, and whom it knows.
-- One file, shared by every process of a home. A message's id is one signed integer of 64 bits, its
-- origin above its sequence; its tag is its check, so (id, tag) are certain bytes. Times are Unix
-- seconds.

CREATE TABLE node (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    origin INTEGER NOT NULL,
    machine TEXT NOT NULL,
    sequence INTEGER NOT NULL
);

-- What the bounds count. Inserts are added by core/total.py, once a transaction; all that leaves or
-- moves is counted by the triggers below.
CREATE TABLE total (
    what TEXT PRIMARY KEY,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO total VALUES
    ('outbox', 0, 0), ('history', 0, 0), ('inbox', 0, 0), ('dropped', 0, 0);

-- The outbox: a message, and one leg for each link that shall carry it.

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    wants_destination INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    queued_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    done_at REAL,                        -- NULL while a leg is unfinished; then it is history
    message BLOB NOT NULL,
    source TEXT,                         -- the link that it came by; NULL: it is ours
    beside BLOB                          -- what its envelope goes on with, message left out
);
CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;

CREATE TRIGGER outbox_out AFTER DELETE ON outbox BEGIN
    UPDATE total SET messages = messages - 1, bytes = bytes - length(old.message)
    WHERE what = CASE WHEN old.done_at IS NULL THEN 'outbox' ELSE 'history' END;
    DELETE FROM leg WHERE id = old.id;
END;
CREATE TRIGGER outbox_moved AFTER UPDATE OF message, done_at ON outbox BEGIN
    UPDATE total SET messages = messages - 1, bytes = bytes - length(old.message)
    WHERE what = CASE WHEN old.done_at IS NULL THEN 'outbox' ELSE 'history' END;
    UPDATE total SET messages = messages + 1, bytes = bytes + length(new.message)
    WHERE what = CASE WHEN new.done_at IS NULL THEN 'outbox' ELSE 'history' END;
END;

CREATE TABLE leg (
    id INTEGER NOT NULL,                 -- of the outbox; they leave with it
    link TEXT NOT NULL,                  -- the link's canonical key
    name TEXT NOT NULL,                  -- what the user calls it
    address TEXT,                        -- whom on that link, in its own spelling
    parity INTEGER,                      -- the most frames of it up front; NULL as many as planned
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_index INTEGER NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0,     -- some of it went out, ever
    done INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    until REAL,
    rank INTEGER NOT NULL DEFAULT 0,     -- its priority on this link
    queued REAL NOT NULL DEFAULT 0,      -- its place among those of its rank: when it might go
    came REAL NOT NULL DEFAULT 0,        -- its place among those that give way: when it was put
    after REAL NOT NULL DEFAULT 0,       -- not before then
    passing INTEGER NOT NULL DEFAULT 0,  -- it is not ours but passed on
    due REAL,                            -- its lifetime's end on this link, where that is earlier
    agreed INTEGER NOT NULL DEFAULT 0,   -- the user sends it though others use the channel much
    PRIMARY KEY (id, link)
) WITHOUT ROWID;
CREATE INDEX leg_open ON leg (link, rank DESC, queued, id, after) WHERE done = 0;
CREATE INDEX leg_passing ON leg (link, rank, came, id) WHERE done = 0 AND passing = 1;

CREATE TABLE event (
    row INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: readers remember how far they are
    id INTEGER NOT NULL,
    state TEXT NOT NULL,
    link TEXT,
    author INTEGER,
    at REAL NOT NULL,
    reason TEXT,
    until REAL,
    ask INTEGER NOT NULL DEFAULT 0       -- the user may decide not to wait
);
CREATE INDEX event_of ON event (id);

-- The inbox: every message once, other bytes under its id beside it, a turn for each sink.

CREATE TABLE inbox (
    row INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, as with events
    id INTEGER NOT NULL,
    twin INTEGER NOT NULL,               -- 0 the first of its id, 1 to 4 other bytes
    tag INTEGER NOT NULL,
    link TEXT NOT NULL,
    peer TEXT,
    received_at REAL NOT NULL,
    replayed INTEGER NOT NULL,
    keeps INTEGER NOT NULL,              -- it came by a link that keeps: this row alone knows it
    unfinished INTEGER NOT NULL,         -- turns still to come or cut off
    message BLOB,                        -- NULL: dropped; the row is there to know the id
    UNIQUE (id, twin)
);
CREATE INDEX inbox_spent ON inbox (row) WHERE unfinished = 0 AND message IS NOT NULL;
CREATE INDEX inbox_dropped ON inbox (row) WHERE message IS NULL;

CREATE TRIGGER inbox_out AFTER DELETE ON inbox BEGIN
    UPDATE total SET messages = messages - 1, bytes = bytes - coalesce(length(old.message), 0)
    WHERE what = CASE WHEN old.message IS NULL THEN 'dropped' ELSE 'inbox' END;
END;
CREATE TRIGGER inbox_emptied AFTER UPDATE OF message ON inbox
WHEN new.message IS NULL AND old.message IS NOT NULL BEGIN
    UPDATE total SET messages = messages - 1, bytes = bytes - length(old.message)
    WHERE what = 'inbox';
    UPDATE total SET messages = messages + 1 WHERE what = 'dropped';
END;

CREATE TABLE turn (
    message INTEGER NOT NULL REFERENCES inbox ON DELETE CASCADE,
    sink TEXT NOT NULL,
    state TEXT NOT NULL,                 -- pending, playing, cut off, done, failed
    file TEXT,
    problem TEXT,
    PRIMARY KEY (message, sink)
) WITHOUT ROWID;
CREATE INDEX turn_open ON turn (sink, message) WHERE state IN ('pending', 'playing');

-- What was delivered before, also when its inbox row is gone.

CREATE TABLE seen (
    row INTEGER PRIMARY KEY,             -- its age
    id INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    twin INTEGER NOT NULL,
    pool INTEGER NOT NULL,               -- whom the bound counts it for: the origin, -1 foreign
    until REAL NOT NULL,
    source TEXT,                         -- the link that it came by, if it was passed on
    to_all INTEGER NOT NULL DEFAULT 0,   -- it was passed on and is for everyone
    UNIQUE (id, tag)
);
CREATE INDEX seen_pool ON seen (pool);
CREATE INDEX seen_tag ON seen (tag);

CREATE TABLE tally (pool INTEGER PRIMARY KEY, messages INTEGER NOT NULL);  -- -2 is all pools
INSERT INTO tally VALUES (-2, 0);

CREATE TRIGGER seen_in AFTER INSERT ON seen BEGIN
    INSERT INTO tally VALUES (new.pool, 1), (-2, 1)
    ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
CREATE TRIGGER seen_out AFTER DELETE ON seen BEGIN
    UPDATE tally SET messages = messages - 1 WHERE pool IN (old.pool, -2);
    DELETE FROM tally WHERE pool = old.pool AND messages = 0;
END;

-- Who was heard where.

CREATE TABLE peer (
    origin INTEGER NOT NULL,
    link TEXT NOT NULL,
    address TEXT,
    name TEXT,
    at REAL NOT NULL,
    near REAL,                           -- when it was last heard itself, no bridge between
    PRIMARY KEY (origin, link)
);
CREATE INDEX peer_address ON peer (link, address);
CREATE INDEX peer_name ON peer (name COLLATE NOCASE);
CREATE INDEX peer_age ON peer (at);

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
