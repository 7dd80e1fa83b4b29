# The puncture cycle: what is shredded is destroyed, at the provider too, and
# nothing else is; wherever it is interrupted, and whatever fails.
use strict;
use warnings;
use File::Basename qw(basename dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my ($one, $two) = ("$base/a", "$base/b");
mkdir $_, 0700 foreach $one, $two;

# What is to happen at stop events lies in a file of its own, because a server
# that crashes again and again cannot be told by SQL to stop that.
my $stop = "$base/stop.conf";
append_to_file($stop, '');

my $node = purpose_cluster('main', conf => qq{
include = '$stop'
purpose.keyring = 'file:$one, file:$two'
purpose.key_lease = '300ms'
restart_after_crash = on
max_prepared_transactions = 2
});
$node->safe_psql('postgres', slurp_file(dirname(__FILE__) . "/lib/test_keyring.sql"));
my $keyring = $node->safe_psql('postgres', 'SELECT purpose.create_keyring()');
(my $dir = $keyring) =~ tr/-//d;
$node->safe_psql('postgres', 'SELECT draw_number() FROM generate_series(1, 200)');

# The keys of the numbers 1 to 60, as they were and as they should be.
my $query = q{SELECT string_agg(coalesce(key_fingerprint(n), 'gone'), ' ' ORDER BY n) FROM generate_series(1, 60) n};
my $expected = [ fingerprints() ];

sub fingerprints { return split ' ', $node->safe_psql('postgres', $query); }

# survivors(GONE, NAME): those keys are gone, all others as they always were.  One assertion.
sub survivors
{
	my ($gone, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$expected->[ $_ - 1 ] = 'gone' foreach @$gone;
	return is_deeply([ fingerprints() ], $expected, $name);
}

sub shred { return $node->safe_psql('postgres', "SELECT shred_number($_[0])"); }

# final(RECEIPT, NAME): the receipt becomes final.  One assertion.
sub final
{
	my ($receipt, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until('postgres',
			"SELECT destroyed_at IS NOT NULL FROM purpose.shred_receipt WHERE receipt_id = '$receipt'"), $name);
}

# roots() and states() list the objects on all mirrors.
sub objects
{
	my ($kind) = @_;

	return join(' ', map { basename($_) } map { sort glob("$_/$dir/$kind.*[0-9]") } $one, $two);
}

sub version { return $node->safe_psql('postgres', 'SELECT version FROM purpose.keyring_status'); }

# clean(NAME): on each mirror there is one root and its state.  One assertion.
sub clean
{
	my ($name) = @_;
	my $version = version();

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(objects('root') . ' ' . objects('state'),
		"root.$version root.$version state.$version state.$version", $name);
}

# stop_at(EVENT => ACTION) or stop_at() for nothing.
sub stop_at
{
	my (%events) = @_;
	my $setting = join(', ', map { "$_:$events{$_}" } keys %events);

	open(my $file, '>', $stop) or die "$stop: $!";
	print $file "purpose.test_stop_event = '$setting'\n";
	close $file;
	$node->reload;
	return;
}

# reached(EVENT, OFFSET): waits until the event was reached.
sub reached
{
	my ($event, $offset) = @_;

	foreach (1 .. 1800)
	{
		return 1 if slurp_file($node->logfile, $offset) =~ /stop event $event reached/;
		select(undef, undef, undef, 0.1);
	}
	die "stop event $event was not reached";
}

sub is_back
{
	foreach (1 .. 1800)
	{
		return if $node->psql('postgres', 'SELECT 1') == 0;
		select(undef, undef, undef, 0.1);
	}
	die 'the server did not come back';
}

# quietly(QUERY) waits until it gives true, whatever is warned of.
sub quietly
{
	local $ENV{PGOPTIONS} = '-c client_min_messages=error';
	return $node->poll_query_until('postgres', $_[0]);
}

# One cycle, undisturbed.
is(objects('root'), 'root.1 root.1', 'a new keyring has one root, on each mirror');
my $receipt = shred(1);
final($receipt, 'a shred becomes final');
survivors([1], 'its key is gone, all others are as before');
clean('one root is left on each mirror');
isnt(version(), 1, 'a new one');
allowed($node, {}, qq{SELECT purpose.verify_receipt('$receipt')->'verified', punctured_version, evidence
	FROM purpose.shred_receipt}, 'true|2|file-unlinked', 'and the provider says so when it is asked again');
allowed($node, {}, 'SELECT purpose.rotate_root_key()', 3, 'the root is replaced when that is wanted');
survivors([], 'which changes no key');
clean('and leaves the new one');
allowed($node, {}, 'SELECT claim, version, failures, last_error FROM purpose.keyring_status', 'held|3|0|', 'the status');
allowed($node, {}, q{SELECT * FROM purpose.check_keyring() WHERE severity = 'error'}, '', 'and nothing is wrong');

# Some groups of a subject.
my $groups = q{SELECT string_agg(coalesce(key_fingerprint(100, g), 'gone'), ' ' ORDER BY g) FROM generate_series(0, 3) g};
my @groups = split ' ', $node->safe_psql('postgres', $groups);
final($node->safe_psql('postgres', q{SELECT shred_number(100, '{1,3}')}), 'groups of a subject are shredded');
allowed($node, {}, $groups, "$groups[0] gone $groups[2] gone", 'those and no others are gone');

# Only what was committed, whether in one phase or in two.
my $before = version();
$node->safe_psql('postgres', 'BEGIN; SELECT shred_number(2); ROLLBACK');
my $prepared = $node->safe_psql('postgres', q{BEGIN; SELECT shred_number(3); PREPARE TRANSACTION 'x'});
$node->safe_psql('postgres', 'BEGIN; SAVEPOINT s; SELECT shred_number(4); ROLLBACK TO s; COMMIT');
$node->safe_psql('postgres', 'SELECT purpose.rotate_root_key()');
survivors([], 'what was rolled back or only prepared is not punctured');
$node->safe_psql('postgres', q{COMMIT PREPARED 'x'});
final($prepared, 'COMMIT PREPARED has the worker come at once');
survivors([3], 'and what is committed so is punctured');

# While the cycle waits somewhere the receipt is not final.
my @events = qw(begun planned root_stored state_stored loaded root_destroyed state_removed version_noted retired);
my $number = 5;
foreach my $event (map { "key_cycle_$_" } @events)
{
	my $offset = -s $node->logfile;

	stop_at($event => 'wait');
	$receipt = shred($number);
	reached($event, $offset);
	allowed($node, {}, "SELECT destroyed_at FROM purpose.shred_receipt WHERE receipt_id = '$receipt'", '',
		"$event: the receipt is not final yet");
	stop_at();
	final($receipt, "$event: and then it is");
	survivors([ $number++ ], "$event: its key is gone");
}
clean('no old version is left');

# kill -9 there.
foreach my $event (map { "key_cycle_$_" } @events, 'receipts_marked')
{
	my $offset = -s $node->logfile;

	stop_at($event => 'crash');
	$receipt = shred($number);
	reached($event, $offset);
	stop_at();
	is_back();
	final($receipt, "$event, kill -9: the receipt becomes final");
	survivors([ $number++ ], "$event, kill -9: its key is gone, no other one is");
	clean("$event, kill -9: no old version is left");
}

# The same with nothing but a wish to replace the root: what was begun is
# finished without anybody asking again.
foreach my $event (map { "key_cycle_$_" } qw(root_stored state_stored root_destroyed))
{
	my $offset = -s $node->logfile;

	stop_at($event => 'crash');
	$node->psql('postgres', 'SELECT purpose.rotate_root_key()');
	reached($event, $offset);
	stop_at();
	is_back();
	foreach (1 .. 300)
	{
		last if objects('root') =~ /^root\.(\d+) root\.\1$/ && objects('state') =~ /^state\.(\d+) state\.\1$/;
		select(undef, undef, undef, 0.1);
	}
	survivors([], "$event while the root is replaced: no key is lost");
	clean("$event while the root is replaced: no old version is left");
}

# An error there is told, and tried again.
foreach my $event (map { "key_cycle_$_" } @events)
{
	my $offset = -s $node->logfile;

	stop_at($event => 'error');
	$receipt = shred($number);
	reached($event, $offset);
	ok($node->poll_query_until('postgres', q{SELECT last_error LIKE 'stop event%' FROM purpose.keyring_status}),
		"$event fails: the status tells");
	stop_at();
	final($receipt, "$event fails: the receipt becomes final");
	survivors([ $number++ ], "$event fails: its key is gone");
}
stop_at(key_cycle_planned => 'error');
denied($node, {}, 'SELECT purpose.rotate_root_key()', 'XX000', 'who replaces the root is told that it failed');
stop_at();
allowed($node, {}, 'SELECT purpose.rotate_root_key() > 0', 't', 'and when it did not');

# A mirror that fails in the middle.
foreach my $mirror ($one, $two)
{
	chmod 0500, "$mirror/$dir";
	$receipt = shred($number);
	ok(quietly(q{SELECT failures > 0 FROM purpose.keyring_status}),
		'a mirror that cannot be written to: the status tells');
	allowed($node, {}, "SELECT destroyed_at FROM purpose.shred_receipt WHERE receipt_id = '$receipt'", '',
		'the receipt is not final');
	survivors([], 'nothing is gone') if $mirror eq $one;
	chmod 0700, "$mirror/$dir";
	final($receipt, 'it is when the mirror can be written to again');
	survivors([ $number++ ], 'the key is gone, no other one is');
	clean('no old version is left');
}

# A mirror that fails once the new state is there: the old root stays on it.
my $offset = -s $node->logfile;
stop_at(key_cycle_loaded => 'wait');
$receipt = shred($number);
reached('key_cycle_loaded', $offset);
rename $two, "$two.away" or die;
stop_at();
ok(quietly(q{SELECT failures > 0 FROM purpose.keyring_status}),
	'a mirror vanishes before the old root is destroyed: the status tells');
allowed($node, {}, "SELECT destroyed_at FROM purpose.shred_receipt WHERE receipt_id = '$receipt'", '',
	'the receipt is not final');
rename "$two.away", $two or die;
final($receipt, 'it is when the mirror is back, and has forgotten too');
survivors([ $number++ ], 'the key is gone, no other one is');
clean('no old version is left');

# Several shreds in one cycle.
$node->safe_psql('postgres', q{ALTER SYSTEM SET purpose.shred_deadline = '1h'});
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('purpose.shred_deadline') = '1h'});
$before = version();
my @receipts = map { shred($_) } 50 .. 54;
allowed($node, {}, 'SELECT purpose.rotate_root_key()', $before + 1, 'shreds are gathered into one cycle');
final($_, 'which makes them final') foreach @receipts;
survivors([ 50 .. 54 ], 'all of them are gone');

# Many sessions derive keys and draw numbers while one version follows another.
$node->safe_psql('postgres', 'ALTER SYSTEM RESET purpose.shred_deadline');
$node->reload;
my @sessions = map { session($node, {}) } 1 .. 4;
my $deriving = q{SELECT count(DISTINCT key_fingerprint(n)), count(*) FILTER (WHERE key_fingerprint(n) IS NULL)
	FROM generate_series(55, 60) n, generate_series(1, 20000)};
my $drawing = 'INSERT INTO drawn SELECT draw_number() FROM generate_series(1, 70000)';
$node->safe_psql('postgres', 'CREATE TABLE drawn (n bigint PRIMARY KEY)');
$sessions[0]->{stdin} .= "$deriving;\n";
$sessions[1]->{stdin} .= "$deriving;\n";
$sessions[2]->{stdin} .= "$drawing;\n";
$sessions[3]->{stdin} .= "$drawing;\n";
$_->{run}->pump_nb foreach @sessions;
$before = version();
$node->safe_psql('postgres', 'SELECT purpose.rotate_root_key()') foreach 1 .. 10;
cmp_ok(version(), '>=', $before + 10, 'ten versions');
like(ask($_, 'SELECT 1'), qr/^6\|0\n1$/, 'meanwhile a session derives the same keys as ever') foreach @sessions[ 0, 1 ];
ask($_, 'SELECT 1') foreach @sessions[ 2, 3 ];
allowed($node, {}, 'SELECT count(*) FROM drawn', 140000, 'and two sessions draw numbers, none of them twice');
allowed($node, {}, $deriving, '6|0', 'keys are what they were');
survivors([], 'all of them');
$_->quit foreach @sessions;

# A database goes, and what was known of its keyring with it.
$node->safe_psql('postgres', 'CREATE DATABASE going');
$node->safe_psql('going', 'CREATE EXTENSION pg_purpose');
$node->safe_psql('going', slurp_file(dirname(__FILE__) . "/lib/test_keyring.sql"));

# The worker looks in before the transaction that makes the keyring has ended.
$offset = -s $node->logfile;
stop_at(key_worker_forgot => 'wait');
my $maker = session($node, { dbname => 'going' });
ask($maker, 'BEGIN; SELECT purpose.create_keyring()');
my $first = ask($maker, 'SELECT draw_number()');
reached('key_worker_forgot', $offset);
is(ask($maker, 'SELECT draw_number()'), $first + 1, 'a keyring that is being made is kept in memory, and goes on with its numbers');
stop_at();
is(ask($maker, 'COMMIT'), '', 'its transaction commits');
is(ask($maker, 'SELECT draw_number()'), $first + 2, 'and it goes on');
$maker->quit;
$node->safe_psql('postgres', 'DROP DATABASE going');
allowed($node, {}, 'SELECT purpose.rotate_root_key() > 0', 't', 'a dropped database is no hindrance');

# Nothing of a key is left in memory when the lease has lapsed.
ok($node->poll_query_until('postgres', 'SELECT memory_used = 0 FROM purpose.keyring_status'), 'keys that nobody uses are wiped');

# The launcher, ended, comes back.
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_purpose launcher'});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_purpose launcher'}),
	'the launcher comes back');
$node->poll_query_until('postgres', q{SELECT claim = 'held' FROM purpose.keyring_status});
allowed($node, {}, 'SELECT purpose.rotate_root_key() > 0', 't', 'and works');

$node->stop;
done_testing();
