-- Dates of birth need not lie in clear in files, backups and WAL. One CALL seals
-- the column, while applications work; it is a privacy officer's.
\connect - privacy_officer
CALL purpose.seal_column('customers', 'birth_date', 'for analytics never marketing');
SELECT relation, "column", phase FROM purpose.seal_progress;

-- It opens for its purpose ...
\connect - analytics_app
SELECT id, birth_date::date FROM customers WHERE id BETWEEN 43 AND 53 AND birth_date IS NOT NULL ORDER BY id;

-- ... and for nobody who declares none, not even a superuser.
\connect - postgres
SELECT id, birth_date::date FROM customers WHERE id BETWEEN 43 AND 53 AND birth_date IS NOT NULL ORDER BY id;

-- Customer 43 wants to be forgotten. The keys are destroyed: backups, the WAL and
-- dead rows hold envelopes that open for nobody any more.
\connect - privacy_officer
\o /dev/null
SELECT purpose.shred('customers', 43);
\o
SELECT kind, "groups", subject_hash IS NOT NULL AS "has hash" FROM purpose.shred_receipts;

-- Everybody else's values open as before.
\connect - analytics_app
SELECT id, birth_date::date FROM customers WHERE id BETWEEN 43 AND 53 AND birth_date IS NOT NULL ORDER BY id;
