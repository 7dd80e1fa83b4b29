# The pages in docs/ are true: their examples run, what they show is what psql
# prints, their links lead somewhere, and no error code, setting or function is
# missing from the page that lists them.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;
use PurposeDocs;

my $root = "$FindBin::Bin/..";
my @pages = map { substr($_, length("$root/")) } glob("$root/docs/*.md $root/docs/internals/*.md");
my $keys = PostgreSQL::Test::Utils::tempdir;
my $node = purpose_cluster('main', extension => 0, conf => "purpose.keyring = 'file:$keys'");

sub content
{
	my ($file) = @_;

	return slurp_file("$root/$file");
}

# --- Examples -----------------------------------------------------------------

# What a page's examples find, by the word in its first line,
# <!-- examples: WORD -->.  Each page has a database of its own.
my $tables = <<'SQL';
CREATE TABLE customers (id bigint PRIMARY KEY, full_name text, email text, phone text, tier text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE,
	placed_at date, total numeric);
CREATE TABLE order_items (id bigint PRIMARY KEY, order_id bigint REFERENCES orders ON DELETE CASCADE, item text);
CREATE TABLE events (at timestamptz, customer_id bigint, device_id uuid, kind text);
INSERT INTO customers VALUES
	(1, 'Ada', 'ada@example.org', '555-0101', 'gold'),
	(2, 'Ben', 'ben@example.org', '555-0102', 'silver'),
	(3, 'Cleo', 'cleo@example.org', '555-0103', 'gold');
INSERT INTO orders VALUES (10, 1, '2026-01-05', 30), (11, 2, '2026-01-07', 45), (12, 2, '2026-02-01', 5);
INSERT INTO order_items VALUES (100, 10, 'teapot'), (101, 11, 'kettle'), (102, 12, 'cup');
INSERT INTO events VALUES ('2026-02-01 12:00+00', 1, '6f9619ff-8b86-4011-b42d-00c04fc964ff', 'visit');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO billing_app, newsletter_app, analytics_app;
SQL
my $extension = "CREATE EXTENSION pg_purpose;\n";
my $purposes = <<'SQL';
SELECT purpose.create_purpose('billing', basis => 'contract', description => 'Send invoices and collect payment');
SELECT purpose.create_purpose('support', basis => 'contract', description => 'Answer your questions');
SELECT purpose.create_purpose('marketing', basis => 'consent', description => 'Tell you about offers');
SELECT purpose.create_purpose('marketing.email');
SELECT purpose.create_purpose('analytics', basis => 'legitimate_interests', description => 'Improve the shop');
SELECT purpose.grant_purpose('billing', 'billing_app');
SELECT purpose.grant_purpose('support', 'billing_app');
SELECT purpose.grant_purpose('marketing', 'newsletter_app');
SELECT purpose.grant_purpose('analytics', 'analytics_app');
SQL
my $protection = <<'SQL';
SELECT purpose.label_column('customers', 'full_name', 'for billing, marketing');
SELECT purpose.label_column('customers', 'email', 'for billing, marketing');
SELECT purpose.label_column('customers', 'phone', 'for billing never marketing');
SELECT purpose.protect('customers', subject => 'id');
SELECT purpose.protect('orders', subject => 'customer_id');
SELECT purpose.protect('order_items', via => 'order_id');
SQL
my %found = (
	bare => $tables,
	extension => $tables . $extension,
	purposes => $tables . $extension . $purposes,
	protected => $tables . $extension . $purposes . $protection);

$node->safe_psql('postgres', "CREATE ROLE $_ LOGIN")
  foreach qw(billing_app newsletter_app analytics_app preference_centre privacy_officer);

foreach my $page (@pages)
{
	my @blocks = sql_blocks("$root/$page");
	my ($word) = content($page) =~ /\A<!-- examples: (\w+) -->/;

	next if !@blocks;
	if (!defined $word || !defined $found{$word})
	{
		fail("$page says what its examples find");
		next;
	}
	$node->safe_psql('postgres', 'CREATE DATABASE example');
	$node->safe_psql('example', $found{$word});
	run_blocks($node, 'example', $page, @blocks);
	$node->safe_psql('postgres', 'DROP DATABASE example');
	# What ALTER ROLE set would reach the next page's examples.
	$node->safe_psql('postgres', "ALTER ROLE $_ RESET ALL") foreach qw(billing_app newsletter_app);
}

# --- Links --------------------------------------------------------------------

# The anchor that a heading gets where Markdown is shown.
sub anchor
{
	my ($heading) = @_;

	$heading = lc $heading;
	$heading =~ s/[^\w\- ]//g;
	$heading =~ tr/ /-/;
	return $heading;
}

foreach my $page ('README.md', 'CONTRIBUTING.md', @pages)
{
	my $text = content($page);
	my @dead;

	while ($text =~ /\]\(([^)\s#]*)(?:#([^)\s]+))?\)/g)
	{
		my ($path, $anchor) = ($1, $2);
		my $target = $path eq '' ? $page : dirname($page) . "/$path";

		next if $path =~ /^https?:/;
		if (!-e "$root/$target")
		{
			push @dead, $path;
		}
		elsif (defined $anchor && !grep { anchor($_) eq $anchor } content($target) =~ /^#+ (.*)$/mg)
		{
			push @dead, "$path#$anchor";
		}
	}
	is("@dead", '', "$page: every link leads somewhere");
}

# --- Lists that must be complete ----------------------------------------------

my @codes = map { s/[', ]//gr } content('src/errcodes.h') =~ /MAKE_SQLSTATE\(([^)]*)\)/g;
my $errors = content('docs/errors.md');
is(join(' ', grep { $errors !~ /^\| $_ \|/m } @codes), '', 'docs/errors.md: every SQLSTATE of ours');
cmp_ok(scalar(@codes), '>=', 10, 'the SQLSTATEs were found');

$node->safe_psql('postgres', 'CREATE EXTENSION pg_purpose');
my @settings = split /\n/, $node->safe_psql('postgres',
	q{SELECT name FROM pg_settings WHERE name LIKE 'purpose.%' AND name NOT LIKE 'purpose.test%'});
my $page = content('docs/settings.md');
is(join(' ', grep { $page !~ /^\| `\Q$_\E` \|/m } @settings), '', 'docs/settings.md: every setting');
is(join(' ', grep { my $name = $_; !grep { $_ eq $name } @settings } $page =~ /^\| `([^`]+)` \|/mg),
	'', 'docs/settings.md: no other');

my $reference = '';
IPC::Run::run([ "$root/docs/make-reference", '-d', $node->connstr('postgres') ],
	'>', \$reference) or fail('docs/make-reference');
my %written = map { $_ => 1 } split /\n/, content('docs/sql-reference.md');
ok($reference eq content('docs/sql-reference.md'), 'docs/sql-reference.md is what docs/make-reference prints')
  or diag("Make it again: docs/make-reference -d DATABASE >docs/sql-reference.md\nNew lines:\n",
	map { "$_\n" } grep { !$written{$_} } split /\n/, $reference);

foreach my $file (glob("$root/src/*.c"))
{
	my $name = basename($file, '.c');

	like(content('docs/internals/layers.md'), qr/`$name`/, "docs/internals/layers.md: $name");
}

$node->stop;
done_testing();
