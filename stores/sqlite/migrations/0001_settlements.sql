-- What was settled, each invoice once. Read by payment hash only, so the hash is the table's own order.
CREATE TABLE settled (
    payment_hash BLOB    NOT NULL PRIMARY KEY CHECK (length(payment_hash) = 32),
    amount_msat  INTEGER NOT NULL CHECK (amount_msat >= 0),
    settled_at   INTEGER NOT NULL CHECK (settled_at >= 0)
) STRICT, WITHOUT ROWID;

-- How far each node's feed of settlements was followed.
CREATE TABLE feed (
    name   TEXT    NOT NULL PRIMARY KEY,
    cursor INTEGER NOT NULL CHECK (cursor >= 0)
) STRICT, WITHOUT ROWID;

-- The sum of `settled`, kept with it, so that nobody has to count.
CREATE TABLE totals (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    count       INTEGER NOT NULL CHECK (count >= 0),
    amount_msat INTEGER NOT NULL CHECK (amount_msat >= 0)
) STRICT;
INSERT INTO totals (id, count, amount_msat) VALUES (1, 0, 0);
