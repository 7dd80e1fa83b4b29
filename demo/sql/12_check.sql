\pset format wrapped
\pset columns 150
-- What is still missing? The extension looks for itself: at its own declarations,
-- at names, at copies, and at a sample of the values that nobody has labelled.
SELECT severity, object, problem FROM purpose.check();

-- Each line comes with its remedy, as SQL.
SELECT object, remedy FROM purpose.check() WHERE object LIKE 'public.customer_value%' OR object LIKE 'public.payments%';

-- The officer decides: the copy of customers does not know who has consented to
-- what, so it may serve billing alone; the payments' references turn out to hold
-- e-mail addresses.
\connect - privacy_officer
\o /dev/null
SELECT purpose.label_column('customer_value', 'email', 'for billing category user.contact.email');
SELECT purpose.label_column('customer_value', 'full_name', 'for billing category user.name');
SELECT purpose.label_column('payments', 'reference', 'for billing, accounting category user.contact.email');
SELECT purpose.label_column('staff', 'username', 'for hr, support category user.name');
\o

-- And for the staff's data and for security there are people, who get accounts of
-- their own.
\connect - postgres
CREATE ROLE personnel LOGIN;
CREATE ROLE security_team LOGIN;
GRANT SELECT ON staff TO personnel;
GRANT SELECT ON events, devices, payments TO security_team;
\o /dev/null
SELECT purpose.grant_purpose('hr', 'personnel');
SELECT purpose.grant_purpose('security', 'security_team');
\o
ALTER ROLE personnel SET purpose.current = 'hr';
ALTER ROLE security_team SET purpose.current = 'security';

-- Once more.
SELECT severity, object, problem FROM purpose.check();
