-- What the radios of a home have sent; core/ledger.py says what it means.
CREATE TABLE sent (
    id INTEGER PRIMARY KEY,
    radio TEXT NOT NULL,
    boot TEXT NOT NULL,         -- of the system, as core/clocks.py names it
    ended REAL NOT NULL,        -- seconds since that boot, at the latest
    unix REAL NOT NULL,         -- the same by the wall clock
    trusted INTEGER NOT NULL,   -- whether that clock was right
    seconds REAL NOT NULL       -- on air
) STRICT;
CREATE INDEX sent_radio ON sent (radio);
CREATE TABLE promised (
    id INTEGER PRIMARY KEY,
    radio TEXT NOT NULL,
    boot TEXT NOT NULL,
    until REAL NOT NULL,        -- seconds since that boot: then it is void
    seconds REAL NOT NULL       -- still to be sent
) STRICT;
CREATE INDEX promised_radio ON promised (radio);
CREATE TABLE allowed (
    radio TEXT PRIMARY KEY,
    seconds REAL NOT NULL       -- in an hour, as last asked with; for who wants to look
) STRICT;
