-- The consents that the company has already. One by one, with the evidence:
SELECT purpose.grant_consent('customers', 42, 'marketing',
	evidence => '{"form": "signup-v3", "text": "Yes, tell me about offers"}');
SELECT purpose.grant_consent('customers', 7, 'marketing.email', expires_at => now() + interval '2 years',
	evidence => '{"form": "in-store"}');

-- The newsletter's old table, in bulk: who has unsubscribed since has withdrawn.
INSERT INTO purpose.consent_import (subject_table, subject, purpose, state, at, evidence)
SELECT 'customers', customer_id::text, 'marketing.email',
	   CASE WHEN unsubscribed_at IS NULL THEN 'given' ELSE 'withdrawn' END,
	   coalesce(unsubscribed_at, confirmed_at), jsonb_build_object('form', form)
FROM newsletter_signups WHERE customer_id NOT IN (7, 42);

-- The letters that came to customer service, by COPY. Analytics rests on the
-- company's interest, which needs no consent; but anybody may object to it.
COPY purpose.consent_import (subject_table, subject, purpose, state, at, evidence) FROM stdin (FORMAT csv);
customers,11,analytics,objected,2025-03-04 09:12+00,"{""letter"": ""2025/311""}"
customers,80,analytics,objected,2025-05-19 14:40+00,"{""letter"": ""2025/587""}"
customers,150,analytics,objected,2025-09-30 08:05+00,"{""letter"": ""2025/902""}"
\.

SELECT subject, purpose, state, at::date, evidence FROM purpose.consent_history WHERE state = 'objected';

-- All that is known now.
SELECT purpose, state, count(*) FROM purpose.consent_history GROUP BY 1, 2 ORDER BY 1, 2;

-- The web site's preference page may record what customers decide, and nothing else.
GRANT EXECUTE ON FUNCTION purpose.grant_consent(regclass, bigint, text, jsonb, timestamptz),
	purpose.withdraw_consent(regclass, bigint, text, jsonb), purpose.object_to(regclass, bigint, text, jsonb)
	TO preference_centre;
