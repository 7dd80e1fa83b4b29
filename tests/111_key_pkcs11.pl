# The shipped key provider for PKCS#11 tokens, with a token in software
# (SoftHSM): what it keeps, that it forgets, and that secrets are in the token
# only.
use strict;
use warnings;
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my ($module) = grep { -e $_ } map { "$_/softhsm/libsofthsm2.so" } '/usr/lib', '/usr/lib64', glob('/usr/lib/*-linux-gnu');

foreach my $tool (qw(softhsm2-util pkcs11-tool))
{
	plan skip_all => "$tool is not installed" unless grep { -x "$_/$tool" } split(/:/, $ENV{PATH});
}
plan skip_all => 'SoftHSM has no library' unless defined $module;

my $base = PostgreSQL::Test::Utils::tempdir;
my $keyring = '00112233445566778899aabbccddeeff';
my $keys = "$base/keys";

mkdir $_, 0700 foreach "$base/tokens", $keys;
append_to_file("$base/softhsm2.conf",
	"directories.tokendir = $base/tokens\nobjectstore.backend = file\nlog.level = ERROR\n");
$ENV{SOFTHSM2_CONF} = "$base/softhsm2.conf";
system_or_bail('softhsm2-util', '--init-token', '--free', '--label', 'keyring', '--pin', '123456', '--so-pin', '654321');
append_to_file("$base/pin", "123456\n");
append_to_file("$base/config", "module=$module\ntoken=keyring\npin_file='$base/pin'\ndirectory='$keys'\n");

chomp(my $bindir = `pg_config --bindir`);
my ($script) = grep { -x $_ } map { "$_/pg_purpose-keyring-pkcs11" } split(/:/, $ENV{PATH}), $bindir;
ok(defined $script, 'the script is installed') or BAIL_OUT('no script');

my $node = purpose_cluster('main', conf => "purpose.keyring = 'command:$script \"$base/config\"'\npurpose.provider_timeout = '60s'");
$node->safe_psql('postgres', slurp_file(dirname(__FILE__) . "/lib/test_provider.sql"));

sub answers
{
	my ($arguments, $answer, $name) = @_;
	my ($status, $out, $err) = run_as($node, {}, "SELECT provider($arguments)");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status == 0 ? $out : $err, $answer, $name) or diag($err);
	return;
}

# Everything that is in the directory, by name.
sub directory
{
	return join(' ', sort map { s{.*/}{}r } glob("$keys/$keyring/*"));
}

# The labels of what is in the token.
sub token
{
	my $objects = `pkcs11-tool --module $module --token-label keyring --login --pin 123456 --list-objects --type data`;

	return join(' ', sort $objects =~ /label: +'([^']*)'/g);
}

# A secret, with bytes that text would not survive.
my $secret = '000a0d27225c00ff8000000000000000000000000000000000000000000000fe';

answers("'check'", 'done', 'nothing is wrong with the program');
answers("'list'", 'done', 'nothing is there');
answers("'status'", 'unknown', 'and nothing is known to have been destroyed');
answers("'store', 'root', 1, 1, '\\x$secret'", 'done', 'a root');
answers("'fetch'", "done $secret", 'is given back');
is(token(), "$keyring.root.1", 'it is in the token');
is(directory(), 'fence lock', 'and in no file');
answers("'store', 'root', 1, 1, '\\x$secret'", 'done', 'storing it again is no change');
answers("'store', 'root', 1, 1, '\\x00'", 'exists', 'other content is refused');
is(token(), "$keyring.root.1", 'it is there once');
answers("'store', 'state', 1, 1, '\\x$secret'", 'done', 'what is no secret');
answers("'fetch', 'state', 1", "done $secret", 'is given back');
is(directory(), 'fence lock state.1', 'from a file');
answers("'store', 'state', 1, 1, '\\x$secret'", 'done', 'storing it again is no change');
answers("'store', 'state', 1, 1, ''", 'exists', 'other content is refused');
answers("'store', 'journal', 1, 1, ''", 'done', 'empty content');
answers("'fetch', 'journal', 1", 'done ', 'is given back');
answers("'list', 'journal'", 'done 1', 'and listed');
answers("'store', 'journal-key', 1, 1, '\\x$secret'", 'done', 'the key of the journal');
answers("'list', 'journal'", 'done 1', 'is another kind');
answers("'list', 'journal-key'", 'done 1', 'of its own');

# A root is replaced.
answers("'store', 'root', 2, 1, '\\x01'", 'done', 'the next root');
answers("'list'", 'done 1 2', 'both are listed');
answers("'destroy', 'root', 1, 1", 'done', 'the first is destroyed');
is(token(), "$keyring.journal-key.1 $keyring.root.2", 'and is not in the token');
answers("'fetch'", 'absent', 'nor is it given');
answers("'status'", 'absent', 'nor there');
answers("'list'", 'done 2', 'nor listed');
answers("'highest', 'root'", 'done 2', 'the second is the highest');
answers("'store', 'root', 1, 1, '\\x$secret'", 'exists', 'it is never stored again');
answers("'destroy', 'root', 2, 1", 'done', 'without a root');
answers("'highest', 'root'", 'done 2', 'its number is remembered');
answers("'destroy', 'state', 1, 1", 'done', 'a state is removed');
answers("'status', 'state', 1", 'absent', 'and gone');

# Compare-and-swap, and the fence.
answers("'store', 'claim', 9, 1, 'mine'", 'done', 'a claim');
answers("'store', 'claim', 9, 1, 'yours'", 'exists', 'is there once');
answers("'store', 'claim', 8, 1, 'yours'", 'exists', 'and an older one comes too late');
answers("'store', 'claim', 10, 1, 'yours'", 'done', 'while a newer one can be stored');
answers("'store', 'root', 3, 7, '\\x03'", 'done', 'a higher fence');
answers("'store', 'root', 4, 6, '\\x04'", 'fenced', 'a lower one stores nothing');
answers("'destroy', 'root', 3, 6", 'fenced', 'and destroys nothing');
answers("'list'", 'done 3', 'as it was');
answers("'destroy', 'root', 3, 7", 'done', 'the higher one may');

# A secret that is brought back into the token.
system("printf x | pkcs11-tool --module $module --token-label keyring --login --pin 123456 --write-object /dev/stdin --type data --private --label $keyring.root.3 >/dev/null");
is(token(), "$keyring.journal-key.1 $keyring.root.3", 'a destroyed root is in the token again');
answers("'fetch', 'root', 3", 'pending', 'it is not given');
answers("'status', 'root', 3", 'pending', 'and its status is said');
answers("'destroy', 'root', 3, 7", 'done', 'destroying it again');
answers("'status', 'root', 3", 'absent', 'destroys it');

# A token that does not answer says nothing.
answers("'store', 'root', 5, 7, '\\x05'", 'done', 'a root');
rename "$base/pin", "$base/nopin";
answers("'status', 'root', 5", 'unknown', 'without the PIN nothing is known');
answers("'status', 'root', 1", 'unknown', 'not even that it is absent');
answers("'destroy', 'root', 5, 7", 'unknown', 'nor can anything be destroyed');
rename "$base/nopin", "$base/pin";
answers("'fetch', 'root', 5", 'pending', 'with it, what was to be destroyed is not given');
answers("'destroy', 'root', 5, 7", 'done', 'and is destroyed');
rename "$base/tokens", "$base/notokens";
answers("'status', 'root', 1", 'unknown', 'without the token nothing is known');
rename "$base/notokens", "$base/tokens";
rename $keys, "$base/nokeys";
answers("'list', 'state'", 'unknown', 'without the directory nothing is known');
rename "$base/nokeys", $keys;
answers("'status', 'root', 1", 'absent', 'with both it is');

# Nor does a script that fails before it begins.
foreach my $config ('', 'module=$nothing', "module='", 'return 2', 'token=other', 'module=/no/such.so')
{
	unlink "$base/config2";
	append_to_file("$base/config2", slurp_file("$base/config") . "$config\n");
	my $ended = system("'$script' '$base/config2' status $keyring root 1 2>/dev/null") >> 8;
	is($ended, $config eq '' ? 2 : 1, "configured with \"$config\"");
}
is(system("'$script' '$base/config3' status $keyring root 1 2>/dev/null") >> 8, 1, 'without configuration');
is(system("'$script' 2>/dev/null") >> 8, 1, 'without arguments');

# Two that store at the same time.
my $ended = `for i in 1 2 3 4; do
	(printf \$i | '$script' '$base/config' store $keyring root 20 7; echo \$?) &
done; wait`;
is(join(' ', sort split ' ', $ended), '0 3 3 3', 'of several that store one version one wins');
is(token() =~ /root\.20.*root\.20/ ? 'several' : 'one', 'one', 'and one object is there');

# A keyring of a database, a fork of it, and its end.
sub fingerprints { return $node->safe_psql($_[0], q{SELECT string_agg(coalesce(key_fingerprint(n), 'gone'), ' ' ORDER BY n) FROM generate_series(1, 5) n}); }

sub final
{
	my ($dbname, $receipt, $name) = @_;

	return ok($node->poll_query_until($dbname, "SELECT destroyed_at IS NOT NULL FROM purpose.shred_receipt WHERE receipt_id = '$receipt'"), $name);
}

$node->append_conf('postgresql.conf', q{purpose.key_lease = '3s'});
$node->reload;
$node->safe_psql('postgres', 'CREATE DATABASE first');
$node->safe_psql('first', 'CREATE EXTENSION pg_purpose; ' . slurp_file(dirname(__FILE__) . '/lib/test_keyring.sql')
	  . '; SELECT purpose.create_keyring(); SELECT draw_number() FROM generate_series(1, 10)');
my $before = fingerprints('first');
# The key worker comes and goes.
foreach (1 .. 20)
{
	last if $node->psql('postgres', 'CREATE DATABASE second TEMPLATE first') == 0;
}
my $fork = $node->safe_psql('second', 'SELECT purpose.fork_keyring(keep_values => true)');
is(fingerprints('second'), $before, 'a fork whose keys a program keeps has those of the original');
my $receipt = $node->safe_psql('first', 'SELECT shred_number(2)');
final('first', $receipt, 'the original shreds');
(my $after = $before) =~ s/^(\S+) \S+/$1 gone/;
is(fingerprints('first'), $after, 'that key is gone');
is(fingerprints('second'), $before, 'not from the fork');
allowed($node, { dbname => 'first' }, "SELECT purpose.verify_receipt('$receipt') ->> 'forks'", "[\"$fork\"]", 'which the receipt lists');
$node->safe_psql('postgres', 'DROP DATABASE second');
my $status;
foreach (1 .. 20)
{
	last if ($status = (run_as($node, { dbname => 'first' }, "SELECT purpose.end_fork('$fork')"))[0]) == 0;
}
is($status, 0, 'the fork is ended');
unlike(token(), qr/${\($fork =~ tr{-}{}dr)}\.root/, 'nothing of its root is in the token');
allowed($node, { dbname => 'first' }, "SELECT purpose.verify_receipt('$receipt') ->> 'forks'", '[]', 'nor in the receipt');

$node->stop;
done_testing();
