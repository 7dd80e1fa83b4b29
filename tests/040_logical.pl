# Logical replication.  Into protected tables: the initial copy and the apply
# worker bring every row, whatever its subject said, and readers are judged.
# Out of protected tables: the initial copy is a read like any other.  From one
# database with the extension to another, consents travel, too.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $fast = "wal_retrieve_retry_interval = 100ms\nmax_logical_replication_workers = 12\nmax_worker_processes = 16";
my $pub = purpose_cluster('publisher', extension => 0, allows_streaming => 'logical', conf => 'max_prepared_transactions = 2');
my $sub = purpose_cluster('subscriber', extension => 0, allows_streaming => 'logical', conf => $fast);
my $app = 'regress_purpose_app';

# subscribe(DBNAME, NAME, PUBLICATION, FROM, [OPTIONS]): the subscription with its
# initial copy done.
sub subscribe
{
	my ($dbname, $name, $from, $options) = @_;
	my $connstr = $pub->connstr($from) . " application_name=$name";

	$sub->safe_psql($dbname, sprintf('CREATE SUBSCRIPTION %s CONNECTION $c$%s$c$ PUBLICATION %s %s', $name, $connstr,
			$name, $options // ''));
	$sub->wait_for_subscription_sync($pub, $name, $dbname);
}

# ---------------------------------------------------------------------------
# Into protected tables, from a database that has no pg_purpose
# ---------------------------------------------------------------------------
$pub->safe_psql('postgres', 'CREATE DATABASE plain');
$pub->safe_psql('plain', q{
	CREATE TABLE customers (id bigint PRIMARY KEY, name text, email text UNIQUE, phone text);
	CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers, total numeric);
	CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, what text);
	CREATE TABLE parted (id int PRIMARY KEY, customer_id bigint, secret text);
	INSERT INTO customers SELECT i, 'n' || i, 'e' || i || '@x.example', '+' || i FROM generate_series(1, 6) i;
	INSERT INTO orders SELECT 10 * i, i, i FROM generate_series(1, 6) i;
	INSERT INTO orders VALUES (99, NULL, 9);
	INSERT INTO items SELECT 10 * id, id, 'w' || id FROM orders;
	INSERT INTO parted SELECT i, i, 's' || i FROM generate_series(1, 6) i;
	CREATE PUBLICATION into_protected FOR ALL TABLES;
});
$sub->safe_psql('postgres', 'CREATE DATABASE into_protected');
$sub->safe_psql('into_protected', 'CREATE EXTENSION pg_purpose');
shop($sub, 'into_protected');
$sub->safe_psql('into_protected', q{
	TRUNCATE customers CASCADE;
	CREATE TABLE parted (id int PRIMARY KEY, customer_id bigint, secret text) PARTITION BY RANGE (id);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
	SELECT purpose.protect('parted', subject => 'customer_id', "of" => 'customers');
	SELECT purpose.label_column('parted', 'secret', 'for billing');
	GRANT SELECT ON parted TO regress_purpose_app;
});
subscribe('into_protected', 'into_protected', 'plain');
allowed($sub, { dbname => 'into_protected' },
	'SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders), (SELECT count(*) FROM items), (SELECT count(*) FROM parted)',
	'6|7|7|6', 'the initial copy brings all rows of protected tables');
shop_decisions($sub, 'into_protected', 'after the initial copy');

my $change = q{
	INSERT INTO customers SELECT i, 'n' || i, 'e' || i || '@x.example', '+' || i FROM generate_series(7, 8) i;
	INSERT INTO orders VALUES (70, 7, 7);
	INSERT INTO items VALUES (700, 70, 'w70');
	UPDATE customers SET name = 'renamed';
	UPDATE orders SET customer_id = 3 WHERE id = 20;
	DELETE FROM items WHERE id = 500;
	DELETE FROM orders WHERE id = 50;
	INSERT INTO parted VALUES (50, 2, 's50');
	UPDATE parted SET secret = secret || '!';
};
my $applied = q{SELECT (SELECT count(*) FROM customers WHERE name = 'renamed'),
	(SELECT string_agg(id || ':' || customer_id, ' ' ORDER BY id) FROM orders), (SELECT count(*) FROM items),
	(SELECT count(*) FROM parted WHERE secret LIKE '%!')};
$pub->safe_psql('plain', $change);
$pub->wait_for_catchup('into_protected');
allowed($sub, { dbname => 'into_protected' }, $applied, '8|10:1 20:3 30:3 40:4 60:6 70:7|7|7',
	'the apply worker changes rows of subjects who said no, or nothing');
allowed($sub, { user => $app, dbname => 'into_protected', purpose => 'marketing' },
	q{SELECT string_agg(id::text, ' ') FROM customers}, '1', 'readers are judged');
allowed($sub, { user => $app, dbname => 'into_protected', purpose => 'billing' },
	q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers}, '1 2 3 4 6 7 8', 'and given what they may have');

# Without a superuser: the worker is the tables' owner, who has no purpose.
SKIP:
{
	skip 'from 16 on, apply runs as the table\'s owner anyway', 3 if $sub->pg_version >= 16;
	$sub->safe_psql('into_protected', q{
		ALTER TABLE parted OWNER TO regress_purpose_owner;
		ALTER TABLE parted_1 OWNER TO regress_purpose_owner;
		ALTER SUBSCRIPTION into_protected DISABLE;
		GRANT CREATE ON DATABASE into_protected TO regress_purpose_owner;
		ALTER ROLE regress_purpose_owner SUPERUSER;
		ALTER SUBSCRIPTION into_protected OWNER TO regress_purpose_owner;
		ALTER ROLE regress_purpose_owner NOSUPERUSER;
		ALTER SUBSCRIPTION into_protected ENABLE;
	});
	$pub->safe_psql('plain', q{
		INSERT INTO customers VALUES (9, 'n9', 'e9@x.example', '+9');
		UPDATE customers SET name = 'again';
		INSERT INTO parted VALUES (51, 2, 's51');
		DELETE FROM items WHERE id = 700;
		CREATE TABLE late (id int PRIMARY KEY, customer_id bigint);
		INSERT INTO late SELECT i, i FROM generate_series(1, 6) i;
	});
	$sub->safe_psql('into_protected', q{
		CREATE TABLE late (id int PRIMARY KEY, customer_id bigint);
		SELECT purpose.protect('late', subject => 'customer_id', "of" => 'customers');
		ALTER TABLE late OWNER TO regress_purpose_owner;
		GRANT SELECT ON late TO regress_purpose_app;
		ALTER SUBSCRIPTION into_protected REFRESH PUBLICATION;
	});
	$sub->wait_for_subscription_sync($pub, 'into_protected', 'into_protected');
	$pub->wait_for_catchup('into_protected');
	allowed($sub, { dbname => 'into_protected' }, q{SELECT (SELECT count(*) FROM customers WHERE name = 'again'),
		(SELECT count(*) FROM items), (SELECT count(*) FROM parted)}, '9|6|8',
		'the owner of the tables applies without a purpose');
	allowed($sub, { dbname => 'into_protected' }, 'SELECT count(*) FROM late', 6, 'and makes the initial copy');
	allowed($sub, { user => $app, dbname => 'into_protected', purpose => 'marketing' }, 'SELECT id FROM late', 1,
		'which readers see by consent only');
}
$sub->safe_psql('into_protected', 'DROP SUBSCRIPTION into_protected');

# ---------------------------------------------------------------------------
# Out of protected tables
# ---------------------------------------------------------------------------
$pub->safe_psql('postgres', 'CREATE DATABASE shop');
$pub->safe_psql('shop', 'CREATE EXTENSION pg_purpose');
shop($pub, 'shop');
$pub->safe_psql('shop', q{
	INSERT INTO orders VALUES (199, 3, 1);
	CREATE PUBLICATION copy FOR TABLE customers, orders;
	CREATE PUBLICATION bound FOR TABLE customers;
	CREATE ROLE regress_purpose_replicator LOGIN REPLICATION;
	GRANT SELECT ON customers TO regress_purpose_replicator;
});
foreach my $dbname (qw(copy bound))
{
	$sub->safe_psql('postgres', "CREATE DATABASE $dbname");
	$sub->safe_psql($dbname, q{
		CREATE TABLE customers (id bigint PRIMARY KEY, name text, email text, phone text);
		CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, total numeric);
	});
}
subscribe('copy', 'copy', 'shop');
allowed($sub, { dbname => 'copy' }, 'SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders)', '6|8',
	'a superuser\'s subscription copies protected tables whole');
$pub->safe_psql('shop', q{UPDATE customers SET name = 'renamed'; DELETE FROM orders WHERE id = 199});
$pub->wait_for_catchup('copy');
allowed($sub, { dbname => 'copy' }, q{SELECT (SELECT count(*) FROM customers WHERE name = 'renamed'), (SELECT count(*) FROM orders)}, '6|7',
	'and follows changes');
$sub->safe_psql('copy', 'DROP SUBSCRIPTION copy');

# A role that is bound reads nothing by the initial copy without a purpose.
my $offset = -s $pub->logfile;
$sub->safe_psql('bound', sprintf('CREATE SUBSCRIPTION bound CONNECTION $c$%s user=regress_purpose_replicator$c$ PUBLICATION bound',
		$pub->connstr('shop')));
ok( $pub->wait_for_log(qr/ERROR:.*no purpose is declared for using/, $offset),
	'the initial copy by a role that is bound is refused for want of a purpose');
allowed($sub, { dbname => 'bound' }, 'SELECT count(*) FROM customers', 0, 'and brings no row');
$sub->safe_psql('bound', 'DROP SUBSCRIPTION bound');
$pub->safe_psql('shop', q{
	SELECT purpose.grant_purpose('billing', 'regress_purpose_replicator');
	ALTER ROLE regress_purpose_replicator SET purpose.current = 'billing';
});
$sub->safe_psql('bound', sprintf('CREATE SUBSCRIPTION bound CONNECTION $c$%s user=regress_purpose_replicator application_name=bound$c$ PUBLICATION bound',
		$pub->connstr('shop')));
$sub->wait_for_subscription_sync($pub, 'bound', 'bound');
allowed($sub, { dbname => 'bound' }, q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers}, '1 2 3 4 6',
	'with a purpose it brings what that permits');
$sub->safe_psql('bound', 'DROP SUBSCRIPTION bound');

# ---------------------------------------------------------------------------
# Between two databases with the extension
# ---------------------------------------------------------------------------
$sub->safe_psql('postgres', 'CREATE DATABASE mirror');
$sub->safe_psql('mirror', 'CREATE EXTENSION pg_purpose; CREATE ROLE regress_purpose_replicator');
shop($sub, 'mirror');
$sub->safe_psql('mirror', q{
	TRUNCATE customers CASCADE;
	SET session_replication_role = replica;
	ALTER TABLE purpose.consent_history DISABLE TRIGGER append_only;
	TRUNCATE purpose.purpose_catalog, purpose.purpose_grant, purpose.consent_history, purpose.consent_state;
	ALTER TABLE purpose.consent_history ENABLE ALWAYS TRIGGER append_only;
});
$pub->safe_psql('shop', 'CREATE PUBLICATION mirror FOR ALL TABLES');
subscribe('mirror', 'mirror', 'shop');
shop_decisions($sub, 'mirror', 'purposes, grants and consents replicated');

# Sessions that are open when something changes at the publisher.
my $marketing = session($sub, { user => $app, dbname => 'mirror', purpose => 'marketing' });
my $billing = session($sub, { user => $app, dbname => 'mirror', purpose => 'billing' });
my $ids = q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers};
is(ask($marketing, $ids), '1', 'an open session at the subscriber');
is(ask($billing, $ids), '1 2 3 4 6', 'and another one');
$pub->safe_psql('shop', q{
	SELECT purpose.withdraw_consent('customers', 1, 'marketing');
	SELECT purpose.grant_consent('customers', 3, 'marketing');
	SELECT purpose.lift_restriction('customers', 5);
});
$pub->wait_for_catchup('mirror');
is(ask($marketing, $ids), '3', 'a withdrawal and a consent that were replicated bind its next statement');
is(ask($billing, $ids), '1 2 3 4 5 6', 'and so does the end of a restriction');
$pub->safe_psql('shop', q{SELECT purpose.revoke_purpose('billing', 'regress_purpose_app')});
$pub->wait_for_catchup('mirror');
is(ask($billing, $ids), 'PU003', 'and a purpose that was revoked');
$pub->safe_psql('shop', q{SELECT purpose.grant_purpose('billing', 'regress_purpose_app')});
$pub->wait_for_catchup('mirror');
is(ask($billing, $ids), '1 2 3 4 5 6', 'and one that was granted');
allowed($pub, { dbname => 'shop' }, q{
	INSERT INTO purpose.consent_import (subject_table, subject, purpose) VALUES ('customers', '2', 'marketing')}, undef,
	'consents can be imported in bulk where all tables are published');
$pub->wait_for_catchup('mirror');
is(ask($marketing, $ids), '2 3', 'and are replicated');
$_->quit foreach $marketing, $billing;

$_->stop foreach $sub, $pub;
done_testing();
