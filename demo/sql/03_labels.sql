-- What may each column be used for? "for" allows, "never" prohibits, "category"
-- and "source" are for the records. While its table is observed, a label is only
-- observed too; on a table that is not protected it holds at once.
-- PostgreSQL's own command, as the DBA gives it:
SECURITY LABEL FOR purpose ON COLUMN customers.email IS 'for billing, support, marketing category user.contact.email source subject';
SECURITY LABEL FOR purpose ON COLUMN customers.full_name IS 'for billing, support, marketing category user.name source subject';
SECURITY LABEL FOR purpose ON COLUMN customers.phone IS 'for billing, support never marketing category user.contact.phone_number source subject';
SECURITY LABEL FOR purpose ON COLUMN customers.birth_date IS 'for analytics never marketing category user.demographic.date_of_birth source subject';

-- And as a function, which also refuses a misspelt purpose; it is the form for
-- the privacy officer, who owns no table.
\connect - privacy_officer
\o /dev/null
SELECT purpose.label_column('addresses', 'street', 'for billing, support category user.contact.address.street');
SELECT purpose.label_column('addresses', 'postcode', 'for billing, support, analytics category user.contact.address.postal_code');
SELECT purpose.label_column('addresses', 'city', 'for billing, support, analytics category user.contact.address.city');
SELECT purpose.label_column('orders', 'guest_email', 'for billing category user.contact.email');
SELECT purpose.label_column('payments', 'payer_name', 'for billing, accounting, security never marketing category user.name');
SELECT purpose.label_column('payments', 'card_last4', 'for billing, security never marketing category user.payment');
SELECT purpose.label_column('devices', 'push_token', 'for marketing category user.device');
SELECT purpose.label_column('events', 'device_id', 'for analytics, security category user.device');
SELECT purpose.label_column('events', 'ip', 'for security category user.device.ip_address');
SELECT purpose.label_column('support_tickets', 'subject', 'for support category user.content');
SELECT purpose.label_column('ticket_messages', 'body', 'for support category user.content');
SELECT purpose.label_column('newsletter_clicks', 'url', 'for marketing category user.behavior');
SELECT purpose.label_column('staff', 'email', 'for hr, support category user.contact.email');
SELECT purpose.label_column('staff', 'full_name', 'for hr, support category user.name');
SELECT purpose.label_column('staff', 'salary', 'for hr category user.workplace');
SELECT purpose.label_column('staff', 'bank_account', 'for hr category user.financial');
\o

-- PostgreSQL itself keeps the labels, so pg_dump, RENAME and DROP know them.
SELECT relation, "column", allowed, prohibited, category FROM purpose.labels
WHERE relation IN ('customers'::regclass, 'events'::regclass) ORDER BY 1, 2;
