-- Format 1. Times are milliseconds since the Unix epoch.

-- Grows with every lease of any run, also of one that was removed and begun again.
CREATE TABLE epoch (last INTEGER NOT NULL) STRICT;
INSERT INTO epoch VALUES (0);

CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  name TEXT UNIQUE,               -- none while the run is being removed
  epoch INTEGER NOT NULL,         -- of the latest lease
  presence TEXT,                  -- of the writer; none if nobody holds the run
  pid INTEGER,
  host TEXT,
  since INTEGER,
  until INTEGER
) STRICT;

-- Never updated.
CREATE TABLE event (
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,           -- from 1, without gaps
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL,             -- JSON; {"$body": hash} stands for a text of the table body
  total INTEGER NOT NULL,         -- bytes of the run up to here, its texts included
  chain BLOB NOT NULL,            -- binds the entry to all before it
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE body (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,      -- BLAKE3 of the text
  size INTEGER NOT NULL,          -- of the text
  packing INTEGER NOT NULL,       -- 0: as it is, 1: an LZ4 block
  data BLOB NOT NULL
) STRICT;

-- Which texts a run needs.
CREATE TABLE uses (
  run INTEGER NOT NULL,
  body INTEGER NOT NULL,
  PRIMARY KEY (run, body)
) STRICT, WITHOUT ROWID;
CREATE INDEX uses_of_body ON uses (body);

-- The latest fold of a run that its owner left, to begin from.
CREATE TABLE snapshot (
  run INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  chain BLOB NOT NULL,            -- of the entry it was taken at
  hash BLOB NOT NULL,             -- BLAKE3 of the state
  size INTEGER NOT NULL,          -- of the state
  packing INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;

-- For people.
CREATE VIEW runs AS
  SELECT name AS run,
         (SELECT datetime(at / 1000.0, 'unixepoch') FROM event WHERE event.run = run.id AND seq = 1) AS first,
         (SELECT datetime(at / 1000.0, 'unixepoch') FROM event WHERE event.run = run.id ORDER BY seq DESC LIMIT 1) AS last,
         coalesce((SELECT seq FROM event WHERE event.run = run.id ORDER BY seq DESC LIMIT 1), 0) AS entries,
         coalesce((SELECT total FROM event WHERE event.run = run.id ORDER BY seq DESC LIMIT 1), 0) AS bytes,
         pid, host,
         datetime(until / 1000.0, 'unixepoch') AS leased_until
  FROM run
  WHERE name IS NOT NULL
  ORDER BY id;
CREATE VIEW events AS
  SELECT run.name AS run, event.seq, datetime(event.at / 1000.0, 'unixepoch', 'subsec') AS at, event.kind, event.body
  FROM event JOIN run ON run.id = event.run
  WHERE run.name IS NOT NULL;
