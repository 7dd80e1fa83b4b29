# Several instances within reach of one keyring: databases and clusters, copies
# of a database, test clones, standbys, restores to an earlier moment.  One of
# them changes the keyring; the others open values, and can do no harm.
use strict;
use warnings;
use File::Basename qw(basename dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my $place = "$base/keys";
mkdir $place, 0700;
my $conf = "purpose.keyring = 'file:$place'\npurpose.key_lease = '1s'";
my $functions = slurp_file(dirname(__FILE__) . "/lib/test_keyring.sql");

my $production = purpose_cluster('production', allows_streaming => 1, has_archiving => 1, conf => $conf);
$production->safe_psql('postgres', $functions);
(my $dir = $production->safe_psql('postgres', 'SELECT purpose.create_keyring()')) =~ tr/-//d;
$production->safe_psql('postgres', 'SELECT draw_number() FROM generate_series(1, 100)');

my $query = q{SELECT string_agg(coalesce(key_fingerprint(n), 'gone'), ' ' ORDER BY n) FROM generate_series(1, 20) n};
my @keys = split ' ', $production->safe_psql('postgres', $query);

# survivors(NODE, DATABASE, GONE, NAME): those keys are gone, all others are as
# they always were.  One assertion.
sub survivors
{
	my ($node, $database, $gone, $name) = @_;
	my @expected = @keys;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$expected[ $_ - 1 ] = 'gone' foreach @$gone;
	return is($node->safe_psql($database, $query), "@expected", $name);
}

sub final
{
	my ($node, $receipt, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until('postgres',
			"SELECT destroyed_at IS NOT NULL FROM purpose.shred_receipt WHERE receipt_id = '$receipt'"), $name);
}

sub roots { return join(' ', map { basename($_) } sort glob("$place/$dir/root.*[0-9]")); }

# becomes(NODE, DATABASE, STANDING, NAME): the claim comes to stand so.
sub becomes
{
	my ($node, $database, $standing, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until($database, "SELECT claim = '$standing' FROM purpose.keyring_status"), $name);
}

# Two databases of one cluster: two keyrings.
$production->safe_psql('postgres', 'CREATE DATABASE second');
$production->safe_psql('second', "CREATE EXTENSION pg_purpose; $functions; SELECT purpose.create_keyring(); SELECT draw_number()");
isnt($production->safe_psql('second', 'SELECT key_fingerprint(1)'), $keys[0], 'two databases: the same number, another key');
$production->safe_psql('second', 'SELECT shred_number(1)');
ok($production->poll_query_until('second', 'SELECT key_fingerprint(1) IS NULL'), 'one is shredded');
survivors($production, 'postgres', [], 'the other is not');

# A copy of a database, in the same cluster.
$production->safe_psql('postgres', 'CREATE DATABASE source TEMPLATE second');
$production->safe_psql('second', 'SELECT draw_number() FROM generate_series(1, 10)');
$production->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE second');
my $second = $production->safe_psql('second', 'SELECT key_fingerprint(5)');
allowed($production, { dbname => 'copy' }, 'SELECT key_fingerprint(5)', $second, 'a copy of the database opens values');
denied($production, { dbname => 'copy' }, 'SELECT draw_number()', 'PU013', 'but draws no numbers');
denied($production, { dbname => 'copy' }, 'SELECT purpose.rotate_root_key()', 'PU013', 'nor replaces the root');
denied($production, { dbname => 'copy' }, 'SELECT purpose.claim_keyring()', 'PU013', 'nor takes the claim from the original');
$production->safe_psql('copy', 'SELECT shred_number(5)');
ok($production->poll_query_until('copy', 'SELECT failures > 0 FROM purpose.keyring_status'), 'what it shreds');
allowed($production, { dbname => 'second' }, 'SELECT key_fingerprint(5)', $second, 'is not lost to the original');
allowed($production, { dbname => 'copy' }, q{SELECT count(*) FROM purpose.check_keyring() WHERE object = 'claim'}, 1, 'check_keyring() tells why');
allowed($production, { dbname => 'second' }, q{SELECT count(*) FROM purpose.check_keyring() WHERE object = 'claim'}, 0, 'and nothing of the original');
denied($production, { dbname => 'second' }, 'SELECT purpose.fork_keyring()', '55000', 'the original gets no other keyring');
$production->safe_psql('copy', 'SELECT purpose.reconcile(); SELECT purpose.fork_keyring()');
my $fork = $production->safe_psql('copy', 'SELECT draw_number(); SELECT key_fingerprint(1)');
like($fork, qr/^1\n[0-9a-f]{16}$/, 'with a keyring of its own it draws numbers');
isnt($production->safe_psql('copy', 'SELECT draw_number() FROM generate_series(1, 10); SELECT key_fingerprint(5)') =~ s/.*\n//sr,
	$second, 'and has other keys');
allowed($production, { dbname => 'second' }, 'SELECT key_fingerprint(5)', $second, 'the original has its own');
$production->safe_psql('postgres', "DROP DATABASE $_") foreach 'copy', 'source';

# A test clone, from a base backup, with production's settings.
$production->backup('base');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($production, 'base');
$clone->start;
survivors($clone, 'postgres', [], 'a clone opens values');
denied($clone, {}, 'SELECT draw_number()', 'PU013', 'but draws no numbers');
$clone->safe_psql('postgres', 'SELECT shred_number(1)');
ok($clone->poll_query_until('postgres', 'SELECT failures > 0 FROM purpose.keyring_status'), 'its worker runs');
denied($clone, {}, 'SELECT purpose.rotate_root_key()', 'PU013', 'and may not change anything');
denied($clone, {}, 'SELECT purpose.claim_keyring()', 'PU013', 'nor take the claim from a server that is alive');
survivors($production, 'postgres', [], 'production has lost nothing');
is(roots(), 'root.1', 'nor was anything changed at the provider');
my $receipt = $production->safe_psql('postgres', 'SELECT shred_number(2)');
final($production, $receipt, 'what production shreds becomes final');
survivors($clone, 'postgres', [2], 'when the clone does not derive it any more');
$clone->stop;

# A second cluster, made by dump and restore.
my $restored = purpose_cluster('restored', extension => 0, conf => $conf);
my $dump = "$base/dump.sql";
system_or_bail('pg_dump', '-f', $dump, $production->connstr('postgres'));
$restored->safe_psql('postgres', slurp_file($dump));
survivors($restored, 'postgres', [2], 'a dump that is restored elsewhere opens what there is');
denied($restored, {}, 'SELECT draw_number()', 'PU013', 'but is no holder of the claim either');
$restored->stop;

# A standby.
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($production, 'base', has_streaming => 1);
$standby->start;
$production->wait_for_catchup($standby, 'replay', $production->lsn('insert'));
survivors($standby, 'postgres', [2], 'a standby opens values');
denied($standby, {}, 'SELECT draw_number()', 'PU013', 'but draws no numbers');
denied($standby, {}, 'SELECT purpose.claim_keyring()', 'PU013', 'nor takes the claim');
denied($standby, {}, 'SELECT purpose.create_keyring()', '25006', 'nor makes a keyring');
allowed($standby, {}, q{SELECT count(*) FROM purpose.check_keyring() WHERE severity = 'error'}, 0, 'it can be checked');
my $number = $production->safe_psql('postgres', 'SELECT max(draw_number()) FROM generate_series(1, 65536)');
$production->wait_for_catchup($standby, 'replay', $production->lsn('insert'));
like($standby->safe_psql('postgres', "SELECT key_fingerprint($number)"), qr/^[0-9a-f]{16}$/, 'it has the keys of numbers that were drawn since');
$receipt = $production->safe_psql('postgres', 'SELECT shred_number(3)');
final($production, $receipt, 'what is shredded becomes final');
survivors($standby, 'postgres', [ 2, 3 ], 'when the standby does not derive it any more');

# The primary falls silent, and the standby is promoted.
my $awake = session($production, {});
like(ask($awake, 'SELECT draw_number()'), qr/^\d+$/, 'the primary draws a number');
my $postmaster = $production->{_pid};
my @processes = split ' ', `ps -o pid= --ppid $postmaster`;
kill 'STOP', $postmaster, @processes;
$standby->promote;
denied($standby, {}, 'SELECT draw_number()', 'PU013', 'a promoted standby does not take the claim by itself');
my $fence = $standby->safe_psql('postgres', 'SELECT purpose.claim_keyring()');
cmp_ok($fence, '>', 1, 'but when it is told to, as soon as the lease has lapsed');
my $drawn = $standby->safe_psql('postgres', 'SELECT draw_number()');
cmp_ok($drawn, '>', $number, 'and draws numbers that were not drawn before');
$receipt = $standby->safe_psql('postgres', 'SELECT shred_number(4)');
final($standby, $receipt, 'and shreds');
survivors($standby, 'postgres', [ 2, 3, 4 ], 'the others are kept');

# It wakes up.
kill 'CONT', @processes, $postmaster;
is(ask($awake, 'SELECT draw_number()'), 'PU013', 'the old primary, awake again, draws no numbers');
is(ask($awake, 'SELECT purpose.rotate_root_key()'), 'PU013', 'nor replaces the root');
ask($awake, 'SELECT shred_number(7)');
ok($production->poll_query_until('postgres', q{SELECT failures > 0 FROM purpose.keyring_status}), 'nor punctures');
denied($production, {}, 'SELECT purpose.claim_keyring()', 'PU013', 'nor takes the claim back while the new one is alive');
survivors($production, 'postgres', [ 2, 3, 4 ], 'it opens what there is');
survivors($standby, 'postgres', [ 2, 3, 4 ], 'and the new primary lost nothing');
$awake->quit;

# An orderly stop gives the claim up; who is told to may take it at once.
$standby->stop;
becomes($production, 'postgres', 'free', 'a server that is stopped gives the claim up');
cmp_ok($production->safe_psql('postgres', 'SELECT purpose.claim_keyring()'), '>', $fence, 'so that it can be taken');
final($production, $production->safe_psql('postgres', 'SELECT receipt_id FROM purpose.shred_receipt WHERE numbers = \'{7}\''),
	'and what waited for it goes on');
survivors($production, 'postgres', [ 2, 3, 4, 7 ], 'the key is gone');

# A standby that is to take the claim when it is promoted.
$production->append_conf('postgresql.conf', 'purpose.claim_on_promotion = on');
$production->backup('later');
my $heir = PostgreSQL::Test::Cluster->new('heir');
$heir->init_from_backup($production, 'later', has_streaming => 1);
$heir->start;
$production->wait_for_catchup($heir, 'replay', $production->lsn('insert'));
$heir->safe_psql('postgres', 'SELECT key_fingerprint(1)');
$number = $production->safe_psql('postgres', 'SELECT draw_number()');
$production->stop('immediate');
$heir->promote;
ok($heir->poll_query_until('postgres', q{SELECT claim = 'held' FROM purpose.keyring_status}), 'with purpose.claim_on_promotion it does so by itself');
cmp_ok($heir->safe_psql('postgres', 'SELECT draw_number()'), '>', $number, 'and draws numbers');

# It falls silent, another one is told to take the claim, and stops in good order:
# that was one promotion, and does not have it take the claim once more.
@processes = split ' ', `ps -o pid= --ppid $heir->{_pid}`;
kill 'STOP', $heir->{_pid}, @processes;
$production->start;
$number = $production->safe_psql('postgres', 'SELECT purpose.claim_keyring(); SELECT draw_number()') =~ s/.*\n//sr;
kill 'CONT', @processes, $heir->{_pid};
becomes($heir, 'postgres', 'held by another instance', 'the promoted one, awake again, sees that it was taken from it');
$production->stop;
becomes($heir, 'postgres', 'free', 'and does not take it back by itself when the other one stops');
denied($heir, {}, 'SELECT draw_number()', 'PU013', 'so that this one has it when it starts again');
$production->start;
becomes($production, 'postgres', 'held', 'as it does');
$production->stop;
$heir->safe_psql('postgres', 'SELECT purpose.claim_keyring()');
$heir->stop;

# Production's data directory, put back to an earlier moment: the same instance,
# and what was given out in between is not given out again.
my $data = $production->data_dir;
opendir(my $handle, $data) or die;
foreach my $entry (grep { !/^\.\.?$/ } readdir $handle) { system_or_bail('rm', '-rf', "$data/$entry"); }
closedir $handle;
system_or_bail('cp', '-a', $production->backup_dir . '/base/.', $data);
$production->append_conf('postgresql.conf', 'port = ' . $production->port . "\narchive_mode = off");
$production->start;
allowed($production, {}, q{SELECT count(*) FROM purpose.shred_receipt}, 0, 'restored to a moment before all shreds');
survivors($production, 'postgres', [ 2, 3, 4, 7 ], 'what was shredded later is gone, all others are there');
denied($production, {}, 'SELECT draw_number()', 'PU013', 'another one held the claim last');
$production->safe_psql('postgres', 'SELECT purpose.claim_keyring()');
cmp_ok($production->safe_psql('postgres', 'SELECT draw_number()'), '>', $number, 'no number of the later time is drawn again');

$production->stop;
done_testing();
