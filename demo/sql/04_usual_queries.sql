-- Billing prints this evening's parcels and looks for the payments of one customer.
\connect - billing_app
SELECT recipient, street, postcode, city, total FROM open_orders ORDER BY placed_at DESC LIMIT 3;
SELECT p.paid_at::date, p.method, p.payer_name, p.card_last4, p.amount
FROM payments p JOIN orders o ON (o.id, o.placed_at) = (p.order_id, p.placed_at)
WHERE o.customer_id = 42 ORDER BY p.paid_at DESC LIMIT 3;

-- Marketing writes to its audience, and somebody once added the telephone numbers.
\connect - marketing_app
SELECT count(*) AS audience FROM newsletter_audience;
SELECT full_name, email, phone FROM customers WHERE tier = 'gold' AND country = 'AT' ORDER BY id LIMIT 3;

-- Analytics counts visits, and somebody once added the IP addresses.
\connect - analytics_app
SELECT kind, count(*), count(DISTINCT device_id) AS devices, count(DISTINCT ip) AS addresses
FROM events WHERE at >= '2025-12-01' GROUP BY kind ORDER BY 2 DESC;
SELECT round(avg(salary)) AS "average salary of the staff" FROM staff;
