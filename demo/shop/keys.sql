-- Keys, foreign keys and indexes of the shop, once the rows are there.

ALTER TABLE products		ADD PRIMARY KEY (id), ADD UNIQUE (sku);
ALTER TABLE campaigns		ADD PRIMARY KEY (id);
ALTER TABLE staff			ADD PRIMARY KEY (username);
ALTER TABLE customers		ADD PRIMARY KEY (id), ADD UNIQUE (email);
ALTER TABLE addresses		ADD PRIMARY KEY (id);
ALTER TABLE orders			ADD PRIMARY KEY (id, placed_at);
ALTER TABLE order_items		ADD PRIMARY KEY (order_id, placed_at, line);
ALTER TABLE payments		ADD PRIMARY KEY (id);
ALTER TABLE devices			ADD PRIMARY KEY (id);
ALTER TABLE events			ADD PRIMARY KEY (id);
ALTER TABLE support_tickets ADD PRIMARY KEY (id);
ALTER TABLE ticket_messages ADD PRIMARY KEY (id);
ALTER TABLE newsletter_signups ADD PRIMARY KEY (customer_id);
ALTER TABLE newsletter_clicks ADD PRIMARY KEY (id);

CREATE INDEX ON customers (country);
CREATE INDEX ON addresses (customer_id);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON payments (order_id, placed_at);
CREATE INDEX ON devices (customer_id);
CREATE INDEX ON events (device_id);
CREATE INDEX ON events (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX ON events USING brin (at);
CREATE INDEX ON support_tickets (customer_id);
CREATE INDEX ON support_tickets (assigned_to);
CREATE INDEX ON ticket_messages (ticket_id);
CREATE INDEX ON newsletter_clicks (customer_id);
CREATE INDEX ON newsletter_clicks (campaign_id);

ALTER TABLE addresses		ADD FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE;
ALTER TABLE orders			ADD FOREIGN KEY (customer_id) REFERENCES customers,
							ADD FOREIGN KEY (ship_to) REFERENCES addresses;
ALTER TABLE order_items		ADD FOREIGN KEY (order_id, placed_at) REFERENCES orders ON DELETE CASCADE,
							ADD FOREIGN KEY (product_id) REFERENCES products;
ALTER TABLE payments		ADD FOREIGN KEY (order_id, placed_at) REFERENCES orders;
ALTER TABLE devices			ADD FOREIGN KEY (customer_id) REFERENCES customers ON DELETE SET NULL;
ALTER TABLE events			ADD FOREIGN KEY (device_id) REFERENCES devices;
ALTER TABLE support_tickets ADD FOREIGN KEY (customer_id) REFERENCES customers,
							ADD FOREIGN KEY (assigned_to) REFERENCES staff;
ALTER TABLE ticket_messages ADD FOREIGN KEY (ticket_id) REFERENCES support_tickets ON DELETE CASCADE;
ALTER TABLE newsletter_signups ADD FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE;
ALTER TABLE newsletter_clicks ADD FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE,
							ADD FOREIGN KEY (campaign_id) REFERENCES campaigns;

ANALYZE;
