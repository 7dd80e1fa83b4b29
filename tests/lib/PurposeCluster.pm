# PurposeCluster: a cluster with pg_purpose preloaded, and assertions that an
# access is allowed or denied.
#
#   use PurposeCluster;
#   my $node = purpose_cluster('main');
#   allowed($node, 'regress_purpose_app', 'SELECT ...', '42', 'why it is given');
#   denied($node, { user => 'regress_purpose_app', purpose => 'billing' },
#       'SELECT ...', '42501', 'why it is refused');
#
# Denials are asserted by SQLSTATE, never by message.  Every denied() wants an
# allowed() beside it that shows that access is given when it should be.
#
# For tests that carry data from one place or time to another there is a small
# shop (shop(), see there), all that is declared about it (declarations()) and
# what its roles are given for each purpose (decisions()), both as text to be
# compared.  For tests in which a session lives on there are session() and ask().
package PurposeCluster;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(purpose_cluster allowed denied run_as shop shop_decisions
  declarations decisions same_lines has_line session ask);

# purpose_cluster(NAME, [conf => "lines", allows_streaming => ..., extension => 0]):
# a started cluster that preloads pg_purpose, with the extension created in
# database postgres unless extension => 0.
sub purpose_cluster
{
	my ($name, %options) = @_;
	my $conf = delete $options{conf} // '';
	my $extension = delete $options{extension} // 1;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%options);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_purpose'\n$conf\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_purpose') if $extension;
	return $node;
}

# run_as(NODE, AS, SQL) returns (exit status, standard output, standard error)
# of psql, which stops at the first error and reports its SQLSTATE.  AS is a role,
# or { user, dbname, purpose, options }: purpose and options (-cname=value)
# are given when connecting, so that SQL needs no SET of its own.
sub run_as
{
	my ($node, $as, $sql) = @_;
	my %as = ref $as ? %$as : (user => $as);
	my @options = split ' ', $as{options} // '';
	my $connstr = $node->connstr($as{dbname} // 'postgres');

	push @options, "-cpurpose.current=$as{purpose}" if defined $as{purpose};
	$connstr .= " user=$as{user}" if defined $as{user};
	$connstr .= " options='@options'" if @options;
	return $node->psql(undef, $sql,
		connstr => $connstr, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
}

# allowed(NODE, AS, SQL, EXPECTED, NAME): SQL runs, and prints EXPECTED (unaligned,
# rows only) unless EXPECTED is undef.  One assertion.
sub allowed
{
	my ($node, $as, $sql, $expected, $name) = @_;
	my ($status, $out, $err) = run_as($node, $as, $sql);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	if ($status != 0)
	{
		fail($name);
		diag("refused: $err");
		return 0;
	}
	return defined $expected ? is($out, $expected, $name) : pass($name);
}

# denied(NODE, AS, SQL, SQLSTATE, NAME): SQL ends with this SQLSTATE.  One assertion.
sub denied
{
	my ($node, $as, $sql, $sqlstate, $name) = @_;
	my ($status, $out, $err) = run_as($node, $as, $sql);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($got) = $err =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/;
	my $ok = is($status == 0 ? 'no error' : $got // "no SQLSTATE", $sqlstate, $name);

	diag("output: $out\nmessages: $err") if !$ok;
	return $ok;
}

# shop(NODE, [DBNAME]): customers, their orders and the orders' items, protected.
# The roles are made unless the cluster has them.
#
#	customer	said							seen for
#	1			marketing: given				billing marketing marketing.email analytics
#	2			marketing: given, withdrawn		billing analytics
#	3			nothing							billing analytics
#	4			analytics: objected				billing
#	5			processing restricted			nothing
#	6			marketing.email: given			billing marketing.email analytics
#
# Order 10 * n belongs to customer n; order 99 is a guest's, without customer.
# regress_purpose_app may declare billing, marketing and analytics; its label
# keeps customers.phone from marketing and analytics.  regress_purpose_owner
# owns the tables, has no purpose, and is bound like anybody.
sub shop
{
	my ($node, $dbname) = @_;

	foreach my $role (qw(regress_purpose_app regress_purpose_owner))
	{
		$node->safe_psql('postgres', qq{
			SELECT 'CREATE ROLE $role LOGIN' WHERE to_regrole('$role') IS NULL \\gexec
		});
	}
	$node->safe_psql($dbname // 'postgres', q{
		SELECT purpose.create_purpose('billing', basis => 'contract', description => 'Send invoices');
		SELECT purpose.create_purpose('marketing', basis => 'consent');
		SELECT purpose.create_purpose('marketing.email');
		SELECT purpose.create_purpose('analytics', basis => 'legitimate_interests');
		SELECT purpose.create_purpose('support', basis => 'contract', requires_justification => true);
		SELECT purpose.grant_purpose(p, 'regress_purpose_app') FROM unnest('{billing,marketing,analytics}'::text[]) p;
		SELECT purpose.grant_purpose('support', 'PUBLIC');

		CREATE TABLE customers (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
			name text, email text UNIQUE, phone text);
		CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE,
			total numeric);
		CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
			what text);
		INSERT INTO customers (id, name, email, phone)
			SELECT i, 'n' || i, 'e' || i || '@x.example', '+' || i FROM generate_series(1, 6) i;
		SELECT setval('customers_id_seq', 100);
		INSERT INTO orders SELECT 10 * i, i, i FROM generate_series(1, 6) i;
		INSERT INTO orders VALUES (99, NULL, 9);
		INSERT INTO items SELECT 10 * id, id, 'w' || id FROM orders;
		CREATE VIEW customer_view AS SELECT * FROM customers;
		CREATE FUNCTION customer_emails() RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER
			AS 'SELECT email FROM public.customers ORDER BY id';
		ALTER TABLE customers OWNER TO regress_purpose_owner;
		ALTER TABLE orders OWNER TO regress_purpose_owner;
		ALTER TABLE items OWNER TO regress_purpose_owner;
		GRANT SELECT, INSERT, UPDATE, DELETE ON customers, orders, items, customer_view TO regress_purpose_app;
		GRANT USAGE ON SEQUENCE customers_id_seq TO regress_purpose_app;

		SECURITY LABEL FOR purpose ON COLUMN customers.email IS 'for billing, marketing category user.contact.email';
		SELECT purpose.label_column('customers', 'phone', 'for billing never marketing');
		SELECT purpose.protect('customers', subject => 'id');
		SELECT purpose.protect('orders', subject => 'customer_id');
		SELECT purpose.protect('items', via => 'order_id');

		SELECT purpose.grant_consent('customers', n, 'marketing', evidence => '{"form": "v1"}')
			FROM unnest('{1,2}'::bigint[]) n;
		SELECT purpose.withdraw_consent('customers', 2, 'marketing');
		SELECT purpose.object_to('customers', 4, 'analytics');
		SELECT purpose.restrict_processing('customers', 5);
		SELECT purpose.grant_consent('customers', 6, 'marketing.email');

		-- What a query gives for a purpose (NULL: none declared): its rows, or
		-- the SQLSTATE with which it is refused.
		CREATE FUNCTION try(purpose text, query text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			result text;
		BEGIN
			IF purpose IS NULL THEN
				RESET purpose.current;
			ELSE
				PERFORM set_config('purpose.current', purpose, false);
			END IF;
			EXECUTE format('SELECT string_agg(t::text, '' '' ORDER BY t::text) FROM (%s) t', query) INTO result;
			RETURN coalesce(result, 'nothing');
		EXCEPTION WHEN OTHERS THEN
			RETURN SQLSTATE;
		END $$;
	});
}

# shop_decisions(NODE, [DBNAME, [NAME]]): asserts that the shop's roles are
# given and refused what they must be.  The twin of each refusal is beside it.
# Eight assertions.
sub shop_decisions
{
	my ($node, $dbname, $name) = @_;
	my $app = { user => 'regress_purpose_app', dbname => $dbname };
	my $ids = 'SELECT string_agg(id::text, \' \' ORDER BY id) FROM customers';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$name = defined $name ? "$name: " : '';
	denied($node, $app, $ids, 'PU001', "${name}no purpose, no rows");
	allowed($node, { %$app, purpose => 'billing' }, $ids, '1 2 3 4 6',
		"${name}a contract needs no consent, but a restriction holds");
	allowed($node, { %$app, purpose => 'marketing' }, $ids, '1', "${name}marketing needs consent");
	allowed($node, { %$app, purpose => 'marketing.email' }, $ids, '1 6',
		"${name}consent for a part of a purpose is for that part");
	allowed($node, { %$app, purpose => 'analytics' },
		q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM items}, '100 200 300 600 990',
		"${name}rows led to their subjects by foreign keys");
	denied($node, { %$app, purpose => 'marketing' }, 'SELECT phone FROM customers', 'PU005',
		"${name}a label that prohibits the purpose");
	allowed($node, { %$app, purpose => 'billing' }, 'SELECT phone FROM customers WHERE id = 1', '+1',
		"${name}the same column for a purpose that its label allows");
	denied($node, { %$app, user => 'regress_purpose_owner', purpose => 'billing' }, $ids, 'PU003',
		"${name}the owner has no purpose, and is bound");
}

# decisions(NODE, [DBNAME, [QUERY...]]): what the shop's roles are given for each
# purpose, as text.  More queries than the shop's own may be given.
sub decisions
{
	my ($node, $dbname, @queries) = @_;
	my @roles = qw(postgres regress_purpose_app regress_purpose_owner);
	my $values = join(', ', map { '($q$' . $_ . '$q$)' } (
		'SELECT id FROM customers', 'SELECT email FROM customers', 'SELECT phone FROM customers',
		'SELECT count(*) FROM customer_view', 'SELECT customer_emails()',
		'SELECT id FROM orders', 'SELECT id FROM items',
		'SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id', @queries));
	my $result = '';

	foreach my $role (map { $_ eq 'postgres' ? undef : $_ } @roles)
	{
		my ($status, $out, $err) = run_as($node, { user => $role, dbname => $dbname }, qq{
			SELECT coalesce(p, '(none)') || ': ' || q || ' -> ' || public.try(p, q)
			FROM unnest('{NULL,"",billing,marketing,marketing.email,analytics,support,unknown}'::text[])
				WITH ORDINALITY AS purposes(p, nr),
			(VALUES $values) AS queries(q)
			ORDER BY nr, q COLLATE "C"
		});
		die "decisions: $err" if $status != 0;
		$role //= 'superuser';
		$out =~ s/^/$role /mg;
		$result .= "$out\n";
	}
	return $result;
}

# declarations(NODE, [DBNAME]): everything that decisions rest on, as text.
sub declarations
{
	my ($node, $dbname) = @_;

	# Names, not OIDs; ordered by what does not depend on a cluster.
	return $node->safe_psql($dbname // 'postgres', q{
		SELECT 'label', objtype, objname, provider, label FROM pg_seclabels
			WHERE objtype NOT IN ('role', 'database') ORDER BY objtype COLLATE "C", objname COLLATE "C";
		SELECT 'table', * FROM purpose.protected_tables ORDER BY relation::text COLLATE "C";
		SELECT 'rls', oid::regclass, relrowsecurity, relforcerowsecurity FROM pg_class
			WHERE relkind IN ('r', 'p') AND oid >= 16384 ORDER BY oid::regclass::text COLLATE "C";
		SELECT 'policy', polrelid::regclass, polname, polpermissive, polcmd, polroles::regrole[],
			pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
			FROM pg_policy ORDER BY polrelid::regclass::text COLLATE "C", polname;
		SELECT 'purpose', * FROM purpose.purposes ORDER BY name COLLATE "C";
		SELECT 'grant', purpose, role, granted_by, granted_at FROM purpose.purpose_grant
			ORDER BY purpose, role::text COLLATE "C";
		SELECT 'state', * FROM purpose.consent_state ORDER BY subject_table::text COLLATE "C", subject, purpose;
		SELECT 'history', * FROM purpose.consent_history ORDER BY event_id;
		SELECT 'sequence', last_value FROM pg_sequences WHERE schemaname = 'purpose';
	});
}

# same_lines(GOT, EXPECTED, NAME): is() for long texts, which tells only the lines
# that differ.  One assertion.
sub same_lines
{
	my ($got, $expected, $name) = @_;
	my (%got, %expected);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return pass($name) if $got eq $expected;
	$got{$_} = 1 foreach split /\n/, $got;
	$expected{$_} = 1 foreach split /\n/, $expected;
	my @got = split /\n/, $got;
	my @expected = split /\n/, $expected;
	my ($i) = grep { ($got[$_] // '') ne ($expected[$_] // '') } 0 .. ($#got > $#expected ? $#got : $#expected);
	diag("first difference, in line $i: " . ($got[$i] // 'the end')) if defined $i;
	diag("missing:    $_") foreach grep { !$got{$_} } split /\n/, $expected;
	diag("unexpected: $_") foreach grep { !$expected{$_} } split /\n/, $got;
	return fail($name);
}

# has_line(TEXT, LINE, NAME): one of the lines of TEXT is LINE.  One assertion.
sub has_line
{
	my ($text, $line, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return pass($name) if grep { $_ eq $line } split /\n/, $text;
	my ($start) = $line =~ /^(.*-> )/;
	diag("no line:  $line");
	diag("but only: $_") foreach grep { defined $start && index($_, $start) == 0 } split /\n/, $text;
	return fail($name);
}

# session(NODE, AS): a psql that stays connected, for ask() and then ->quit.  AS
# as for run_as().
sub session
{
	my ($node, $as) = @_;
	my %as = ref $as ? %$as : (user => $as);
	my @options = split ' ', $as{options} // '';

	push @options, "-cpurpose.current=$as{purpose}" if defined $as{purpose};
	local $ENV{PGOPTIONS} = "@options";
	return $node->background_psql($as{dbname} // 'postgres', on_error_stop => 0,
		extra_params => [
			'-v', 'VERBOSITY=sqlstate', '--set=SHOW_CONTEXT=never',
			defined $as{user} ? ('-U', $as{user}) : ()
		]);
}

# ask(SESSION, SQL): what SQL prints, or else the SQLSTATEs of its errors.
sub ask
{
	my ($session, $sql) = @_;

	$session->{stderr} = '';
	my $out = $session->query($sql);
	my @errors = $session->{stderr} =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5})/g;

	return @errors ? "@errors" : $out;
}

1;
