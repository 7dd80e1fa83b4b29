# The tour of README.md does what README.md says.  Its ```sql blocks run in
# order, in one session of psql; the ```text block that follows one of them is
# what psql prints for it, byte by byte.  Of a block without one the output is
# not shown there, but it may hold no error.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;
use PurposeDocs;

my $keys = PostgreSQL::Test::Utils::tempdir;
my $node = purpose_cluster('main', extension => 0, conf => "purpose.keyring = 'file:$keys'");
my @blocks = sql_blocks("$FindBin::Bin/../README.md");

cmp_ok(scalar(grep { defined $_->{shown} } @blocks), '>=', 5, 'README.md shows results');
run_blocks($node, 'postgres', 'README.md', @blocks);

# What the tour made it removed, so that it can be taken twice.
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'shop%'}),
	'0', 'the tour leaves no role behind');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname = 'tour'}),
	'0', 'the tour leaves no database behind');

$node->stop;
done_testing();
