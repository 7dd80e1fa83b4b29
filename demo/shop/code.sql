-- What has grown around the tables: views, materialised views, functions, grants.

SET ROLE shop_owner;

CREATE VIEW customer_overview AS
	SELECT c.id, c.full_name, c.email, c.phone, c.country, c.tier, c.last_seen_at,
		   count(o.id) AS orders, coalesce(sum(o.total), 0) AS revenue
	FROM customers c
	LEFT JOIN orders o ON o.customer_id = c.id
	GROUP BY c.id;

CREATE VIEW newsletter_audience AS
	SELECT c.id, c.email, c.full_name, c.tier, s.form, s.confirmed_at
	FROM customers c
	JOIN newsletter_signups s ON s.customer_id = c.id
	WHERE s.unsubscribed_at IS NULL;

CREATE VIEW open_orders AS
	SELECT o.id, o.placed_at, o.status, o.total,
		   coalesce(c.full_name, 'guest') AS recipient, coalesce(c.email, o.guest_email) AS email,
		   a.street, a.postcode, a.city
	FROM orders o
	LEFT JOIN customers c ON c.id = o.customer_id
	LEFT JOIN addresses a ON a.id = o.ship_to
	WHERE o.status IN ('open', 'paid') AND o.placed_at >= '2025-11-01';

CREATE VIEW sales_by_month AS
	SELECT date_trunc('month', placed_at)::date AS month, count(*) AS orders, sum(total) AS revenue
	FROM orders
	GROUP BY 1;

-- Nothing in it about anybody.
CREATE MATERIALIZED VIEW product_sales AS
	SELECT p.id, p.name, p.category, sum(i.quantity) AS sold, sum(i.quantity * i.unit_price) AS revenue
	FROM order_items i
	JOIN products p ON p.id = i.product_id
	GROUP BY p.id, p.name, p.category;

-- A copy of names and addresses, made for a report and never looked at again.
CREATE MATERIALIZED VIEW customer_value AS
	SELECT c.id, c.email, c.full_name, sum(o.total) AS revenue, max(o.placed_at) AS last_order
	FROM customers c
	JOIN orders o ON o.customer_id = c.id
	WHERE o.placed_at >= '2025-01-01'
	GROUP BY c.id;
CREATE UNIQUE INDEX ON customer_value (id);

GRANT SELECT ON ALL TABLES IN SCHEMA public TO shop_readers;
GRANT INSERT, UPDATE ON customers, addresses, orders, order_items, payments TO billing_app;
GRANT INSERT, UPDATE, DELETE ON newsletter_signups, campaigns, newsletter_clicks TO marketing_app;

RESET ROLE;

-- Written by a database administrator in a hurry, so it runs with the rights
-- of a superuser, and everybody may call it.
CREATE FUNCTION find_customer(address text) RETURNS TABLE (id bigint, full_name text, phone text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
AS $$ SELECT c.id, c.full_name, c.phone FROM customers c WHERE email = lower(address) $$;

ANALYZE product_sales;
ANALYZE customer_value;
