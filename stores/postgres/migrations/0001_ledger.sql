-- What purchases and delegated budgets have. A row keeps its key and its owner for good; only sums change, none of them
-- indexed, so that an update stays within its page.
CREATE TABLE accounts (
    key        bytea   NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    token_id   bytea   CHECK (length(token_id) = 32),
    service    text,
    -- The purchase of a delegated budget; purchases have a token and a service instead.
    parent     bytea   CHECK (length(parent) = 32),
    credited   bigint  NOT NULL CHECK (credited >= 0),
    debited    bigint  NOT NULL CHECK (debited >= 0),
    balance    bigint  NOT NULL CHECK (balance >= 0),
    reserved   bigint  NOT NULL CHECK (reserved >= 0),
    owed       bigint  NOT NULL CHECK (owed >= 0),
    is_revoked boolean NOT NULL,
    CONSTRAINT account_has_one_owner
        CHECK ((parent IS NULL) = (token_id IS NOT NULL) AND (token_id IS NULL) = (service IS NULL)),
    CONSTRAINT account_is_balanced CHECK (credited = debited + balance + reserved + owed)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX accounts_parent ON accounts (parent) WHERE parent IS NOT NULL;

-- What is known of a token: its account, or that it is revoked, or both. A purchase that is booked and a revocation of
-- the same token insert the same key here, so that one of two that happen at once sees the other.
CREATE TABLE tokens (
    token_id   bytea  NOT NULL PRIMARY KEY CHECK (length(token_id) = 32),
    account    bytea  CHECK (length(account) = 32),
    revoked_at bigint CHECK (revoked_at >= 0),
    -- Grows in the order in which revocations become visible.
    mark       bigint UNIQUE CHECK (mark > 0),
    CONSTRAINT token_says_something CHECK (account IS NOT NULL OR revoked_at IS NOT NULL),
    CONSTRAINT revocation_has_a_mark CHECK ((revoked_at IS NULL) = (mark IS NULL))
);
CREATE SEQUENCE revocation_marks;

-- Units set aside for requests under way.
CREATE TABLE reservations (
    id       bytea  NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- The keys of all accounts it draws on, one after the other, the purchase first.
    accounts bytea  NOT NULL CHECK (length(accounts) > 0 AND length(accounts) % 32 = 0),
    claim    bytea  CHECK (length(claim) = 32),
    units    bigint NOT NULL CHECK (units >= 0),
    deadline bigint NOT NULL CHECK (deadline >= 0)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX reservations_deadline ON reservations (deadline, id);

-- What changed for good, and how each reservation ended.
CREATE TABLE journal (
    line        bigint   NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          bigint   NOT NULL CHECK (at >= 0),
    -- 1 credited, 2 budget opened, 3 settled, 4 released, 5 expired, 6 revoked
    kind        smallint NOT NULL CHECK (kind BETWEEN 1 AND 6),
    -- The account of the purchase; of a reservation that ended, all its accounts as in `reservations`.
    accounts    bytea    NOT NULL CHECK (length(accounts) > 0 AND length(accounts) % 32 = 0),
    credited    bigint   NOT NULL CHECK (credited >= 0),
    reserved    bigint   NOT NULL CHECK (reserved >= 0),
    charged     bigint   NOT NULL CHECK (charged >= 0 AND charged <= reserved),
    overrun     bigint   NOT NULL CHECK (overrun >= 0),
    owed        bigint   NOT NULL CHECK (owed >= 0),
    reservation bytea    CHECK (length(reservation) = 16),
    claim       bytea    CHECK (length(claim) = 32),
    cap         bytea    CHECK (length(cap) = 32),
    CONSTRAINT line_names_what_it_tells_of
        CHECK ((reservation IS NOT NULL) = (kind BETWEEN 3 AND 5) AND (cap IS NOT NULL) = (kind = 2))
);
-- A reservation ends once.
CREATE UNIQUE INDEX journal_reservation ON journal (reservation) WHERE reservation IS NOT NULL;

-- Requests with an `Idempotency-Key`.
CREATE TABLE claims (
    key         bytea   NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    reservation bytea   NOT NULL CHECK (length(reservation) = 16),
    request     bytea   NOT NULL CHECK (length(request) = 32),
    expires_at  bigint  NOT NULL CHECK (expires_at >= 0),
    is_answered boolean NOT NULL,
    -- Absent where the answer was too large to keep.
    answer      bytea   CHECK (answer IS NULL OR is_answered)
);
CREATE INDEX claims_expiry ON claims (expires_at) WHERE is_answered;

-- What was settled, each invoice once.
CREATE TABLE settled (
    payment_hash bytea  NOT NULL PRIMARY KEY CHECK (length(payment_hash) = 32),
    amount_msat  bigint NOT NULL CHECK (amount_msat >= 0),
    settled_at   bigint NOT NULL CHECK (settled_at >= 0)
);

-- How far each node's feed of settlements was followed.
CREATE TABLE feed (
    name   text   NOT NULL PRIMARY KEY,
    cursor bigint NOT NULL CHECK (cursor >= 0)
);

-- The sum of `settled`, kept with it, so that nobody has to count.
CREATE TABLE totals (
    id          smallint NOT NULL PRIMARY KEY CHECK (id = 1),
    count       bigint   NOT NULL CHECK (count >= 0),
    amount_msat bigint   NOT NULL CHECK (amount_msat >= 0)
);
INSERT INTO totals (id, count, amount_msat) VALUES (1, 0, 0);
