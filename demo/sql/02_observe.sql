-- Whose data is in each table? customers and staff are the people themselves;
-- the other tables say whose row it is by a foreign key, by a column that has
-- none, or by way of another table. In mode "observe" nothing is refused:
-- what enforcement would refuse is only written down.
\o /dev/null
SELECT purpose.protect('customers', subject => 'id', mode => 'observe');
SELECT purpose.protect('staff', subject => 'username', mode => 'observe');
SELECT purpose.protect('addresses', subject => 'customer_id', mode => 'observe');
SELECT purpose.protect('orders', subject => 'customer_id', mode => 'observe');
SELECT purpose.protect('order_items', via => 'order_id', mode => 'observe');
SELECT purpose.protect('payments', via => 'order_id', mode => 'observe');
SELECT purpose.protect('devices', subject => 'customer_id', mode => 'observe');
SELECT purpose.protect('events', subject => 'customer_id', of => 'customers', mode => 'observe');
SELECT purpose.protect('support_tickets', subject => 'customer_id', mode => 'observe');
SELECT purpose.protect('ticket_messages', via => 'ticket_id', mode => 'observe');
SELECT purpose.protect('newsletter_signups', subject => 'customer_id', mode => 'observe');
SELECT purpose.protect('newsletter_clicks', subject => 'customer_id', mode => 'observe');
\o

SELECT relation, mode, kind, key_columns, leads_to, subject_table
FROM purpose.protected_tables;
