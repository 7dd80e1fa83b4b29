# Standbys that lag, are delayed, or lose touch with the primary or the provider:
# what was shredded opens on none of them once the receipt says so, replayed or
# not, and everything else opens as long as the provider can be asked.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my ($place, $stop) = ("$base/keys", "$base/stop.conf");
mkdir $place, 0700;
append_to_file($stop, '');

my $primary = purpose_cluster('primary', allows_streaming => 1, conf => qq{
include = '$stop'
purpose.keyring = 'file:$place'
purpose.key_lease = '1s'
});
$primary->safe_psql('postgres', q{
	SELECT purpose.create_purpose('billing', basis => 'contract');
	CREATE TABLE people (id int PRIMARY KEY, mail purpose.sealed_text(billing));
	SELECT purpose.protect('people', subject => 'id');
	SET purpose.current = 'billing';
	INSERT INTO people SELECT i, 'mail of ' || i FROM generate_series(1, 6) i;
});
$primary->backup('base');

# A standby that keeps up until it is told not to, and one that is an hour behind.
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
my $delayed = PostgreSQL::Test::Cluster->new('delayed');
$delayed->init_from_backup($primary, 'base', has_streaming => 1);
$delayed->append_conf('postgresql.conf', "recovery_min_apply_delay = '1h'");
$_->start foreach $standby, $delayed;

# opens(NODE, IDS, NAME): those values open there, no other one.  One assertion.
sub opens
{
	my ($node, $ids, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return allowed($node, { purpose => 'billing' }, q{SELECT id, mail::text FROM people WHERE mail::text IS NOT NULL ORDER BY id},
		join("\n", map { "$_|mail of $_" } @$ids), $name);
}

sub final
{
	my ($receipt, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($primary->poll_query_until('postgres',
			"SELECT destroyed_at IS NOT NULL FROM purpose.shred_receipt WHERE receipt_id = '$receipt'"), $name);
}

sub shred { return $primary->safe_psql('postgres', "SELECT purpose.shred('people', $_[0])"); }

sub catch_up { return $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert')); }

# stop_at(EVENT, ACTION) has the cycle stop there; stop_at() lets it go on.
sub stop_at
{
	my ($event, $action) = @_;

	open(my $file, '>', $stop) or die "$stop: $!";
	print $file "purpose.test_stop_event = '$event:$action'\n" if $event;
	close $file;
	return $primary->reload;
}

catch_up();
opens($_, [ 1 .. 6 ], 'a standby opens values') foreach $standby, $delayed;

# Lagging, and delayed: the commit of the shred is not replayed.
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
ok($standby->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'}), 'a standby lags');
my $receipt = shred(1);
final($receipt, 'a shred becomes final meanwhile');
foreach my $node ($standby, $delayed)
{
	allowed($node, {}, 'SELECT count(*) FROM purpose.shred_receipt', 0, 'it knows nothing of the shred');
	opens($node, [ 2 .. 6 ], 'but derives that key no more, and every other one');
}
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
catch_up();
opens($standby, [ 2 .. 6 ], 'nor when it has caught up');

# From replay on, while the key is still there.
stop_at('key_cycle_begun', 'wait');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$standby->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'});
$receipt = shred(2);
opens($primary, [ 3 .. 6 ], 'a shred that is not final cuts off at once');
opens($standby, [ 2 .. 6 ], 'but not where it is not replayed');
my $open = session($standby, { purpose => 'billing' });
is(ask($open, q{BEGIN; SELECT mail::text FROM people WHERE id = 2}), "mail of 2", 'a transaction on the standby has opened it');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
catch_up();
opens($standby, [ 3 .. 6 ], 'from replay on there, too');
is(ask($open, q{SELECT count(*), count(mail::text) FROM people}), '6|4', 'in that transaction as well');
ask($open, 'COMMIT');
allowed($primary, {}, "SELECT destroyed_at FROM purpose.shred_receipt WHERE receipt_id = '$receipt'", '', 'and it is not final yet');
stop_at();
final($receipt, 'then it is');
opens($_, [ 3 .. 6 ], 'and opens nowhere') foreach $primary, $standby, $delayed;

# Out of touch with the provider: nothing opens once the lease has lapsed, which
# is an error, never a NULL; and everything when the provider is back.
rename $place, "$place.away" or die;
foreach my $node ($standby, $delayed)
{
	foreach (1 .. 1800)
	{
		last if (run_as($node, { purpose => 'billing' }, 'SELECT mail::text FROM people'))[0] != 0;
		select(undef, undef, undef, 0.1);
	}
	denied($node, { purpose => 'billing' }, 'SELECT mail::text FROM people', 'PU011', 'without its provider a standby refuses');
	allowed($node, { purpose => 'billing' }, 'SELECT count(*) FROM people', 6, 'what is sealed, and no more');
}
rename "$place.away", $place or die;
opens($_, [ 3 .. 6 ], 'with it, it opens again') foreach $standby, $delayed;
is(ask($open, q{SELECT count(mail::text) FROM people}), '4', 'in a session that was there before, too');

# Out of touch with the primary: it goes on, and knows what was destroyed.
$standby->safe_psql('postgres', q{ALTER SYSTEM SET primary_conninfo = ''});
$standby->reload;
ok($standby->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver'), 'a standby is cut off from the primary');
$receipt = shred(3);
final($receipt, 'a shred becomes final meanwhile');
opens($standby, [ 4 .. 6 ], 'and binds it all the same');
$primary->stop('immediate');
opens($_, [ 4 .. 6 ], 'values open without the primary') foreach $standby, $delayed;
denied($standby, { purpose => 'billing' }, q{SELECT purpose.shred('people', 4)}, '25006', 'but nothing is shredded on a standby');

$open->quit;
$_->stop foreach $standby, $delayed;
done_testing();
