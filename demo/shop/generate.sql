-- The shop's data, computed and not random: every value is a hash of its row
-- number, so two runs of one scale give the same rows on any machine.
-- E-mail domains, telephone numbers and network addresses are those reserved
-- for examples and fiction; the people are combinations of common names.
--
-- Each table has a procedure gen.<table>(lo, hi) that writes rows lo to hi;
-- gen.load() calls it in portions, commits each and reports how far it is.

CREATE SCHEMA gen;
SET search_path = gen, public;
SET timezone = 'UTC';

-- How many rows each table gets; everything follows from the scale.
CREATE TABLE size (ord int PRIMARY KEY, name text UNIQUE, rows bigint);
INSERT INTO size
SELECT ord, name, greatest(least, (full_size * :scale)::bigint)
FROM (VALUES
	( 1, 'products',			  2000,	200),
	( 2, 'staff',				   200,	 20),
	( 3, 'campaigns',				60,	 60),
	( 4, 'customers',			100000,	200),
	( 5, 'addresses',			130000,	260),
	( 6, 'newsletter_signups',	 60000,	120),
	( 7, 'orders',			   1000000,	500),
	( 8, 'order_items',		   1000000,	500),	-- counted in orders: three lines each
	( 9, 'payments',			300000,	 50),
	(10, 'devices',				150000,	150),
	(11, 'events',			   2000000,	500),
	(12, 'support_tickets',		 40000,	 40),
	(13, 'ticket_messages',		120000,	120),
	(14, 'newsletter_clicks',	300000,	100)
) AS t(ord, name, full_size, least);

SELECT max(rows) FILTER (WHERE name = 'products')	AS products,
	   max(rows) FILTER (WHERE name = 'staff')		AS staff,
	   max(rows) FILTER (WHERE name = 'customers')	AS customers,
	   max(rows) FILTER (WHERE name = 'newsletter_signups') AS signups,
	   max(rows) FILTER (WHERE name = 'orders')		AS orders,
	   max(rows) FILTER (WHERE name = 'payments')	AS payments,
	   max(rows) FILTER (WHERE name = 'devices')	AS devices,
	   max(rows) FILTER (WHERE name = 'events')		AS events,
	   max(rows) FILTER (WHERE name = 'support_tickets') AS tickets
FROM size \gset

-- Moments are counted in seconds since 1970, which knows no time zone. "Today"
-- is one day for every run; the web shop opened three years earlier, the
-- company four years before that.
CREATE FUNCTION today() RETURNS float8 IMMUTABLE RETURN 1767225600;		-- 2026-01-01
CREATE FUNCTION opening() RETURNS float8 IMMUTABLE RETURN 1672531200;	-- 2023-01-01
CREATE FUNCTION founding() RETURNS float8 IMMUTABLE RETURN 1546300800;	-- 2019-01-01
CREATE FUNCTION days(d float8) RETURNS float8 IMMUTABLE RETURN d * 86400;
CREATE FUNCTION moment(s float8) RETURNS timestamptz IMMUTABLE RETURN to_timestamp(floor(s));

-- By row number and salt: a number in [0, 1), one in 0..n-1, one of a list.
CREATE FUNCTION bits(i bigint, salt bigint) RETURNS bigint IMMUTABLE
	RETURN hashint8extended(i, salt) & 1125899906842623;
CREATE FUNCTION u(i bigint, salt bigint) RETURNS float8 IMMUTABLE
	RETURN bits(i, salt)::float8 / 1125899906842624;
CREATE FUNCTION n(i bigint, salt bigint, n int) RETURNS int IMMUTABLE
	RETURN (bits(i, salt) % n)::int;
CREATE FUNCTION one(words text[], i bigint, salt bigint) RETURNS text IMMUTABLE
	RETURN words[1 + bits(i, salt) % cardinality(words)];

CREATE FUNCTION first_name(i bigint) RETURNS text IMMUTABLE
	RETURN one('{Aisha,Amara,Anna,Anton,Bela,Björn,Carla,Chiara,Chen,Clara,Daniel,David,Elena,Elif,Emil,Emma,Erik,Eva,Farid,Fatima,Felix,Finn,Freya,Greta,Hana,Hugo,Ida,Ines,Ivan,Jan,Jana,Jonas,Julia,Kaito,Karl,Katja,Kofi,Lars,Laura,Lea,Leila,Leo,Lena,Lina,Luca,Lucia,Maja,Marek,Maria,Mateo,Mehmet,Mia,Mila,Nadia,Nina,Noah,Nora,Olga,Omar,Oskar,Paul,Pia,Priya,Rosa,Sami,Sara,Sofia,Stefan,Tariq,Theo,Tom,Vera,Yara,Yusuf,Zoe}', i, 101);
CREATE FUNCTION last_name(i bigint) RETURNS text IMMUTABLE
	RETURN one('{Adler,Ahmed,Andersson,Bauer,Becker,Berg,Bianchi,Blanc,Brandt,Brown,Carter,Castro,Costa,Dahl,Demir,Diallo,Dubois,Eriksen,Esposito,Fischer,Fontaine,Garcia,Gruber,Haas,Hansen,Hoffmann,Horvat,Ivanova,Jansen,Jensen,Kaya,Keller,Khan,Klein,Koch,Kowalski,Kumar,Lang,Laurent,Lehmann,Lindberg,Lopez,Marino,Martin,Mensah,Meyer,Moreau,Moretti,Murphy,Nakamura,Nielsen,Novak,Okafor,Olsen,Patel,Peeters,Petrov,Ricci,Romano,Rossi,Santos,Schmidt,Silva,Singh,Smit,Sorensen,Suzuki,Tanaka,Toth,Vargas,Virtanen,Visser,Vogel,Weber,Wolf,Yilmaz,Zimmermann}', i, 102);
CREATE FUNCTION full_name(i bigint) RETURNS text IMMUTABLE
	RETURN first_name(i) || ' ' || last_name(i);
CREATE FUNCTION mailbox(i bigint) RETURNS text IMMUTABLE
	RETURN translate(lower(first_name(i) || '.' || last_name(i)), 'ö', 'o') || i::text
		|| one('{@mail.example,@post.example,@inbox.example}', i, 103);
CREATE FUNCTION city(i bigint) RETURNS text IMMUTABLE
	RETURN one('{Berlin,Hamburg,Munich,Cologne,Leipzig,Vienna,Graz,Zurich,Basel,Lyon,Paris,Nantes,Milan,Turin,Ghent,Antwerp,Utrecht,Rotterdam,Aarhus,Malmo,Tampere,Krakow,Brno,Porto,Valencia}', i, 104);

-- Customers came evenly over the years.
CREATE FUNCTION customer_since(i bigint) RETURNS float8 IMMUTABLE
	RETURN founding() + (today() - founding()) * ((i - 0.5) / :customers);
-- Any of the customers known at a moment.
CREATE FUNCTION anyone(i bigint, salt bigint, at float8) RETURNS bigint IMMUTABLE
	RETURN 1 + floor(u(i, salt) * (:customers - 1) * (at - founding()) / (today() - founding()))::bigint;

-- Orders are numbered as they came, more of them every month.
CREATE FUNCTION placed_at(o bigint) RETURNS float8 IMMUTABLE
	RETURN floor(opening() + (today() - opening()) * power((o - 0.5) / :orders, 0.7::float8));
-- One to five lines an order: each count once in every five orders.
CREATE FUNCTION lines(o bigint) RETURNS int IMMUTABLE
	RETURN 1 + ((o + n((o - 1) / 5, 301, 5)) % 5)::int;
CREATE FUNCTION item_product(o bigint, line int) RETURNS int IMMUTABLE
	RETURN 1 + floor(:products * u(o * 8 + line, 302) ^ 2)::int;
CREATE FUNCTION item_quantity(o bigint, line int) RETURNS int IMMUTABLE
	RETURN 1 + n(o * 8 + line, 303, 10) / 7;
CREATE FUNCTION price(p bigint) RETURNS numeric IMMUTABLE
	RETURN (3 + n(p, 304, 90))::numeric + 0.95;
CREATE FUNCTION device_id(d bigint) RETURNS uuid IMMUTABLE
	RETURN md5('device ' || d::text)::uuid;
CREATE FUNCTION device_owner(d bigint) RETURNS bigint IMMUTABLE
	RETURN CASE WHEN u(d, 401) < 0.6 THEN 1 + n(d, 402, :customers) END;

CREATE PROCEDURE products(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.products
	SELECT i, 'SKU-' || lpad(i::text, 6, '0'),
		   one('{Oak,Linen,Copper,Felt,Glass,Bamboo,Steel,Cotton,Walnut,Clay}', i, 501) || ' '
		   || one('{lamp,chair,shelf,vase,blanket,kettle,desk,basket,mirror,rug,bowl,clock}', i, 502),
		   one('{living,kitchen,bath,office,garden,kids}', i, 503), price(i)
	FROM generate_series(lo, hi) i;
END;

CREATE PROCEDURE staff(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.staff
	SELECT 'staff' || lpad(i::text, 3, '0'), full_name(i + 900000000),
		   'staff' || lpad(i::text, 3, '0') || '@shop.example',
		   one('{support,support,warehouse,marketing,finance,engineering}', i, 511),
		   2400 + 50 * n(i, 512, 80), 'XX00 ' || lpad(n(i, 513, 100000000)::text, 8, '0')
	FROM generate_series(lo, hi) i;
END;

CREATE PROCEDURE campaigns(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.campaigns
	SELECT i, one('{Spring,Summer,Autumn,Winter,Garden,Kitchen,Weekend,Members}', i, 521) || ' offers no. ' || i,
		   date '2023-01-01' + (i * 18)::int
	FROM generate_series(lo, hi) i;
END;

-- One customer in ten is a regular, a quarter has not been seen for two years.
CREATE PROCEDURE customers(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.customers
	SELECT i, mailbox(i), full_name(i),
		   CASE WHEN u(i, 531) < 0.8 THEN '+44 7700 900' || lpad(n(i, 532, 1000)::text, 3, '0') END,
		   CASE WHEN u(i, 533) < 0.7 THEN date '1945-01-01' + n(i, 534, 22000) END,
		   one('{DE,DE,DE,AT,CH,FR,IT,BE,NL,DK,SE,FI,PL,CZ,PT,ES}', i, 535),
		   CASE WHEN i % 10 = 0 THEN 'gold' WHEN u(i, 536) < 0.25 THEN 'silver' ELSE 'basic' END,
		   moment(customer_since(i)),
		   moment(CASE WHEN i % 4 = 3 THEN least(today() - days(730), customer_since(i) + days(90))
					   ELSE greatest(customer_since(i), today() - days(365) * u(i, 537) ^ 2) END)
	FROM generate_series(lo, hi) i;
END;

-- Everybody has one address, three in ten a second one.
CREATE PROCEDURE addresses(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.addresses
	SELECT i, CASE WHEN i <= :customers THEN i ELSE 1 + (i - :customers - 1) * 10 / 3 END,
		   CASE WHEN i <= :customers THEN 'home' ELSE 'work' END,
		   one('{Garden,Station,Mill,Church,School,River,Park,Hill,Market,Bridge,Linden,Harbour}', i, 541) || ' '
		   || one('{Street,Road,Lane,Square}', i, 542) || ' ' || 1 + n(i, 543, 150),
		   lpad((10000 + n(i, 544, 89999))::text, 5, '0'), city(i)
	FROM generate_series(lo, hi) i;
END;

-- Three customers in five once asked for the newsletter; one in six of those
-- has unsubscribed since.
CREATE PROCEDURE newsletter_signups(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.newsletter_signups
	SELECT c, one('{signup-v1,signup-v2,signup-v3,checkout-v2,in-store}', c, 551), moment(since),
		   CASE WHEN c % 100 <> 42 AND u(c, 552) < 0.17 THEN moment(since + (today() - since) * u(c, 553)) END
	FROM (SELECT 1 + (i - 1) * 5 / 3 AS c FROM generate_series(lo, hi) i) x,
		 LATERAL (SELECT customer_since(c) + (today() - customer_since(c)) * 0.2 * u(c, 554) OFFSET 0) s(since);
END;

-- One order in eight is a guest's. Half of the others are those of the regulars,
-- and who sleeps orders nothing.
CREATE PROCEDURE orders(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.orders
	SELECT i, moment(at), customer,
		   CASE WHEN customer IS NULL THEN mailbox(i + 500000000) END, customer,
		   CASE WHEN i > :orders * 0.99 THEN one('{open,open,paid,shipped}', i, 561)
				WHEN u(i, 562) < 0.04 THEN 'returned' ELSE 'completed' END,
		   (SELECT sum(item_quantity(i, line) * price(item_product(i, line)))
			FROM generate_series(1, lines) line)
	FROM (SELECT i, at, lines(i) AS lines,
				 CASE WHEN u(i, 201) < 0.125 THEN NULL
					  WHEN c > 10 AND u(i, 203) < 0.5 THEN c - c % 10
					  WHEN c % 4 = 3 AND at > today() - days(730) THEN c - 1
					  ELSE c END AS customer
		  FROM (SELECT i, at, anyone(i, 202, at) AS c
				FROM (SELECT i, placed_at(i) AS at FROM generate_series(lo, hi) i OFFSET 0) a
				OFFSET 0) b
		  OFFSET 0) o;
END;

CREATE PROCEDURE order_items(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.order_items
	SELECT i, moment(at), line, product, item_quantity(i, line), price(product)
	FROM (SELECT i, placed_at(i) AS at, lines(i) AS lines FROM generate_series(lo, hi) i OFFSET 0) o,
		 generate_series(1, lines) line,
		 LATERAL (SELECT item_product(i, line) OFFSET 0) p(product);
END;

-- Of the most recent orders; older payments are in the archive. Who pays by
-- wallet is known there by an e-mail address, which nobody thought of.
CREATE PROCEDURE payments(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.payments
	SELECT i, o.id, o.placed_at, one('{card,card,transfer,wallet,wallet}', i, 571),
		   full_name(coalesce(o.customer_id, o.id + 500000000)),
		   CASE WHEN n(i, 571, 5) < 2 THEN lpad(n(i, 572, 10000)::text, 4, '0') END,
		   CASE WHEN n(i, 571, 5) > 2 THEN 'wallet ' || mailbox(coalesce(o.customer_id, o.id + 500000000))
				ELSE 'order ' || o.id END,
		   o.total,
		   o.placed_at + make_interval(secs => 60 + n(i, 573, 600))
	FROM generate_series(lo, hi) i
	JOIN public.orders o ON o.id = :orders - :payments + i
	WHERE o.placed_at >= moment(placed_at(:orders - :payments + lo));
END;

-- Six devices in ten belong to a customer who has signed in on them.
CREATE PROCEDURE devices(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.devices
	SELECT device_id(i), device_owner(i), one('{web,web,ios,android,android}', i, 581),
		   CASE WHEN u(i, 582) < 0.4 THEN 'push-' || md5('push ' || i::text) END,
		   moment(greatest(opening(), customer_since(coalesce(device_owner(i), 1 + i % :customers))))
	FROM generate_series(lo, hi) i;
END;

-- The last twelve months of clicks. Seven in ten on a customer's device were
-- made signed in.
CREATE PROCEDURE events(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.events
	SELECT i, moment(today() - days(365) * (1 - (i - 0.5) / :events)),
		   device_id(d), CASE WHEN customer % 4 <> 3 AND u(i, 591) < 0.7 THEN customer END,
		   one('{view,view,view,view,search,search,cart,login}', i, 592),
		   '/products/' || (1 + floor(:products * u(i, 593) ^ 2)::int)::text,
		   (one('{192.0.2.,198.51.100.,203.0.113.}', d, 594) || (1 + n(d, 595, 254))::text)::inet
	FROM (SELECT i, 1 + floor(:devices * u(i, 596) ^ 2)::bigint AS d
		  FROM generate_series(lo, hi) i OFFSET 0) e,
		 LATERAL (SELECT device_owner(d) OFFSET 0) o(customer);
END;

CREATE PROCEDURE support_tickets(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.support_tickets
	SELECT i, anyone(i, 601, at), 'staff' || lpad((1 + n(i, 602, :staff))::text, 3, '0'), moment(at),
		   one('{Parcel is late,Wrong colour,Invoice wanted,Cannot sign in,Return,Please delete my account,Question about delivery}', i, 603),
		   CASE WHEN i > :tickets * 0.98 THEN 'open' ELSE 'closed' END
	FROM generate_series(lo, hi) i,
		 LATERAL (SELECT opening() + (today() - opening()) * (i - 0.5) / :tickets OFFSET 0) t(at);
END;

-- Three messages a ticket: question, answer, thanks.
CREATE PROCEDURE ticket_messages(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.ticket_messages
	SELECT i, t.id, t.opened_at + make_interval(hours => turn * (1 + n(i, 611, 20))), turn = 1,
		   CASE turn WHEN 0 THEN 'Hello, ' || t.subject || ' - can you help? You reach me at ' || mailbox(t.customer_id)
					 WHEN 1 THEN 'Dear ' || full_name(t.customer_id) || ', we are looking into it.'
					 ELSE 'Thank you!' END
	FROM (SELECT i, ((i - 1) % 3)::int AS turn FROM generate_series(lo, hi) i) m
	JOIN public.support_tickets t ON t.id = 1 + (i - 1) / 3;
END;

-- By those who had asked for the newsletter when the campaign went out.
CREATE PROCEDURE newsletter_clicks(lo bigint, hi bigint) BEGIN ATOMIC
	INSERT INTO public.newsletter_clicks
	SELECT i, c.id, 1 + floor(u(i, 621) * :signups * (c.sent - founding()) / (today() - founding()))::bigint * 5 / 3,
		   moment(c.sent + n(i, 622, 200000)),
		   'https://shop.example/products/' || (1 + floor(:products * u(i, 623) ^ 2)::int)::text
	FROM generate_series(lo, hi) i,
		 LATERAL (SELECT k, opening() + days(18 * k)
				  FROM (SELECT 1 + n(i, 624, 60) AS k) x OFFSET 0) c(id, sent);
END;

-- Reports "progress <table> <rows so far> <rows in all> <seconds>".
CREATE PROCEDURE load(tab text)
LANGUAGE plpgsql AS $$
DECLARE
	total bigint := (SELECT rows FROM gen.size WHERE name = tab);
	portion bigint := greatest(1, least(50000, total / 10));
	per_row int := CASE WHEN tab = 'order_items' THEN 3 ELSE 1 END;
	done bigint := 0;
	started timestamptz := clock_timestamp();
BEGIN
	WHILE done < total LOOP
		EXECUTE format('CALL gen.%I($1, $2)', tab) USING done + 1, least(done + portion, total);
		done := least(done + portion, total);
		COMMIT;
		RAISE NOTICE 'progress % % % %', tab, done * per_row, total * per_row,
			extract(epoch FROM clock_timestamp() - started)::numeric(12,3);
	END LOOP;
END $$;
