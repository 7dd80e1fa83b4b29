-- The shop as it was before pg_purpose: an ordinary schema, owned by shop_owner.
-- Keys, foreign keys and indexes come after the load, in keys.sql.

SET timezone = 'UTC';
SET ROLE shop_owner;

CREATE TABLE customers (
	id			bigint NOT NULL,
	email		text NOT NULL,
	full_name	text NOT NULL,
	phone		text,
	birth_date	date,
	country		text NOT NULL,
	tier		text NOT NULL DEFAULT 'basic',
	created_at	timestamptz NOT NULL DEFAULT now(),
	last_seen_at timestamptz
);

CREATE TABLE addresses (
	id			bigint NOT NULL,
	customer_id	bigint NOT NULL,
	kind		text NOT NULL,
	street		text NOT NULL,
	postcode	text NOT NULL,
	city		text NOT NULL
);

CREATE TABLE products (
	id			int NOT NULL,
	sku			text NOT NULL,
	name		text NOT NULL,
	category	text NOT NULL,
	price		numeric(10,2) NOT NULL
);

CREATE TABLE staff (
	username	text NOT NULL,
	full_name	text NOT NULL,
	email		text NOT NULL,
	department	text NOT NULL,
	salary		numeric(10,2) NOT NULL,
	bank_account text NOT NULL
);

-- One partition a month. A guest's order has no customer, only an address to write to.
CREATE TABLE orders (
	id			bigint NOT NULL,
	placed_at	timestamptz NOT NULL,
	customer_id	bigint,
	guest_email	text,
	ship_to		bigint,
	status		text NOT NULL,
	total		numeric(12,2) NOT NULL
) PARTITION BY RANGE (placed_at);

DO $$
BEGIN
	FOR m IN 0..35 LOOP
		EXECUTE format('CREATE TABLE %I PARTITION OF orders FOR VALUES FROM (%L) TO (%L)',
			to_char(timestamp '2023-01-01' + make_interval(months => m), '"orders_"YYYY_MM'),
			timestamp '2023-01-01' + make_interval(months => m),
			timestamp '2023-01-01' + make_interval(months => m + 1));
	END LOOP;
END $$;

CREATE TABLE order_items (
	order_id	bigint NOT NULL,
	placed_at	timestamptz NOT NULL,
	line		smallint NOT NULL,
	product_id	int NOT NULL,
	quantity	smallint NOT NULL,
	unit_price	numeric(10,2) NOT NULL
);

CREATE TABLE payments (
	id			bigint NOT NULL,
	order_id	bigint NOT NULL,
	placed_at	timestamptz NOT NULL,
	method		text NOT NULL,
	payer_name	text NOT NULL,
	card_last4	text,
	reference	text NOT NULL,
	amount		numeric(12,2) NOT NULL,
	paid_at		timestamptz NOT NULL
);

CREATE TABLE devices (
	id			uuid NOT NULL,
	customer_id	bigint,
	platform	text NOT NULL,
	push_token	text,
	first_seen_at timestamptz NOT NULL
);

-- Too big and too hot for a foreign key to customers, somebody decided once.
CREATE TABLE events (
	id			bigint NOT NULL,
	at			timestamptz NOT NULL,
	device_id	uuid NOT NULL,
	customer_id	bigint,
	kind		text NOT NULL,
	path		text NOT NULL,
	ip			inet NOT NULL
);

CREATE TABLE support_tickets (
	id			bigint NOT NULL,
	customer_id	bigint NOT NULL,
	assigned_to	text,
	opened_at	timestamptz NOT NULL,
	subject		text NOT NULL,
	status		text NOT NULL
);

CREATE TABLE ticket_messages (
	id			bigint NOT NULL,
	ticket_id	bigint NOT NULL,
	sent_at		timestamptz NOT NULL,
	from_staff	boolean NOT NULL,
	body		text NOT NULL
);

-- Who asked for the newsletter, by which form, and who has left it since.
CREATE TABLE newsletter_signups (
	customer_id	bigint NOT NULL,
	form		text NOT NULL,
	confirmed_at timestamptz NOT NULL,
	unsubscribed_at timestamptz
);

CREATE TABLE campaigns (
	id			int NOT NULL,
	title		text NOT NULL,
	sent_on		date NOT NULL
);

CREATE TABLE newsletter_clicks (
	id			bigint NOT NULL,
	campaign_id	int NOT NULL,
	customer_id	bigint NOT NULL,
	clicked_at	timestamptz NOT NULL,
	url			text NOT NULL
);
