-- A newsletter run has its query prepared, its session open.
\connect - marketing_app
PREPARE recipient AS SELECT id, full_name, email FROM newsletter_audience WHERE id = 42;
EXECUTE recipient;

-- Meanwhile, in another session, customer 42 clicks "unsubscribe".
\! psql -X -U preference_centre -c "SELECT purpose.withdraw_consent('customers', 42, 'marketing')"
-- The next statement of the first session knows.
EXECUTE recipient;

-- The history keeps what happened when, for whoever has to prove it.
\connect - privacy_officer
SELECT purpose, state, at::date, evidence FROM purpose.consent_history
WHERE subject_table = 'customers'::regclass AND subject = '42' ORDER BY at;
