-- What would have been refused, had it been enforced: no application has said
-- yet what it is working for.
SELECT relation, "column", purpose, role, reason, count
FROM purpose.observed_violations ORDER BY role, relation::text, "column" NULLS FIRST;

-- No application needs a new release for that. Its role gets a purpose.
ALTER ROLE billing_app SET purpose.current = 'billing';
ALTER ROLE marketing_app SET purpose.current = 'marketing.email';
ALTER ROLE analytics_app SET purpose.current = 'analytics';
ALTER ROLE preference_centre SET purpose.current = 'support';
