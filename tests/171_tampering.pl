# Sealed values that somebody tampered with are refused, by errors that show
# nothing of them; values that nobody tampered with are opened beside them.
use strict;
use warnings;
use MIME::Base64 qw(encode_base64url decode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
mkdir "$base/$_", 0700 foreach qw(keys other);
my $node = purpose_cluster('main', conf => "purpose.keyring = 'file:$base/keys'");
my %billing = (purpose => 'billing');
my $schema = q{
	SELECT purpose.create_purpose('billing', basis => 'contract');
	SELECT purpose.create_purpose('support', basis => 'contract');
	CREATE TABLE people (id bigint PRIMARY KEY,
		t purpose.sealed_text(billing), u purpose.sealed_text(billing, support),
		n purpose.sealed_numeric(billing), s purpose.searchable_text(billing));
	SELECT purpose.protect('people', subject => 'id');
	-- Not protected: here COPY leaves envelopes as they come.
	CREATE TABLE loose (id serial, t purpose.sealed_text(billing), n purpose.sealed_numeric(billing),
		s purpose.searchable_text(billing));
	-- Tries each envelope, as text, in a way; counts what came of it.
	CREATE FUNCTION outcomes(envelopes text[], query text, OUT outcome text, OUT times bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
	DECLARE
		envelope text;
		results text[] := '{}';
		given text;
		said text;
		hint text;
	BEGIN
		FOREACH envelope IN ARRAY envelopes LOOP
			BEGIN
				EXECUTE query INTO given USING envelope;
				results := results || format('gave %s', coalesce(given, 'NULL'));
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
				IF SQLERRM || said || hint ~ 'secret|c2VjcmV0|736563726574' OR position(envelope IN SQLERRM || said || hint) > 0 THEN
					results := results || 'told'::text;
				END IF;
				results := results || SQLSTATE::text;
			END;
		END LOOP;
		RETURN QUERY SELECT r, count(*) FROM unnest(results) r GROUP BY r ORDER BY r;
	END $$};
$node->safe_psql('postgres', $schema);
allowed($node, \%billing, q{
	INSERT INTO people SELECT i, 'secret' || i, 'secret' || i, 7, 'secret' || i FROM generate_series(1, 3) i;
	SELECT t FROM people WHERE id = 1}, 'secret1', 'values are sealed, and open');

sub envelope
{
	my ($column, $id) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM people WHERE id = $id");
}
my %envelope = map { $_ => envelope($_, 1) } qw(t u n s);
like($envelope{$_}, qr/^purpose:1:/, "an envelope of $_") foreach sort keys %envelope;

sub bytes_of { return decode_base64url(substr($_[0], length('purpose:1:'))) }
sub text_of { return 'purpose:1:' . encode_base64url($_[0]) }

# outcomes(ENVELOPES, QUERY): "outcome times" of each, sorted.
sub outcomes
{
	my ($envelopes, $query) = @_;
	my $list = join ',', map { "'$_'" } @$envelopes;
	my ($status, $out, $err) = run_as($node, \%billing, "SELECT * FROM outcomes(ARRAY[$list], \$q\$$query\$q\$)");

	diag($err) if $status;
	$out =~ tr/|\n/ ;/;
	return $out;
}

my %into = (
	t => q{UPDATE people SET t = $1::text WHERE id = 1 RETURNING t::text},
	n => q{UPDATE people SET n = $1::text WHERE id = 1 RETURNING n::text},
	s => q{UPDATE people SET s = $1::text WHERE id = 1 RETURNING s::text});
is(outcomes([ $envelope{t} ], $into{t}), 'gave secret1 1', 'what is as it was is written back, and opens');

# Each bit of each byte: each one is refused as damaged (PU012), as another
# subject's (PU016), as no envelope at all (22P02), or where its subject's keys
# are none of this keyring's.
foreach my $column (qw(t n s))
{
	my $bytes = bytes_of($envelope{$column});
	my @flipped;

	foreach my $i (0 .. length($bytes) - 1)
	{
		foreach my $bit (0 .. 7)
		{
			my $copy = $bytes;
			substr($copy, $i, 1) = chr(ord(substr($bytes, $i, 1)) ^ (1 << $bit));
			push @flipped, text_of($copy);
		}
	}
	my $got = outcomes(\@flipped, $into{$column});
	my $n = 0;
	$n += $_ foreach $got =~ / (\d+)(?:;|$)/g;
	is($n, scalar @flipped, "$column: each flipped bit has its outcome");
	unlike($got, qr/gave|told/, "$column: each is refused, by an error that shows nothing");
	is(join(' ', grep { !/^(?:PU012|PU015|PU016|22P02) / } split /;/, $got), '', "$column: by one of a few SQLSTATEs");
	note("$column: $got");
	$got = outcomes([ map { text_of(substr($bytes, 0, $_)) } 1 .. length($bytes) - 1 ], $into{$column});
	unlike($got, qr/gave|told/, "$column: so is each truncation");
	is(join(' ', grep { !/^(?:PU012|PU016|22P02) / } split /;/, $got), '', "$column: likewise");
	$got = outcomes([ map { text_of($bytes . ("\0" x $_)) } 1 .. 20 ], $into{$column});
	unlike($got, qr/gave|told/, "$column: and each that was made longer");
}

# Elsewhere than they belong.
is(outcomes([ envelope('t', 2) ], $into{t}), 'PU016 1', q{another subject's});
is(outcomes([ $envelope{n} ], $into{t}), 'PU012 1', q{another base type's});
is(outcomes([ $envelope{t} ], $into{n}), 'PU012 1', 'and the other way around');
my $bytes = bytes_of($envelope{t});
substr($bytes, 10, 6) = substr(bytes_of($envelope{u}), 10, 6);
is(outcomes([ text_of($bytes) ], $into{t}), 'PU012 1', 'with the id of another label');
is(outcomes([ $envelope{u} ], q{UPDATE people SET u = $1::text WHERE id = 1 RETURNING u::text}), 'gave secret1 1', 'the label that it has opens it');

# Stored as they are, by who may copy envelopes in: refused when opened.  The
# detour is a COPY, which a superuser's restore goes through.
sub stored
{
	my ($column, $envelope) = @_;

	$node->safe_psql('postgres', 'TRUNCATE loose');
	my ($status, $out, $err) = run_as($node, {}, "COPY loose ($column) FROM stdin;\n$envelope\n\\.\n");
	return $err =~ /ERROR:\s+(\w{5})/ if $status;
	($status, $out, $err) = run_as($node, \%billing, "SELECT ${column}::text FROM loose");
	return $status ? $err =~ /ERROR:\s+(\w{5})/ : $out;
}
is(stored('t', $envelope{t}), 'secret1', 'an envelope that was copied in opens');
foreach my $i (0, 1, 5, 12, 17, 25, 33, length(bytes_of($envelope{t})) - 1)
{
	my $copy = bytes_of($envelope{t});
	substr($copy, $i, 1) = chr(ord(substr($copy, $i, 1)) ^ 1);
	my ($got) = stored('t', text_of($copy));
	like($got, qr/^(?:PU012|PU016|22P02)$/, "one with byte $i changed is refused, never NULL");
}
is((stored('n', $envelope{t}))[0], 'PU012', 'nor is it read as another type');

# Text that looks like an envelope.
is(outcomes([ "\\$envelope{t}" ], $into{t}), "gave $envelope{t} 1", 'a text that looks like an envelope is a text');
is(outcomes([ '\\purpose:1:' ], $into{t}), 'gave purpose:1: 1', 'so is one that only begins so');
is(outcomes(['purpose:1:AAAA'], $into{t}), '22P02 1', 'without the backslash it is refused');
allowed($node, \%billing, q{UPDATE people SET t = 'secret1' WHERE id = 1 RETURNING t::text}, 'secret1', 'and the value is there again');

# Another keyring knows none of it.
my $stranger = purpose_cluster('stranger', conf => "purpose.keyring = 'file:$base/other'");
$stranger->safe_psql('postgres', $schema);
allowed($stranger, \%billing, q{INSERT INTO people VALUES (1, 'secret1') RETURNING t::text}, 'secret1', 'another keyring opens its own');
$stranger->safe_psql('postgres', q{
	CREATE ROLE regress_purpose_tampering LOGIN;
	GRANT ALL ON people TO regress_purpose_tampering;
	SELECT purpose.grant_purpose('billing', 'regress_purpose_tampering')});
denied($stranger, { %billing, user => 'regress_purpose_tampering' }, qq{UPDATE people SET u = '$envelope{u}' WHERE id = 1}, 'PU012',
	'an envelope of an unrelated keyring is refused when it is typed in');
my ($status, $out, $err) = run_as($stranger, \%billing, qq{UPDATE people SET u = '$envelope{u}' WHERE id = 1 RETURNING u::text});
like($err, qr/ERROR:\s+PU012/, 'from who is trusted with envelopes it is taken, and refused when it is opened');
unlike($err, qr/secret/, 'by an error that shows nothing');
$stranger->stop;

# A wrong root is refused at first use, and never overwritten.
$node->stop;
my ($root) = glob("$base/keys/*/root.*");
my $right = slurp_file($root);
my $wrong = $right;
substr($wrong, 0, 1) = chr(ord(substr($wrong, 0, 1)) ^ 1);

sub put_root
{
	my ($content) = @_;
	chmod 0600, $root;
	open(my $file, '+<:raw', $root) or die "$root: $!";
	print $file $content;
	close($file) or die "$root: $!";
	return;
}
my $listing = sub { return join ' ', map { s/.*\///r } sort grep { /root|state/ } glob("$base/keys/*/*") };
my $before = $listing->();
put_root($wrong);
$node->start;
denied($node, \%billing, 'SELECT t::text FROM people WHERE id = 2', 'PU011', 'with a wrong root nothing opens');
denied($node, \%billing, q{UPDATE people SET t = 'x' WHERE id = 2}, 'PU011', 'and nothing is sealed');
run_as($node, \%billing, 'SELECT purpose.rotate_root_key()');
run_as($node, {}, q{SELECT purpose.shred('people', 3)});
is(slurp_file($root), $wrong, 'it is not overwritten');
is($listing->(), $before, 'nor is another made in its stead');
$node->stop;
put_root($right);
$node->start;
allowed($node, \%billing, 'SELECT t::text FROM people WHERE id = 2', 'secret2', 'the right one put back, all is well');
$node->stop;

done_testing();
