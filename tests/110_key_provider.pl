# Key providers: what a directory, several of them, and a program store, give
# back, and destroy; and what is said when they fail.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my $keyring = '00112233445566778899aabbccddeeff';
my ($one, $two) = ("$base/a", "$base/b");
mkdir $_, 0700 foreach $one, $two;

my $node = purpose_cluster('main', conf => "purpose.keyring = 'file:$one, file:$two'\npurpose.provider_timeout = '2s'");
$node->safe_psql('postgres', slurp_file(dirname(__FILE__) . "/lib/test_provider.sql"));

# provider(ARGUMENTS) is what the provider answers; in $said what it warned of.
my $said = '';

sub provider
{
	my ($arguments) = @_;
	my ($status, $out, $err) = run_as($node, {}, "SELECT provider($arguments)");

	$said = $err;
	return $status == 0 ? $out : $err =~ /ERROR:\s+(\w{5})/ ? $1 : $err;
}

# answers(ARGUMENTS, ANSWER, NAME, [WARNING]): one assertion, two with a warning.
sub answers
{
	my ($arguments, $answer, $name, $warning) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $ok = is(provider($arguments), $answer, $name);
	like($said, $warning, "$name: and the reason is told") if defined $warning;
	diag($said) if !$ok;
	return;
}

sub setting
{
	my ($name, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('$name') = '$value'");
	return;
}

sub path { return "$_[0]/$keyring" . (defined $_[1] ? "/$_[1]" : ''); }

# What is stored is there on all mirrors, and once.
answers("'places'", "done file-unlinked $one $two", 'the places');
answers("'list'", 'absent', 'a keyring that no mirror knows');
answers("'fetch'", 'absent', 'and a root of it');
answers("'status'", 'unknown', 'but nobody can tell that it was destroyed');
answers("'store', 'root', 1, 1, '\\x00ff'", 'done', 'store');
answers("'fetch'", 'done 00ff', 'fetch gives it back');
answers("'store', 'root', 1, 1, '\\x00ff'", 'done', 'storing it again is no change');
answers("'store', 'root', 1, 1, '\\x00fe'", 'exists', 'other content is refused');
answers("'store', 'root', 2, 1, ''", 'done', 'empty content');
answers("'fetch', 'root', 2", 'done ', 'is fetched');
answers("'list'", 'done 1 2', 'list');
answers("'status', 'root', 2", 'done', 'status of what is there');
answers("'status', 'root', 3", 'absent', 'status of what is not');
answers("'fetch', 'root', 3", 'absent', 'nor is it fetched');
is((stat path($one))[2] & 07777, 0700, 'nobody else may look into the directory');
is((stat path($one, 'root.1'))[2] & 07777, 0600, 'nor read a file');
ok(-e path($two, 'root.1'), 'the second mirror has it too');

# Destroying.
answers("'destroy', 'root', 1, 1", 'done', 'destroy');
answers("'fetch'", 'absent', 'then there is nothing to fetch');
answers("'status'", 'absent', 'on no mirror');
answers("'list'", 'done 2', 'nor is it listed');
answers("'destroy', 'root', 1, 1", 'done', 'destroying it again');
answers("'destroy', 'root', 9, 1", 'done', 'destroying what never was');
answers("'highest'", 'done 9', 'a number that was used stays used');
answers("'store', 'root', 1, 1, '\\x00ff'", 'exists', 'it is never stored again');
ok(!-e path($_, 'root.1') && -e path($_, 'root.1.destroyed'), "file and marker in $_") foreach $one, $two;

# The fence.
answers("'store', 'state', 1, 5, 'new'", 'done', 'a higher token');
answers("'store', 'state', 2, 4, 'old'", 'fenced', 'a lower one stores nothing');
answers("'destroy', 'root', 2, 4", 'fenced', 'and destroys nothing');
answers("'fetch', 'root', 2", 'done ', 'it is still there');
answers("'store', 'state', 2, 5, 'new'", 'done', 'the same token goes on');
is(join(' ', map { s{.*/}{}r } glob(path($one, 'fence.*'))), 'fence.5', 'one fence is kept');

# Compare-and-swap.
answers("'store', 'claim', 7, 5, 'mine'", 'done', 'a new claim');
answers("'store', 'claim', 7, 5, 'yours'", 'exists', 'is there once');
answers("'store', 'claim', 6, 5, 'yours'", 'exists', 'and an older one comes too late');
answers("'store', 'claim', 8, 5, 'yours'", 'done', 'while a newer one can be stored');
answers("'destroy', 'claim', 7, 5", 'done', 'old ones can go');
ok(!-e path($one, 'claim.7.destroyed'), 'without a marker');


# Mirrors that differ.  $object is a file that cannot be written or read.
sub with_mirrors
{
	my ($setting, $run) = @_;

	setting('purpose.keyring', $setting);
	$run->();
	setting('purpose.keyring', "file:$one, file:$two");
	return;
}

sub copy_file
{
	my ($from, $to) = @_;

	append_to_file("$to.new", slurp_file($from));
	chmod 0600, "$to.new";
	rename "$to.new", $to or die "$to: $!";
	return;
}

with_mirrors("file:$one", sub { answers("'store', 'state', 10, 5, 'of a'", 'done', 'an object on one mirror only') });
answers("'status', 'state', 10", 'exists', 'one mirror lacks it');
answers("'fetch', 'state', 10", 'done 6f662061', 'it is fetched nevertheless');
answers("'list', 'state'", 'done 1 2 10', 'the list is the union');
like(provider("'check'"), qr/^warning\|state\.10\|mirror "\Q$two\E" lacks it$/m, 'the check tells');
with_mirrors("file:$two", sub { answers("'store', 'state', 10, 5, 'of b'", 'done', 'other content on the other mirror') });
answers("'fetch', 'state', 10", 'done 6f662061', 'the first mirror wins', qr/WARNING.*mirrors .* differ in state\.10/);
like(provider("'check'"), qr/^error\|state\.10\|mirrors .* differ$/m, 'the check tells');
answers("'destroy', 'state', 10, 5", 'done', 'both can be destroyed');

# Damage.
answers("'store', 'state', 11, 5, 'whole'", 'done', 'an object to be damaged');
foreach my $damage (
	[ 'a changed byte', sub { substr($_[0], 18, 1) ^= "\x01" } ],
	[ 'a cut', sub { chop $_[0] } ],
	[ 'a byte too many', sub { $_[0] .= 'x' } ],
	[ 'emptiness', sub { $_[0] = '' } ])
{
	my $content = slurp_file(path($two, 'state.11'));

	$damage->[1]->($content);
	unlink path($one, 'state.11');
	append_to_file(path($one, 'state.11'), $content);
	answers("'fetch', 'state', 11", 'done 77686f6c65', "$damage->[0]: the other mirror helps",
		qr/WARNING.*state\.11.* is damaged/);
}
answers("'store', 'state', 11, 5, 'whole'", 'unknown', 'nothing is stored over a damaged object');
copy_file(path($two, 'state.2'), path($two, 'state.11'));
answers("'fetch', 'state', 11", 'unknown', 'an object under another name is damaged');
answers("'fetch', 'state', 2", 'done 6e6577', 'and is good under its own');
answers("'destroy', 'state', 11, 5", 'done', 'what is damaged can be destroyed');

# Destroyed, and brought back.
answers("'store', 'root', 20, 5, 'secret'", 'done', 'a root');
copy_file(path($one, 'root.20'), "$base/kept");
answers("'destroy', 'root', 20, 5", 'done', 'is destroyed');
copy_file("$base/kept", path($one, 'root.20'));
answers("'fetch', 'root', 20", 'pending', 'a copy put back is not loaded');
answers("'status', 'root', 20", 'pending', 'and its status is said');
answers("'list'", 'done 2', 'nor is it listed');
like(provider("'check'"), qr/^error\|root\.20\|it was destroyed, and is there$/m, 'the check tells');
answers("'store', 'state', 12, 5, ''", 'done', 'the next store', qr/WARNING.*root\.20.* is marked as destroyed, and is there/);
answers("'status', 'root', 20", 'absent', 'destroys it again');
copy_file("$base/kept", path($two, 'root.20'));
unlink path($two, 'root.20.destroyed');
answers("'fetch', 'root', 20", 'pending', 'an older copy of a whole mirror is not loaded either');
answers("'destroy', 'root', 20, 5", 'done', 'destroying it again');
answers("'status', 'root', 20", 'absent', 'destroys that');

# Mirrors are made equal: a new one begins with nothing.
answers("'store', 'extents', 4, 5, 'numbers'", 'done', 'objects of several kinds');
answers("'store', 'journal', $_, 5, 'entry $_'", 'done', 'and versions') foreach 1, 2;
rename $two, "$base/kept mirror" or die;
make_path(path($two), { mode => 0700 });
answers("'repair', 'root', 1, 4", 'fenced', 'not by an instance that is fenced');
answers("'repair', 'root', 1, 5", 'done', 'a new mirror is filled');
is(join(' ', map { s{.*/}{}r } glob(path($two, '*[0-9]'))),
	'claim.8 extents.4 fence.5 journal.1 journal.2 root.2 state.12', 'with what counts');
answers("'status', 'root', 2", 'done', 'roots are on both');
unlike(provider("'check'"), qr/^\S+\|(root|claim|extents|journal)/m, 'and the check has nothing to say of them');
system_or_bail('rm', '-r', $two);
rename "$base/kept mirror", $two or die;
copy_file("$base/kept", path($two, 'root.20'));
unlink path($two, 'root.20.destroyed');
answers("'repair', 'root', 1, 5", 'done', 'what was destroyed on the other mirror');
answers("'status', 'root', 20", 'absent', 'is destroyed, not copied');
answers("'store', 'state', 12, 5, ''", 'done', 'the mirrors go on');

# A mirror that is not there, or not writable.
answers("'store', 'root', 21, 5, 'secret'", 'done', 'a root on both mirrors');
rename $two, "$base/gone" or die;
provider("'list'");
is(scalar(() = $said =~ /WARNING/g), 1, 'a mirror that is gone is warned of once');
answers("'fetch', 'root', 21", 'done 736563726574', 'with a mirror gone the other one serves',
	qr/WARNING.*could not find key directory "\Q$two\E"/);
answers("'store', 'root', 22, 5, 'x'", 'unknown', 'nothing can be stored');
answers("'destroy', 'root', 21, 5", 'unknown', 'nothing is known to be destroyed',
	qr/WARNING.*No such file or directory/);
answers("'status', 'root', 21", 'pending', 'it is half destroyed');
answers("'repair', 'root', 1, 5", 'unknown', 'and nothing can be made equal');
answers("'status', 'root', 22", 'unknown', 'absence is not known');
mkdir $two, 0700;
answers("'store', 'root', 22, 5, 'x'", 'unknown', 'an empty mount point is no mirror',
	qr/WARNING.*key mirror "\Q$two\E" does not know keyring/);
answers("'destroy', 'root', 21, 5", 'unknown', 'nor evidence of destruction');
answers("'status', 'root', 22", 'unknown', 'nor of absence');
like(provider("'check'"), qr/^error\|\Q$two\E\|keyring $keyring is not there$/m, 'the check tells');
ok(!-e path($two), 'and nothing was written there');
rmdir $two;
rename "$base/gone", $two or die;
answers("'status', 'root', 21", 'pending', 'the mirror is back with its copy');
answers("'fetch', 'root', 21", 'pending', 'which is not loaded');
answers("'destroy', 'root', 21, 5", 'done', 'and is destroyed');

chmod 0500, path($two);
answers("'store', 'root', 22, 5, 'x'", 'unknown', 'a mirror that cannot be written',
	qr/WARNING.*Permission denied/);
answers("'destroy', 'root', 2, 5", 'unknown', 'nor changed');
answers("'status', 'root', 2", 'pending', 'one mirror has done it');
chmod 0700, path($two);
answers("'store', 'root', 22, 5, 'x'", 'done', 'the store is repeated when it can be');
answers("'destroy', 'root', 2, 5", 'done', 'and the destruction');

# Full: a limit to the size of files acts as a full disk does.
my $session = session($node, {});
my $pid = ask($session, 'SELECT pg_backend_pid()');
my $store = q{SELECT provider('store', 'state', 30, 5, convert_to(repeat('0123456789', 1000), 'UTF8'))};
ask($session, 'SET client_min_messages = error');
system_or_bail('prlimit', "--pid=$pid", '--fsize=5000:');
is(ask($session, $store), 'unknown', 'a full disk');
is(join(' ', glob(path($one, 'tmp*'))), '', 'leaves nothing half written');
answers("'status', 'state', 30", 'absent', 'nor a name');
system_or_bail('prlimit', "--pid=$pid", '--fsize=unlimited:');
is(ask(session($node, {}), $store), 'done', 'with space there is again, the store is repeated');
$session->quit;

# Links in the place of objects are not followed.
append_to_file("$base/target", 'target');
symlink "$base/target", path($one, 'root.40');
answers("'store', 'root', 40, 5, 'x'", 'unknown', 'a link in the place of a new object', qr/WARNING.*root\.40/);
answers("'fetch', 'root', 40", 'unknown', 'nor is it read');
answers("'destroy', 'root', 40, 5", 'unknown', 'nor is what it leads to destroyed');
is(slurp_file("$base/target"), 'target', 'what the link leads to is unchanged');
unlink path($one, 'root.40');
answers("'destroy', 'root', 40, 5", 'done', 'without the link it is known to be gone');
answers("'store', 'root', 41, 5, 'x'", 'done', 'a root with a second name');
link path($one, 'root.41'), "$base/second";
like(provider("'check'"), qr/^error\|\Q$one\E.*root\.41\|the file has another name somewhere$/m, 'the check tells');
answers("'destroy', 'root', 41, 5", 'done', 'is destroyed', qr/WARNING.*root\.41.* has another name/);
is(slurp_file("$base/second") =~ tr/\0//c, 0, 'under both names');
rename path($one), path($one) . '.moved';
symlink path($one) . '.moved', path($one);
answers("'store', 'root', 42, 5, 'x'", 'unknown', 'nor may the directory be a link', qr/WARNING.*Not a directory/);
unlink path($one);
rename path($one) . '.moved', path($one);
answers("'store', 'root', 42, 5, 'x'", 'done', 'while a directory may be one');

# Others who may read are told of.
chmod 0644, path($one, 'root.42');
like(provider("'check'"), qr/^error\|\Q$one\E.*root\.42\|others than the server's user/m, 'a file that others may read');
chmod 0600, path($one, 'root.42');
unlike(provider("'check'"), qr/root\.42/, 'and one that they may not');
mkdir "$base/.git";
like(provider("'check'"), qr/^warning\|\Q$one\E\|it is within a git repository, "\Q$base\E"$/m, 'a repository');
rmdir "$base/.git";
like(provider("'check'"), qr/^warning\|\Q$two\E\|it is on the same file system as "\Q$one\E"$/m, 'mirrors on one disk');
with_mirrors("file:$one", sub { like(provider("'check'"), qr/^warning\|\Q$one\E\|the keyring has a single mirror/m, 'a single mirror') });

# Another instance that changes the keyring at the same time.
open(my $lock, '+<', path($one, 'lock')) or die;
flock($lock, 2);
answers("'store', 'root', 43, 5, 'x'", 'unknown', 'a lock that is held', qr/WARNING.*could not lock/);
is((run_as($node, {}, q{SET statement_timeout = '200ms'; SELECT provider('store', 'root', 43, 5, 'x')}))[2]
	=~ /ERROR:\s+(\w{5})/ && $1, '57014', 'the wait can be cancelled');
answers("'fetch', 'root', 42", 'done 78', 'readers do not wait');
close $lock;
answers("'store', 'root', 43, 5, 'x'", 'done', 'when the lock is free, the store is done');

# Of several that create one version, one gets it.
my @winners;
foreach my $run (map { session($node, {}) } 1 .. 4)
{
	push @winners, $run;
	$run->{stdin} .= "SELECT provider('store', 'claim', 99, 5, '" . @winners . "');\n";
}
$_->{run}->pump_nb foreach @winners;
foreach my $run (@winners)
{
	$run->{run}->pump until $run->{stdout} =~ /done|exists|unknown/;
}
is(join(' ', sort map { $_->{stdout} =~ /(done|exists|unknown)/ } @winners), 'done exists exists exists', 'one claim of four is made');
$_->quit foreach @winners;

# An error in the middle, and somebody who takes his time.
is(ask(my $failing = session($node, {}), q{SET purpose.test_stop_event = 'keyfile_written:error'; SELECT provider('store', 'root', 44, 5, 'x')}),
	'XX000', 'an error in the middle of a store');
is(ask($failing, 'RESET purpose.test_stop_event'), '', 'the session goes on');
is(ask($failing, q{SELECT provider('store', 'root', 44, 5, 'x')}), 'done', 'and can store: the lock was let go');
setting('purpose.test_stop_event', 'keyfile_marked:wait');
my $slow = session($node, {});
$slow->{stdin} .= "SELECT provider('destroy', 'root', 44, 5);\n";
$slow->{run}->pump_nb;
$node->wait_for_log(qr/stop event keyfile_marked reached: wait/);
is(ask($failing, q{SELECT provider('fetch', 'root', 44)}), 'pending', 'what is being destroyed is not loaded');
is(ask($failing, q{SELECT provider('store', 'root', 45, 5, 'x')}), 'unknown', 'nobody else changes the directory');
setting('purpose.test_stop_event', '');
$slow->{run}->pump until $slow->{stdout} =~ /done|unknown/;
like($slow->{stdout}, qr/^done$/m, 'the first one ends');
$_->quit foreach $failing, $slow;

# A crash in the middle.  The keyring can be used at once, and the operation repeated.
sub crash
{
	my ($event, $arguments) = @_;

	is($node->psql('postgres', "SET purpose.test_stop_event = '$event:crash'; SELECT provider($arguments)"),
		2, "a crash at $event");
	$node->poll_query_until('postgres', 'SELECT true');
	return;
}

$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->restart;
my $version = 50;
foreach my $event (qw(keyfile_written keyfile_named))
{
	crash($event, "'store', 'root', $version, 5, 'x'");
	answers("'store', 'root', $version, 5, 'x'", 'done', "a crash at $event: the store is repeated");
	answers("'fetch', 'root', $version", 'done 78', 'and gives the object');
	is(join(' ', glob(path($one, 'tmp*')), glob(path($two, 'tmp*'))), '', 'nothing is left over');
	$version++;
}
foreach my $event (qw(keyfile_marked keyfile_overwritten keyfile_unlinked))
{
	answers("'store', 'root', $version, 5, 'x'", 'done', 'a root');
	crash($event, "'destroy', 'root', $version, 5");
	answers("'fetch', 'root', $version", 'pending', "a crash at $event: it is not loaded any more");
	answers("'status', 'root', $version", 'pending', 'and not said to be destroyed');
	answers("'destroy', 'root', $version, 5", 'done', 'destroying is repeated');
	answers("'status', 'root', $version", 'absent', 'and known');
	$version++;
}

# Many versions: a floor stands for their markers.
allowed($node, {}, q{SELECT count(*), min(result) FROM (SELECT provider('destroy', 'journal-key', v, 5) FROM generate_series(1, 100) v) AS r(result)},
	'100|done', 'a hundred versions are destroyed');
cmp_ok(scalar(() = glob(path($one, 'journal-key.*'))), '<', 70, 'few files remember that');
is(join(' ', map { s{.*/}{}r } glob(path($two, '*.floor'))), 'journal-key.65.floor', 'among them a floor');
answers("'highest', 'journal-key'", 'done 100', 'the highest is known');
answers("'status', 'journal-key', 3", 'absent', 'an early version is gone');
answers("'store', 'journal-key', 3, 5, 'x'", 'exists', 'and is not stored again');
answers("'store', 'journal-key', 101, 5, 'x'", 'done', 'a new one is');
copy_file(path($two, 'journal-key.101'), path($two, 'journal-key.3'));
answers("'fetch', 'journal-key', 3", 'pending', 'an early version that is brought back is not loaded');
answers("'list', 'journal-key'", 'done 101', 'nor listed');
answers("'destroy', 'journal-key', 3, 5", 'done', 'and can be destroyed');
crash('keyfile_folded', "'destroy', 'journal-key', v, 5) FROM generate_series(101, 150) v WHERE (true");
answers("'destroy', 'journal-key', 151, 5", 'done', 'after a crash while they are folded');
answers("'status', 'journal-key', $_", 'absent', "version $_ is gone") foreach 1, 64, 65, 120;

# Where no keyring may be.
my $data = $node->data_dir;
my ($status, $out, $err) = run_as($node, {}, "ALTER SYSTEM SET purpose.keyring = 'file:$data/keys'");
like($err, qr/ERROR:\s+22023.*every base backup/s, 'a keyring in the data directory is refused');
symlink $data, "$base/link";
with_mirrors("file:$base/link/keys", sub { answers("'list'", 'PU011', 'by a link too') });
mkdir "$base/space", 0700;
$node->safe_psql('postgres', "CREATE TABLESPACE regress_purpose_space LOCATION '$base/space'");
with_mirrors("file:$base/space", sub { answers("'list'", 'PU011', 'a tablespace is refused') });
with_mirrors("file:$base/space/sub/keys", sub { answers("'list'", 'PU011', 'and what is in it') });
with_mirrors("file:$base/nowhere", sub { answers("'list'", 'unknown', 'while elsewhere it only has to be there') });
foreach my $setting ('/a', 'file:a', 'file:/a, /b', 'file:/a,', 'command:', 'command:relative', q{command:/a '})
{
	my $quoted = $setting =~ s/'/''/gr;

	denied($node, {}, "ALTER SYSTEM SET purpose.keyring = '$quoted'", '22023', "no setting: $setting");
}
$node->safe_psql('postgres', 'CREATE ROLE regress_purpose_user LOGIN');
denied($node, 'regress_purpose_user', 'SHOW purpose.keyring', '42501', 'where the keyring is, is for superusers');
allowed($node, {}, 'SHOW purpose.keyring', "file:$one, file:$two", 'who see it');

# A program.  What it does depends on the file "mode" in its directory.
my $program = "$base/program";
my $store_dir = "$base/of program";
mkdir $store_dir, 0700;
append_to_file($program, <<'PROGRAM');
#!/usr/bin/perl
use strict;
use warnings;
use Fcntl;
binmode STDIN; binmode STDOUT;
my ($dir, $op, $keyring, $kind, $version, $fence) = @ARGV;
sub slurp { open(my $in, '<:raw', $_[0]) or return ''; local $/; return scalar <$in> // '' }
my ($mode, $of) = split ' ', slurp("$dir/mode");
my $file = "$dir/$keyring.$kind." . ($version // '');
$mode = '' unless defined $of && $of eq $op;
open(my $calls, '>>', "$dir/calls"); print $calls join(' ', @ARGV[1 .. $#ARGV]), "\n"; close $calls;
if ($mode eq 'hang') { system('sleep 1000 & echo $! >' . "'$dir/child'"); sleep 1000 }
if ($mode eq 'hang_closed') { close STDOUT; close STDERR; sleep 1000 }
if ($mode eq 'deaf') { close STDIN; exit 9 }
if ($mode eq 'lie') { exit 0 }
if ($mode eq 'flood') { print 'x' x 100_000; exit 0 }
if ($mode eq 'killed') { kill 'KILL', $$; sleep 10 }
if ($mode eq 'chat') { print STDERR "trouble\x01 at the service\n" x 1000; exit 1 }
if ($mode eq 'files') { print STDERR 'open:', join(',', sort grep { $_ > 2 } map { s{.*/}{}r } glob('/proc/self/fd/*')), ";\n" }
if ($mode eq 'fenced') { exit 4 }
if ($mode eq 'pending') { exit 5 }
if ($op eq 'store' || $op eq 'cas')
{
	local $/;
	my $content = <STDIN> // '';
	exit(slurp($file) eq $content ? 0 : 3) if -e $file;
	sysopen(my $out, $file, O_WRONLY | O_CREAT | O_EXCL, 0600) or exit 1;
	binmode $out;
	print $out $content;
	close $out or exit 1;
	exit($mode eq 'half' ? 1 : 0);
}
if ($op eq 'fetch') { exit 2 unless -e $file; print slurp($file); exit 0 }
if ($op eq 'destroy') { unlink $file; exit($mode eq 'half' ? 1 : 0) }
if ($op eq 'status') { exit(-e $file ? 0 : 2) }
if ($op eq 'list')
{
	print "nonsense\n" if $mode eq 'nonsense';
	print map { /\.(\d+)$/ ? "$1\n" : () } glob("'$file*'");
	exit 0;
}
exit 1;
PROGRAM
chmod 0700, $program;
setting('purpose.keyring', "command:$program '$store_dir'" =~ s/'/''/gr);

sub mode
{
	unlink "$store_dir/mode";
	append_to_file("$store_dir/mode", "$_[0]\n");
	return;
}

mode('');
answers("'places'", "done provider-acknowledged $program", 'a program as a place');
answers("'store', 'root', 1, 1, '\\x00ff'", 'done', 'store');
answers("'fetch'", 'done 00ff', 'fetch');
answers("'store', 'root', 1, 1, '\\x00fe'", 'exists', 'other content is refused');
answers("'store', 'root', 1, 1, '\\x00ff'", 'done', 'the same is no change');
answers("'store', 'claim', 7, 1, ''", 'done', 'compare-and-swap, with empty content');
answers("'list'", 'done 1', 'list');
answers("'status', 'root', 1", 'done', 'status of what is there');
answers("'status', 'root', 2", 'absent', 'and of what is not');
answers("'destroy', 'root', 1, 1", 'done', 'destroy');
answers("'fetch', 'root', 1", 'absent', 'it is gone');
is($node->safe_psql('postgres', q{SELECT provider('store', 'state', 1, 1, convert_to(repeat('0123456789', 300000), 'UTF8'))}),
	'done', 'three megabytes');
is($node->safe_psql('postgres', q{SELECT md5(provider('fetch', 'state', 1)) =
	md5('done ' || encode(convert_to(repeat('0123456789', 300000), 'UTF8'), 'hex'))}), 't', 'and back');
like(slurp_file("$store_dir/calls"), qr/^store $keyring root 1 1\n(.*\n)*cas $keyring claim 7 1\n/m,
	'the program is given ids only');

# It fails in all manners; nothing is taken for done that was not.
mode('lie store');
answers("'store', 'root', 2, 1, 'x'", 'unknown', 'a program that says it stored', qr/WARNING.*says that root\.2 is stored, but it is not/);
mode('half store');
answers("'store', 'root', 2, 1, 'x'", 'unknown', 'a program that fails after it stored', qr/WARNING.*failed to store, with exit status 1/);
mode('');
answers("'status', 'root', 2", 'done', 'status tells what happened');
answers("'store', 'root', 2, 1, 'x'", 'done', 'and it can be repeated');
mode('lie destroy');
answers("'destroy', 'root', 2, 1", 'unknown', 'a program that says it destroyed', qr/WARNING.*says that root\.2 is destroyed, but it is not/);
mode('pending destroy');
answers("'destroy', 'root', 2, 1", 'pending', 'destruction that is only planned');
mode('pending status');
answers("'status', 'root', 2", 'pending', 'and said to be');
mode('fenced destroy');
answers("'destroy', 'root', 2, 1", 'fenced', 'a fence at the service');
mode('half destroy');
answers("'destroy', 'root', 2, 1", 'unknown', 'a program that fails after it destroyed');
mode('');
answers("'status', 'root', 2", 'absent', 'status tells what happened');
answers("'destroy', 'root', 2, 1", 'done', 'and it can be repeated');
mode('fenced store');
answers("'store', 'root', 3, 1, 'x'", 'fenced', 'a fence for stores');
mode('deaf store');
is($node->safe_psql('postgres', q{SELECT provider('store', 'root', 3, 1, convert_to(repeat('x', 1000000), 'UTF8'))}),
	'unknown', 'a program that does not listen');
mode('killed fetch');
answers("'fetch', 'state', 1", 'unknown', 'a program that is killed', qr/WARNING.*was ended by signal 9/);
mode('flood fetch');
answers("'fetch', 'root', 1", 'unknown', 'a program that prints too much', qr/WARNING.*printed too much/);
mode('nonsense list');
answers("'list', 'state'", 'unknown', 'a list that is none', qr/WARNING.*cannot be read/);
mode('');
answers("'list', 'state'", 'done 1', 'and one that is');

my $offset = -s $node->logfile;
mode('chat status');
answers("'status', 'root', 1", 'unknown', 'what a program has to say');
my $log = slurp_file($node->logfile, $offset);
like($log, qr/LOG:  key provider "\Q$program\E": trouble\? at the service/, 'is in the server log');
cmp_ok(scalar(() = $log =~ /trouble/g), '<', 500, 'and not too much of it');
unlike($said, qr/trouble/, 'nor is it sent to the client');
mode('files status');
$offset = -s $node->logfile;
answers("'status', 'root', 1", 'absent', 'a program that lists its files');
like(slurp_file($node->logfile, $offset), qr/open:3?;/, 'has none of the server\'s');

foreach my $hang ('hang', 'hang_closed')
{
	mode("$hang fetch");
	answers("'fetch', 'state', 1", 'unknown', "$hang: a program that hangs", qr/WARNING.*did not answer within purpose\.provider_timeout/);
	is((run_as($node, {}, q{SET statement_timeout = '300ms'; SELECT provider('fetch', 'state', 1)}))[2]
		=~ /ERROR:\s+(\w{5})/ && $1, '57014', 'can be cancelled');
}
mode('hang fetch');
my $waiting = session($node, {});
$pid = ask($waiting, 'SELECT pg_backend_pid()');
unlink "$store_dir/child";
$waiting->{stdin} .= "SELECT provider('fetch', 'state', 1);\n";
$waiting->{run}->pump_nb;
my $child;
foreach (1 .. 1800)
{
	last if -s "$store_dir/child";
	select(undef, undef, undef, 0.1);
}
($child) = slurp_file("$store_dir/child") =~ /(\d+)/;
ok(kill(0, $child), 'what the program started is running');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
foreach (1 .. 1800)
{
	last if !kill(0, $child);
	select(undef, undef, undef, 0.1);
}
ok(!kill(0, $child), 'and ends with the session');
eval { $waiting->{run}->kill_kill };

setting('purpose.keyring', "command:$base/no/program");
answers("'list'", 'unknown', 'no program', qr/WARNING.*could not start key provider/);
like(provider("'check'"), qr/^error\|.*\|the program cannot be run: No such file or directory$/m, 'the check tells');

$node->stop;
done_testing();
