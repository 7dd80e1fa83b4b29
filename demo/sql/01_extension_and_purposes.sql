-- The library is loaded at server start (shared_preload_libraries); the
-- extension brings the schema "purpose" into this database. Nothing changes for
-- anybody yet.
CREATE EXTENSION pg_purpose;

-- The company's privacy officer gets an account that owns no table and reads none,
-- but declares purposes and labels, and sees what pg_purpose writes down.
CREATE ROLE privacy_officer LOGIN;
\o /dev/null
SELECT purpose.appoint_officer('privacy_officer');
\o

-- Why does this shop use personal data at all? Each reason becomes a purpose with
-- its legal basis. The list is closed: nobody can query for a purpose that is
-- not on it.
\connect - privacy_officer
\o /dev/null
SELECT purpose.create_purpose('billing', basis => 'contract',
	description => 'Take your order, deliver it, invoice it and collect the payment');
SELECT purpose.create_purpose('support', basis => 'contract',
	description => 'Answer your questions and complaints');
SELECT purpose.create_purpose('marketing', basis => 'consent',
	description => 'Tell you about offers');
-- A part of marketing, which takes basis and description from it.
SELECT purpose.create_purpose('marketing.email');
SELECT purpose.create_purpose('analytics', basis => 'legitimate_interests',
	description => 'Understand how the shop is used and improve it');
SELECT purpose.create_purpose('security', basis => 'legitimate_interests',
	description => 'Detect fraud and attacks');
SELECT purpose.create_purpose('accounting', basis => 'legal_obligation',
	description => 'Keep invoices and payments as the tax code demands');
SELECT purpose.create_purpose('hr', basis => 'contract',
	description => 'Employ and pay our staff');

-- Which application may work for which of them. GRANT said who may read a table;
-- this says what for.
SELECT purpose.grant_purpose('billing', 'billing_app');
SELECT purpose.grant_purpose('accounting', 'billing_app');
SELECT purpose.grant_purpose('marketing', 'marketing_app');
SELECT purpose.grant_purpose('marketing.email', 'marketing_app');
SELECT purpose.grant_purpose('analytics', 'analytics_app');
SELECT purpose.grant_purpose('support', 'preference_centre');
\o

SELECT name, basis, description FROM purpose.purposes ORDER BY name;
