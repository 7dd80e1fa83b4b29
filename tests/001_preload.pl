# The extension can be created where the library is preloaded, in one database
# and in another, and goes again.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $node = purpose_cluster('main', extension => 0);

is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'),
	'pg_purpose', 'the server starts with the library preloaded');

allowed($node, {}, 'CREATE EXTENSION pg_purpose', undef, 'CREATE EXTENSION');
allowed($node, {}, q{SELECT extversion FROM pg_extension WHERE extname = 'pg_purpose'},
	'0.1', 'in its version');
allowed($node, {}, q{SELECT 1 FROM pg_namespace WHERE nspname = 'purpose'},
	'1', 'with its schema');
denied($node, {}, 'CREATE EXTENSION pg_purpose', '42710', 'not twice');

$node->safe_psql('postgres', 'CREATE ROLE regress_purpose_nobody LOGIN; CREATE DATABASE other');
denied($node, { user => 'regress_purpose_nobody', dbname => 'other' },
	'CREATE EXTENSION pg_purpose', '42501', 'only by a superuser');
allowed($node, { dbname => 'other' }, 'CREATE EXTENSION pg_purpose',
	undef, 'CREATE EXTENSION in a second database');

allowed($node, {}, 'DROP EXTENSION pg_purpose', undef, 'DROP EXTENSION');
allowed($node, {}, q{SELECT count(*) FROM pg_namespace WHERE nspname = 'purpose'},
	'0', 'takes its schema along');

$node->stop;
done_testing();
