# The journal when something fails: crashes at each step of an append, mirrors
# that are away, a journal that was tampered with; standbys, dumps and pruning.
use strict;
use warnings;
use File::Basename qw(basename);
use File::Copy qw(copy move);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my ($one, $two) = ("$base/a", "$base/b");
mkdir $_, 0700 foreach $one, $two;
my $stop = "$base/stop.conf";
append_to_file($stop, '');

my $conf = qq{
purpose.keyring = 'file:$one, file:$two'
purpose.key_lease = '500ms'
restart_after_crash = on
};
my $main = purpose_cluster('main', allows_streaming => 1, conf => "include = '$stop'\n$conf");
shop($main);
(my $dir = $main->safe_psql('postgres', 'SELECT purpose.create_keyring()')) =~ tr/-//d;
my $app = { user => 'regress_purpose_app', purpose => 'marketing' };
my $ids = q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers};

sub written
{
	my ($node, $dbname) = @_;

	return $node->poll_query_until($dbname // 'postgres',
		'SELECT NOT EXISTS (SELECT FROM purpose.journal_outbox)');
}

sub objects { return sort { ($a =~ /(\d+)$/)[0] <=> ($b =~ /(\d+)$/)[0] } glob("$_[0]/$dir/journal.*[0-9]"); }

sub names { return join ' ', map { basename($_) } objects($_[0]); }

sub entries { return $main->safe_psql('postgres', 'SELECT coalesce(max(sequence), 0) FROM purpose.journal_state'); }

sub settings
{
	my (%settings) = @_;

	open(my $file, '>', $stop) or die "$stop: $!";
	print $file "$_ = '$settings{$_}'\n" foreach keys %settings;
	close $file;
	$main->reload;
	foreach my $name (keys %settings)
	{
		$main->poll_query_until('postgres', "SELECT current_setting('$name') = '$settings{$name}'");
	}
	return;
}

sub stop_at
{
	my (%events) = @_;

	settings('purpose.test_stop_event' => join(', ', map { "$_:$events{$_}" } keys %events));
	return;
}

sub reached
{
	my ($event, $offset) = @_;

	foreach (1 .. 1800)
	{
		return 1 if slurp_file($main->logfile, $offset) =~ /stop event $event reached/;
		select(undef, undef, undef, 0.1);
	}
	die "stop event $event was not reached";
}

sub says
{
	my ($what) = @_;

	$main->safe_psql('postgres', "SELECT purpose.$what('customers', 1, 'marketing')");
	return;
}

says('grant_consent');
ok(written($main), 'an event is written');
my $entries = entries();

# kill -9 at each step: each event is in the journal once, and nobody is alarmed.
foreach my $event (qw(journal_read journal_stored journal_appended journal_noted))
{
	my $offset = -s $main->logfile;

	stop_at($event => 'crash');
	says('withdraw_consent');
	reached($event, $offset);
	stop_at();
	ok(written($main), "$event, kill -9: the event is written");
	is(entries(), ++$entries, "$event, kill -9: once");
	allowed($main, $app, $ids, '', "$event, kill -9: rows are given");
	$offset = -s $main->logfile;
	stop_at($event => 'error');
	says('grant_consent');
	reached($event, $offset);
	stop_at();
	ok(written($main), "$event fails: the event is written");
	is(entries(), ++$entries, "$event fails: once");
	allowed($main, $app, $ids, 1, "$event fails: rows are given");
}

# An append that was stored and not noted, and a server that starts.
my $offset = -s $main->logfile;
stop_at(journal_appended => 'wait');
says('withdraw_consent');
reached('journal_appended', $offset);
$main->stop('immediate');
open(my $file, '>', $stop) or die "$stop: $!";
print $file "purpose.test_stop_event = 'journal_read:wait'\n";
close $file;
$main->start;
allowed($main, $app, $ids, '', 'an append that was not noted is not taken for a restore');
is(entries(), $entries, 'before the worker has noted it');
stop_at();
ok(written($main), 'then it has');
is(entries(), ++$entries, 'once');
says('grant_consent');
written($main);

$main->restart;
allowed($main, $app, $ids, 1, 'so after a restart');
is(names($one), names($two), 'the mirrors have the same');

# A commit that nobody waited for is flushed before it is in the journal.
$main->safe_psql('postgres', q{SET synchronous_commit = off; SELECT purpose.withdraw_consent('customers', 1, 'marketing')});
written($main);
$main->stop('immediate');
$main->start;
allowed($main, $app, $ids, '', 'an event that was committed asynchronously is not in the journal only');
says('grant_consent');
written($main);
$entries = entries();

# Mirrors that are away.
chmod 0500, "$two/$dir";
says('withdraw_consent');
allowed($main, $app, $ids, '', 'a mirror cannot be written to: people are heard all the same');
settings('purpose.test_clock' => '2099-01-01');
allowed($main, {}, q{SELECT severity, object FROM purpose.check() WHERE object LIKE 'purpose.journal%'},
	'warning|purpose.journal_outbox', 'check() tells that events wait');
settings();
chmod 0700, "$two/$dir";
ok(written($main), 'they are written when it is back');
is(entries(), ++$entries, 'once');
is(names($one), names($two), 'the mirrors have the same');
$main->stop;
rename $one, "$one.away" or die;
rename $two, "$two.away" or die;
$main->start;
denied($main, $app, $ids, 'PU011', 'no mirror is there: rows are refused, since nobody knows what they lack');
denied($main, {}, q{SELECT purpose.withdraw_consent('customers', 1, 'marketing')}, 'PU011', 'and consents');
allowed($main, {}, $ids, '1 2 3 4 5 6', 'a superuser sees clear data');
allowed($main, {}, q{SELECT severity FROM purpose.check() WHERE object = 'purpose.journal_state'}, 'error', 'check() tells');
rename "$one.away", $one or die;
rename "$two.away", $two or die;
says('grant_consent');
allowed($main, $app, $ids, 1, 'they are given when it is there again');
written($main);

# More than fits into one object.
$main->safe_psql('postgres', q{
	INSERT INTO customers (id) SELECT i FROM generate_series(1001, 4000) i;
	INSERT INTO purpose.consent_import (subject_table, subject, purpose) SELECT 'customers', i::text, 'marketing' FROM generate_series(1001, 4000) i;
});
written($main);
$main->command_ok([ 'pg_dump', '-Fc', '-f', "$base/dump", $main->connstr('postgres') ], 'a dump');
says('withdraw_consent');
written($main);
$main->safe_psql('postgres', q{
	INSERT INTO purpose.consent_import (subject_table, subject, purpose, state) SELECT 'customers', i::text, 'marketing', 'withdrawn' FROM generate_series(1001, 3999) i;
});
written($main);
says('withdraw_consent');
written($main);
my @objects = map { basename($_) } objects($one);
cmp_ok(scalar(@objects), '>', 2, 'a journal of several objects');
allowed($main, $app, $ids, 4000, 'who has consented');

# The dump is loaded beside it.
$main->safe_psql('postgres', 'CREATE DATABASE loaded');
$main->command_ok([ 'pg_restore', '--exit-on-error', '-d', $main->connstr('loaded'), "$base/dump" ], 'is loaded');
my $loaded = { %$app, dbname => 'loaded' };
denied($main, $loaded, $ids, 'PU017', 'and lacks what was said since');
allowed($main, { dbname => 'loaded' }, 'SELECT kind, replayed, subject_gone FROM purpose.reconcile()', 'withdrawn|3001|0', 'it is reconciled');
allowed($main, $loaded, $ids, 4000, 'and has it');
$main->safe_psql('postgres', 'DROP DATABASE loaded');

# People who are not there, tables that have another name, or none.
$main->safe_psql('postgres', 'CREATE DATABASE loaded');
$main->command_ok([ 'pg_restore', '--exit-on-error', '-d', $main->connstr('loaded'), "$base/dump" ], 'the dump is loaded again');
$main->safe_psql('loaded', q{
	DELETE FROM purpose.consent_state WHERE subject = '1001' AND purpose = 'marketing';
	ALTER TABLE purpose.consent_history DISABLE TRIGGER append_only;
	DELETE FROM purpose.consent_history WHERE subject = '1001';
	ALTER TABLE purpose.consent_history ENABLE ALWAYS TRIGGER append_only;
	DELETE FROM customers WHERE id = 1001;
	ALTER TABLE customers RENAME TO clients});
allowed($main, { dbname => 'loaded' }, 'SELECT kind, replayed, subject_gone FROM purpose.reconcile()', 'withdrawn|3000|1',
	'who is not there is counted; a table that was renamed is found');
allowed($main, { dbname => 'loaded' }, q{SELECT severity, object, remedy FROM purpose.check() WHERE object LIKE 'purpose.journal%'},
	'info|purpose.journal_replay|SELECT * FROM purpose.reconcile();', 'and remembered');
$main->safe_psql('loaded', q{INSERT INTO clients (id) VALUES (1001); SELECT purpose.grant_consent('clients', 1001, 'marketing')});
allowed($main, { dbname => 'loaded' }, 'SELECT kind, replayed, subject_gone FROM purpose.reconcile()', 'withdrawn|1|0', 'who is there again later is replayed then');
allowed($main, { dbname => 'loaded' }, q{SELECT state FROM purpose.consent_state WHERE subject = '1001' AND purpose = 'marketing'}, 'given',
	'but does not undo what was said meanwhile');
$main->safe_psql('postgres', 'DROP DATABASE loaded');

$main->safe_psql('postgres', 'CREATE DATABASE loaded');
$main->command_ok([ 'pg_restore', '--exit-on-error', '-d', $main->connstr('loaded'), "$base/dump" ], 'and again');
$main->safe_psql('loaded', q{
	SELECT purpose.unprotect('items'); SELECT purpose.unprotect('orders');
	DELETE FROM purpose.consent_state; DELETE FROM purpose.journal_table;
	SELECT purpose.unprotect('customers'); ALTER TABLE customers RENAME TO clients});
denied($main, { dbname => 'loaded' }, 'SELECT * FROM purpose.reconcile()', 'PU006', 'a table that is not found is an error');
$main->safe_psql('loaded', q{SELECT purpose.protect('clients', subject => 'id')});
denied($main, { dbname => 'loaded' }, 'SELECT * FROM purpose.reconcile()', 'PU006', 'also under another name');
denied($main, { dbname => 'loaded' }, q{SELECT * FROM purpose.reconcile(tables => '{"public.customers": "public.orders"}')}, 'PU006', 'one that is no subject table is, too');
allowed($main, { dbname => 'loaded' }, q{BEGIN; SELECT kind, replayed, subject_gone FROM purpose.reconcile(tables => '{"public.customers": null}'); ROLLBACK}, 'withdrawn|0|3001',
	'unless it is said that it is gone');
allowed($main, { dbname => 'loaded' }, q{SELECT kind, replayed, subject_gone FROM purpose.reconcile(tables => '{"public.customers": "public.clients"}')}, 'withdrawn|3001|0',
	'or what it is called now');
$main->safe_psql('postgres', 'DROP DATABASE loaded');

# A standby does not ask until it is promoted.
$main->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($main, 'base', has_streaming => 1);
$standby->start;
$main->wait_for_catchup($standby, 'replay', $main->lsn('insert'));
allowed($standby, $app, $ids, 4000, 'a standby');
$standby->stop;
$main->safe_psql('postgres', q{SELECT purpose.withdraw_consent('customers', 4000, 'marketing')});
written($main);
$main->stop;
$standby->start;
my $open = session($standby, $app);
is(ask($open, $ids), '4000', 'that lags behind gives rows');
$standby->promote;
is(ask($open, $ids), 'PU017', 'once it is promoted it is asked what it lacks, by sessions that were open, too');
denied($standby, $app, $ids, 'PU017', 'and by others');
$standby->safe_psql('postgres', 'SELECT purpose.reconcile()');
is(ask($open, $ids), '', 'it is reconciled');
$open->quit;
$standby->safe_psql('postgres', 'SELECT purpose.claim_keyring()');
ok(written($standby), 'takes the claim, and goes on with the journal');
$standby->stop;
$main->start;
denied($main, $app, $ids, 'PU017', 'the old primary lacks that');
$main->safe_psql('postgres', 'SELECT purpose.reconcile(); SELECT purpose.claim_keyring()');
allowed($main, $app, $ids, '', 'until it is reconciled');
written($main);

# Tampering.  Each of these is seen when the server starts.
@objects = map { basename($_) } objects($one);
my $newest = $objects[-1];

sub tampered
{
	my ($name, $deed) = @_;
	my %kept;

	$main->stop;
	foreach my $file (map { ("$one/$dir/$_", "$two/$dir/$_") } @objects)
	{
		$kept{$file} = slurp_file($file);
	}
	foreach my $place ("$one/$dir", "$two/$dir") { $deed->($place); }
	$main->start;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	denied($main, $app, $ids, 'PU011', "$name: refused");
	$main->stop;
	foreach my $file (keys %kept) { put($file, $kept{$file}); }
	$main->start;
	allowed($main, $app, $ids, '', "$name: and put right again");
	return;
}

sub put
{
	my ($file, $content) = @_;

	open(my $out, '>', $file) or die "$file: $!";
	binmode $out;
	print $out $content;
	close $out;
	chmod 0600, $file;
	return;
}

tampered('a byte is changed', sub {
	my $content = slurp_file("$_[0]/$newest");
	substr($content, length($content) / 2, 1) ^= "\x01";
	put("$_[0]/$newest", $content);
});
tampered('the end is cut off', sub {
	my $content = slurp_file("$_[0]/$newest");
	put("$_[0]/$newest", substr($content, 0, -1));
});
tampered('the newest part is gone', sub { unlink "$_[0]/$newest"; });
tampered('all of it is gone', sub { unlink map { "$_[0]/$_" } @objects; });
tampered('an earlier part stands in its place', sub { copy("$_[0]/$objects[0]", "$_[0]/$newest"); });

# Given up, when it is lost for good.
$main->stop;
foreach my $place ("$one/$dir", "$two/$dir") { unlink "$place/$newest"; }
$main->start;
denied($main, {}, 'SELECT * FROM purpose.reconcile()', 'PU011', 'a journal that lost its end cannot be reconciled with');
allowed($main, {}, 'SELECT * FROM purpose.reconcile(accept_loss => true)', '', 'unless that is accepted');
allowed($main, $app, $ids, '', 'then it begins anew');
ok(written($main), 'and is written again');
$main->restart;
allowed($main, $app, $ids, '', 'for good');

# Pruning: behind a checkpoint, and never what a backup may need.
$main->command_ok([ 'pg_dump', '-Fc', '-f', "$base/dump", $main->connstr('postgres') ], 'a dump');
$main->safe_psql('postgres', q{
	INSERT INTO purpose.consent_import (subject_table, subject, purpose) SELECT 'customers', i::text, 'marketing' FROM generate_series(1001, 2000) i;
});
written($main);
says('grant_consent');
written($main);
my $names = names($one);
settings('purpose.backup_horizon' => 30);
says('withdraw_consent');
written($main);
$main->restart;
settings('purpose.backup_horizon' => 30, 'purpose.test_clock' => '2099-01-01');
says('grant_consent');
written($main);
my ($first) = map { basename($_) } objects($one);
unlike($names, qr/^$first /, 'what is older than any backup is pruned');
is(names($one), names($two), 'on all mirrors');
$main->restart;
allowed($main, $app, $ids, undef, 'the rest holds together');
$main->safe_psql('postgres', 'CREATE DATABASE loaded');
$main->command_ok([ 'pg_restore', '--exit-on-error', '-d', $main->connstr('loaded'), "$base/dump" ], 'a dump from before is loaded');
denied($main, $loaded, $ids, 'PU017', 'it lacks what nobody knows any more');
denied($main, { dbname => 'loaded' }, 'SELECT * FROM purpose.reconcile()', 'PU017', 'and cannot be reconciled');
allowed($main, { dbname => 'loaded' }, 'SELECT count(*) FROM purpose.reconcile(accept_loss => true)', undef, 'unless that is accepted');
allowed($main, $loaded, $ids, undef, 'then it goes on');

$main->stop;
done_testing();
