# Forks of a keyring: a copy of a database goes its own way with the keys of all
# values that it holds.  Neither reaches the other with a shred, each says so in
# its receipts, and no number has the same key in both that one of them gives out
# afterwards.
use strict;
use warnings;
use File::Basename qw(basename dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my ($one, $two, $elsewhere) = ("$base/a", "$base/b", "$base/c");
mkdir $_, 0700 foreach $one, $two, $elsewhere;
my $functions = slurp_file(dirname(__FILE__) . "/lib/test_keyring.sql");

my $production = purpose_cluster('production', allows_streaming => 1, has_archiving => 1,
	conf => "purpose.keyring = 'file:$one, file:$two'\npurpose.key_lease = '500ms'\n");
$production->safe_psql('postgres', $functions . q{
	SELECT purpose.create_purpose('billing', basis => 'contract');
	SELECT purpose.create_purpose('marketing', basis => 'consent');
	CREATE ROLE regress_purpose_app LOGIN;
	SELECT purpose.grant_purpose(p, 'regress_purpose_app') FROM unnest('{billing,marketing}'::text[]) p;
	CREATE TABLE people (id bigint PRIMARY KEY, name purpose.sealed_text(billing), mail purpose.searchable_text(billing) UNIQUE);
	SELECT purpose.protect('people', subject => 'id');
	GRANT SELECT, INSERT, UPDATE, DELETE ON people TO regress_purpose_app;
	INSERT INTO people SELECT i, 'name' || i, 'mail' || i FROM generate_series(1, 9) i;
	SELECT purpose.grant_consent('people', i::bigint, 'marketing') FROM generate_series(1, 9) i;
});
my $parent = $production->safe_psql('postgres', 'SELECT keyring FROM purpose.keyring_binding');
(my $dir = $parent) =~ tr/-//d;

my $names = q{SELECT string_agg(id || coalesce(name::text, ''), ' ' ORDER BY id) FROM people};
my $marketing = { user => 'regress_purpose_app', purpose => 'marketing' };

# opens(NODE, GONE, NAME, [DBNAME]): all names of the first nine open, but those.  One assertion.
sub opens
{
	my ($node, $gone, $name, $dbname) = @_;
	my %gone = map { $_ => 1 } @$gone;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return allowed($node, { purpose => 'billing', dbname => $dbname // 'postgres' },
		"$names WHERE id < 10", join(' ', map { $gone{$_} ? $_ : "${_}name$_" } 1 .. 9), $name);
}

sub shred
{
	my ($node, $id, $dbname) = @_;

	return $node->safe_psql($dbname // 'postgres', "SELECT purpose.shred('people', $id)");
}

# final(NODE, RECEIPT, NAME, [DBNAME]): the receipt becomes final.  One assertion.
sub final
{
	my ($node, $receipt, $name, $dbname) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until($dbname // 'postgres',
			"SELECT destroyed_at IS NOT NULL FROM purpose.shred_receipt WHERE receipt_id = '$receipt'"), $name);
}

# others(NODE, RECEIPT, KEY, EXPECTED, NAME, [DBNAME]): the keyrings that the receipt
# says are not reached, and verify_receipt() too.  One assertion.
sub others
{
	my ($node, $receipt, $key, $expected, $name, $dbname) = @_;
	my $list = '[' . join(', ', map { "\"$_\"" } @$expected) . ']';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return allowed($node, { dbname => $dbname // 'postgres' }, qq{
		SELECT coalesce(residual -> '$key', '[]'), purpose.verify_receipt('$receipt') -> '$key', purpose.verify_receipt('$receipt') -> 'verified'
		FROM purpose.shred_receipts WHERE receipt_id = '$receipt'}, "$list|$list|true", $name);
}

# ended(NODE, FORK, NAME): a fork is ended, as soon as its claim is given up.  One assertion.
sub ended
{
	my ($node, $id, $name) = @_;
	my ($status, $out, $err);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach (1 .. 50)
	{
		($status, $out, $err) = run_as($node, {}, "SELECT purpose.end_fork('$id')");
		last if $status == 0;
	}
	return is($status, 0, $name) || diag($err);
}

sub written
{
	my ($node) = @_;

	return $node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM purpose.journal_outbox)');
}

sub reached
{
	my ($node, $event, $offset) = @_;

	foreach (1 .. 1800)
	{
		return 1 if slurp_file($node->logfile, $offset) =~ /stop event $event reached/;
		select(undef, undef, undef, 0.1);
	}
	die "stop event $event was not reached";
}

sub stop_at
{
	my ($node, $setting) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET purpose.test_stop_event = '$setting'");
	$node->reload;
	return;
}

# copy_of(NAME, BACKUP, [CONF]): a server started from a backup of production.
sub copy_of
{
	my ($name, $backup, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($production, $backup);
	$node->append_conf('postgresql.conf', "archive_mode = off\npurpose.test_stop_event = ''\n" . ($conf // ''));
	unlink $node->data_dir . '/postgresql.auto.conf';
	$node->start;
	return $node;
}

# What was shredded before the fork is gone in it, too; what waits to be
# destroyed stays closed, and is destroyed by each of the two.
my $before = shred($production, 1);
final($production, $before, 'somebody is shredded before the fork');
stop_at($production, 'key_cycle_planned:wait');
my $offset = -s $production->logfile;
my $pending = shred($production, 2);
reached($production, 'key_cycle_planned', $offset);
$production->backup('base');
my $clone = copy_of('clone', 'base', "purpose.keyring = 'file:$one'\n");
denied($clone, { purpose => 'billing' }, q{INSERT INTO people VALUES (20, 'x')}, 'PU013', 'a clone makes no keys for new people');
denied($production, {}, "SELECT purpose.fork_keyring(keep_values => $_)", '55000', 'production is no copy') foreach 'true', 'false';
my $fork = $clone->safe_psql('postgres', 'SELECT purpose.fork_keyring(keep_values => true)');
isnt($fork, $parent, 'the clone gets another keyring');
opens($clone, [ 1, 2 ], 'with which all values open that did before');
allowed($clone, { purpose => 'billing' }, q{SELECT id FROM people WHERE mail = 'mail5'}, 5, 'and are found');
allowed($clone, {}, q{SELECT other, is_origin, ended_at FROM purpose.keyring_copy}, "$parent|t|", 'it knows of which keyring it is a copy');
final($clone, $pending, 'who was being shredded when it was copied is shredded in the fork');
allowed($clone, {}, qq{SELECT destroyed_at IS NULL FROM purpose.shred_receipt WHERE receipt_id = '$pending'}, 'f', 'before production has done so');
stop_at($production, '');
final($production, $pending, 'and in production');
others($production, $before, 'forks', [], 'the receipt of before the fork does not list it');
others($production, $pending, 'forks', [$fork], 'that of which the fork had the key does');
others($clone, $before, 'copy_of', [], 'nor does that receipt list production in the fork');
allowed($clone, {}, q{SELECT count(DISTINCT subject_hash), count(*) FROM purpose.shred_receipts}, '2|2', 'receipts in the fork say whose they are');
ok($production->poll_query_until('postgres', "SELECT pg_ls_dir ~ '^fork' FROM pg_ls_dir('$two/$dir') ORDER BY pg_ls_dir ~ '^fork' DESC LIMIT 1"),
	'the record is on the mirror, too, that the clone does not have');

# Each shreds for itself.
my $here = shred($production, 3);
my $there = shred($clone, 4);
final($production, $here, 'production shreds');
final($clone, $there, 'and so does the fork');
opens($production, [ 1, 2, 3 ], 'production has lost nothing but that');
opens($clone, [ 1, 2, 4 ], 'nor has the fork');
others($production, $here, 'forks', [$fork], 'the receipt lists the fork as not reached');
others($clone, $there, 'copy_of', [$parent], 'and that in the fork what it was copied from');
allowed($production, {}, q{SELECT severity, object, remedy FROM purpose.check() WHERE object ~ 'keyring: fork '},
	"warning|keyring: fork $fork|SELECT purpose.end_fork('$fork'); -- once that database is gone", 'check() names the fork');
allowed($clone, {}, q{SELECT severity, object FROM purpose.check() WHERE problem ~ 'not destroyed there'}, "info|keyring: keyring $parent", 'and in the fork the other one');

# Numbers: those of before have the same key in both, and no other one has.
my $end = 65536;
my ($n) = $clone->safe_psql('postgres', q{SELECT max(draw_number()) FROM generate_series(1, 10)});
cmp_ok($n, '>', $end, 'the fork gives out numbers above all that production had given out');
$production->safe_psql('postgres', "SELECT draw_number() FROM generate_series(1, 66000)");
my $key = q{SELECT string_agg(key_fingerprint(n, 0, k), ' ' ORDER BY n, k) FROM generate_series(%s, %s) n, generate_series(1, 3) k};
my ($low, $high) = (sprintf($key, $end - 5, $end - 1), sprintf($key, $end, $end + 4));
is($clone->safe_psql('postgres', $low), $production->safe_psql('postgres', $low), 'numbers of before have one key in both');
my %seen = map { $_ => 1 } split ' ', $production->safe_psql('postgres', $high);
is(scalar(grep { $seen{$_} } split ' ', $clone->safe_psql('postgres', $high)), 0, 'the same number, given out since, has another one in each');
$production->safe_psql('postgres', q{INSERT INTO people VALUES (30, 'late')});
my $late = shred($production, 30);
final($production, $late, 'who came to production later is shredded');
others($production, $late, 'forks', [], 'and of that one the fork never had a key');
$clone->safe_psql('postgres', q{INSERT INTO people VALUES (40, 'new')});
allowed($clone, { purpose => 'billing' }, q{SELECT name::text FROM people WHERE id = 40}, 'new', 'the fork seals for new people');
my $own = shred($clone, 40);
final($clone, $own, 'and shreds them');
others($clone, $own, 'copy_of', [], 'which concerns nobody else');

# A restart, and a new root, change nothing.
$clone->restart;
$clone->safe_psql('postgres', 'SELECT purpose.rotate_root_key()');
opens($clone, [ 1, 2, 4 ], 'the fork goes on after a restart, under a new root');

# The parent's journal has it: a restore to before the fork learns of it again.
ok(written($production), 'the journal is written');
$production->safe_psql('postgres', 'SELECT pg_switch_wal()');
my $restored = copy_of('restored', 'base');
allowed($restored, {}, 'SELECT count(*) FROM purpose.keyring_copy', 0, 'a database that is put back to before the fork knows nothing of it');
denied($restored, {}, "SELECT purpose.fork_keyring(keep_values => $_)", 'PU017', 'and gets no keyring of its own before it is reconciled') foreach 'true', 'false';
denied($restored, {}, 'SELECT purpose.fork_keyring(accept_loss => true)', 'PU017', 'accept_loss is about what nobody can tell');
allowed($restored, {}, q{SELECT kind, replayed FROM purpose.reconcile() WHERE kind = 'forked'}, 'forked|1', 'reconciled, it learns of the fork');
allowed($restored, {}, q{SELECT other, is_origin FROM purpose.keyring_copy}, "$fork|f", 'by its name');
others($restored, $here, 'forks', [$fork], 'and receipts list it again');

# A fork that never comes to be: it is recorded before it has any key, so that
# no receipt can overlook it.
stop_at($restored, 'key_fork_recorded:wait');
$offset = -s $restored->logfile;
my $session = session($restored, {});
$session->{stdin} .= "BEGIN; SELECT purpose.fork_keyring(keep_values => true); ROLLBACK;\n";
$session->{run}->pump_nb;
reached($restored, 'key_fork_recorded', $offset);
$here = shred($production, 5);
final($production, $here, 'production shreds while somebody makes a fork');
my ($orphan) = $production->safe_psql('postgres', qq{SELECT other FROM purpose.keyring_copy WHERE other <> '$fork'});
others($production, $here, 'forks', [ $fork, $orphan ], 'whose record is there before any key is copied');
stop_at($restored, '');
ask($session, 'SELECT 1');
$session->quit;
allowed($restored, {}, 'SELECT keyring FROM purpose.keyring_binding', $parent, 'rolled back, it is bound to the keyring that it had');
denied($production, {}, "SELECT purpose.end_fork('$parent')", '42704', 'only a fork can be ended');
denied($restored, {}, "SELECT purpose.end_fork('$orphan')", 'PU013', 'and only by who holds the claim');
$production->safe_psql('postgres', "SELECT purpose.end_fork('$orphan')");
others($production, $here, 'forks', [$fork], 'what was left of it is destroyed, and listed no more');

# fork_keyring() without values forgets the other keyring's numbers in events
# that wait for the journal, too.
$restored->safe_psql('postgres', q{SELECT purpose.reconcile()});
shred($restored, 6);
$restored->safe_psql('postgres', q{SELECT purpose.withdraw_consent('people', 7, 'marketing')});
allowed($restored, {}, q{SELECT string_agg(kind, ' ' ORDER BY kind) FROM purpose.journal_outbox WHERE kind <> 'reconciled'}, 'shred withdrawn', 'a copy that shreds has that wait for the journal');
$restored->safe_psql('postgres', 'SELECT purpose.fork_keyring()');
allowed($restored, {}, q{SELECT count(*) FROM purpose.journal_outbox WHERE kind = 'shred'}, 0, 'which is not for the journal of another keyring');
ok(written($restored), 'what people said is');
allowed($restored, {}, 'SELECT count(*) FROM purpose.keyring_copy', 0, 'and it is no copy of any keyring');
denied($restored, { purpose => 'billing' }, $names, 'PU012', 'values of before do not open');
$restored->stop;

# A copy that does not reach the keyring cannot know what it lacks.
my $apart = copy_of('apart', 'base', "purpose.keyring = 'file:$elsewhere'\n");
denied($apart, {}, 'SELECT purpose.fork_keyring()', 'PU011', 'a copy that cannot be told what it lacks gets no keyring');
denied($apart, $marketing, 'SELECT count(*) FROM people', 'PU011', 'nor are its protected rows read');
denied($apart, {}, 'SELECT purpose.fork_keyring(keep_values => true, accept_loss => true)', 'PU011', 'nor has it keys that it could keep');
$apart->safe_psql('postgres', 'SELECT purpose.fork_keyring(accept_loss => true)');
allowed($apart, $marketing, 'SELECT count(*) FROM people', 9, 'unless that is what is wanted');
allowed($apart, { purpose => 'billing' }, q{UPDATE people SET name = 'again' WHERE id = 1 RETURNING name::text}, 'again', 'then it seals with keys of its own');
$apart->stop;

# A fork of the fork is one of production's, too.
$clone->safe_psql('postgres', 'CREATE DATABASE second TEMPLATE template0');
my $dump = "$base/dump.sql";
$clone->command_ok([ 'pg_dump', '-f', $dump, $clone->connstr('postgres') ], 'the fork is dumped');
$clone->safe_psql('second', slurp_file($dump));
my $second = $clone->safe_psql('second', 'SELECT purpose.fork_keyring(keep_values => true)');
opens($clone, [ 1, 2, 4 ], 'a fork of the fork opens what the fork did', 'second');
allowed($clone, { dbname => 'second' }, q{SELECT string_agg(other::text, ' ' ORDER BY other) FROM purpose.keyring_copy WHERE is_origin},
	join(' ', sort $fork, $parent), 'it has the keys of two keyrings');
$here = shred($production, 8);
final($production, $here, 'production shreds');
others($production, $here, 'forks', [ $fork, $second ], 'and lists both');
$there = shred($clone, 9);
final($clone, $there, 'the fork shreds');
others($clone, $there, 'forks', [$second], 'and lists the other one');
my $last = shred($clone, 7, 'second');
final($clone, $last, 'the last one shreds', 'second');
others($clone, $last, 'copy_of', [ $parent, $fork ], 'and lists the two', 'second');

# The end of a fork.
denied($production, {}, "SELECT purpose.end_fork('$fork')", 'PU013', 'a fork that is in use is not destroyed');
opens($clone, [ 1, 2, 4, 9 ], 'its values still open');
$clone->safe_psql('postgres', 'DROP DATABASE second');
ok($clone->poll_query_until('postgres', "SELECT count(*) = 1 FROM purpose._keyring_forks()"), 'it is recorded');
ended($clone, $second, 'a database that is dropped gives its keyring up');
others($clone, $there, 'forks', [], 'a fork of the fork is ended there');
allowed($clone, {}, qq{SELECT verified FROM purpose.keyring_copy WHERE other = '$second'}, 't', 'whose keys are gone');
denied($clone, {}, "SELECT purpose.end_fork('$parent')", '55000', 'no fork destroys the keyring that it was copied from');
$clone->safe_psql('postgres', "SELECT purpose.end_fork('$parent', unverified => true)");
$last = shred($clone, 8);
final($clone, $last, 'the fork shreds');
others($clone, $last, 'copy_of', [], 'but can be told that there is no such keyring any more');
$clone->stop;
$production->safe_psql('postgres', "SELECT purpose.end_fork('$fork')");
others($production, $here, 'forks', [$second], 'the fork is ended');
system_or_bail('rm', '-rf', glob("{$one,$two}/" . $second =~ tr/-//dr));
denied($production, {}, "SELECT purpose.end_fork('$second')", 'PU011', 'one that the provider does not know may be elsewhere');
$production->safe_psql('postgres', "SELECT purpose.end_fork('$second', unverified => true)");
others($production, $here, 'forks', [], 'unless somebody vouches for its end: production lists none any more');
allowed($production, {}, q{SELECT count(*) FROM purpose.check() WHERE object ~ 'keyring: fork '}, 0, 'nor does check()');
allowed($production, {}, q{SELECT string_agg(verified::text, ' ' ORDER BY made_at), count(ended_at) FROM purpose.keyring_copy}, 'true true false|3', 'it is known of which the keys were destroyed');
is(join(' ', glob("$one/$dir/fork.* $two/$dir/fork.*")), '', 'no record is left');
opens($production, [ 1, 2, 3, 5, 8 ], 'production has lost nothing by that');
$clone->start;
denied($clone, { purpose => 'billing' }, $names, 'PU011', 'but the clone, started again, has lost all');
$clone->stop;
$production->stop;
done_testing();
