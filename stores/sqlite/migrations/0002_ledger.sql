-- Balances. Purchases come and are used up in the order of time, so their rows stand in that order: the ones in use
-- share pages, and few pages change with a commit. Their names are random and stand in an index that only grows.
CREATE TABLE account (
    id         INTEGER NOT NULL PRIMARY KEY,
    key        BLOB    NOT NULL CHECK (length(key) = 32),
    -- A purchase has a token and a service, a delegated budget has the id of its purchase.
    token_id   BLOB    CHECK (length(token_id) = 32),
    service    TEXT,
    purchase   INTEGER,
    credited   INTEGER NOT NULL CHECK (credited >= 0),
    debited    INTEGER NOT NULL CHECK (debited >= 0),
    balance    INTEGER NOT NULL CHECK (balance >= 0),
    reserved   INTEGER NOT NULL CHECK (reserved >= 0),
    owed       INTEGER NOT NULL CHECK (owed >= 0),
    is_revoked INTEGER NOT NULL CHECK (is_revoked IN (0, 1)),
    CHECK (credited = debited + balance + reserved + owed),
    CHECK ((token_id IS NULL) = (service IS NULL) AND (token_id IS NULL) <> (purchase IS NULL))
) STRICT;
CREATE UNIQUE INDEX account_by_key ON account (key);
CREATE INDEX account_by_token ON account (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX account_by_purchase ON account (purchase) WHERE purchase IS NOT NULL;

-- Reservations that are open. Their ids grow with time, so they come at one end and go at the other.
CREATE TABLE reservation (
    id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- The id of the purchase, and those of its delegated budgets as a JSON list, if there are any.
    account  INTEGER NOT NULL,
    caps     TEXT,
    units    INTEGER NOT NULL CHECK (units >= 0),
    deadline INTEGER NOT NULL CHECK (deadline >= 0),
    claim    BLOB    CHECK (length(claim) = 32)
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_by_deadline ON reservation (deadline);

-- What changed for good, only ever added to.
CREATE TABLE journal (
    line        INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL CHECK (at >= 0),
    -- 1 credited, 2 delegated budget opened, 3 settled, 4 released, 5 expired, 6 revoked
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 6),
    -- As in `reservation`; of kind 2, `caps` is the budget that was opened.
    account     INTEGER NOT NULL,
    caps        TEXT,
    -- The name of the account that the line opens: the journal can be read without the accounts.
    opened      BLOB    CHECK (length(opened) = 32),
    reservation BLOB    CHECK (length(reservation) = 16),
    claim       BLOB    CHECK (length(claim) = 32),
    credited    INTEGER NOT NULL CHECK (credited >= 0),
    reserved    INTEGER NOT NULL CHECK (reserved >= 0),
    charged     INTEGER NOT NULL CHECK (charged >= 0),
    overrun     INTEGER NOT NULL CHECK (overrun >= 0),
    owed        INTEGER NOT NULL CHECK (owed >= 0),
    CHECK ((opened IS NOT NULL) = (kind IN (1, 2)) AND (reservation IS NOT NULL) = (kind IN (3, 4, 5)))
) STRICT;
-- A reservation ends once, and is found again afterwards.
CREATE UNIQUE INDEX journal_by_reservation ON journal (reservation) WHERE reservation IS NOT NULL;

-- Revoked tokens; `mark` grows, so that what is new can be asked for.
CREATE TABLE revoked (
    mark     INTEGER NOT NULL PRIMARY KEY,
    token_id BLOB    NOT NULL UNIQUE CHECK (length(token_id) = 32),
    at       INTEGER NOT NULL CHECK (at >= 0)
) STRICT;

-- Requests with an `Idempotency-Key`, and the answers that are kept for them.
CREATE TABLE claim (
    id          INTEGER NOT NULL PRIMARY KEY,
    key         BLOB    NOT NULL CHECK (length(key) = 32),
    reservation BLOB    NOT NULL CHECK (length(reservation) = 16),
    request     BLOB    NOT NULL CHECK (length(request) = 32),
    expires_at  INTEGER NOT NULL CHECK (expires_at >= 0),
    is_answered INTEGER NOT NULL CHECK (is_answered IN (0, 1)),
    answer      BLOB
) STRICT;
CREATE UNIQUE INDEX claim_by_key ON claim (key);
CREATE INDEX claim_by_expiry ON claim (expires_at) WHERE is_answered = 1;
