-- What accounts spent on a day, and what calls under way may still take. The row without an id is what is settled.
CREATE TABLE spend (
    account TEXT NOT NULL,
    day INTEGER NOT NULL,
    id TEXT NOT NULL,
    presence TEXT,
    nanos INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    millis INTEGER NOT NULL,
    PRIMARY KEY (account, day, id)
) STRICT, WITHOUT ROWID;
