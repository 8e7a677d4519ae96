-- What was received beyond what the invoice asked for; a part of `amount_msat`. Of rows from before it is not known.
ALTER TABLE settled ADD COLUMN excess_msat bigint NOT NULL DEFAULT 0 CHECK (excess_msat >= 0);
-- How many invoices of `settled` have an excess, and its sum.
ALTER TABLE totals ADD COLUMN overpaid bigint NOT NULL DEFAULT 0 CHECK (overpaid >= 0);
ALTER TABLE totals ADD COLUMN excess_msat bigint NOT NULL DEFAULT 0 CHECK (excess_msat >= 0);
