# PurposeCluster: a cluster with pg_purpose preloaded, and assertions that an
# access is allowed or denied.
#
#   use PurposeCluster;
#   my $node = purpose_cluster('main');
#   allowed($node, 'regress_purpose_app', 'SELECT ...', '42', 'why it is given');
#   denied($node, { user => 'regress_purpose_app', purpose => 'billing' },
#       'SELECT ...', '42501', 'why it is refused');
#
# Denials are asserted by SQLSTATE, never by message.  Every denied() wants an
# allowed() beside it that shows that access is given when it should be.
package PurposeCluster;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(purpose_cluster allowed denied run_as);

# purpose_cluster(NAME, [conf => "lines", allows_streaming => ..., extension => 0]):
# a started cluster that preloads pg_purpose, with the extension created in
# database postgres unless extension => 0.
sub purpose_cluster
{
	my ($name, %options) = @_;
	my $conf = delete $options{conf} // '';
	my $extension = delete $options{extension} // 1;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%options);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_purpose'\n$conf\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_purpose') if $extension;
	return $node;
}

# run_as(NODE, AS, SQL) returns (exit status, standard output, standard error)
# of psql, which stops at the first error and reports its SQLSTATE.  AS is a role,
# or { user, dbname, purpose, options }: purpose and options (-cname=value)
# are given when connecting, so that SQL needs no SET of its own.
sub run_as
{
	my ($node, $as, $sql) = @_;
	my %as = ref $as ? %$as : (user => $as);
	my @options = split ' ', $as{options} // '';
	my $connstr = $node->connstr($as{dbname} // 'postgres');

	push @options, "-cpurpose.current=$as{purpose}" if defined $as{purpose};
	$connstr .= " user=$as{user}" if defined $as{user};
	$connstr .= " options='@options'" if @options;
	return $node->psql(undef, $sql,
		connstr => $connstr, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
}

# allowed(NODE, AS, SQL, EXPECTED, NAME): SQL runs, and prints EXPECTED (unaligned,
# rows only) unless EXPECTED is undef.  One assertion.
sub allowed
{
	my ($node, $as, $sql, $expected, $name) = @_;
	my ($status, $out, $err) = run_as($node, $as, $sql);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	if ($status != 0)
	{
		fail($name);
		diag("refused: $err");
		return 0;
	}
	return defined $expected ? is($out, $expected, $name) : pass($name);
}

# denied(NODE, AS, SQL, SQLSTATE, NAME): SQL ends with this SQLSTATE.  One assertion.
sub denied
{
	my ($node, $as, $sql, $sqlstate, $name) = @_;
	my ($status, $out, $err) = run_as($node, $as, $sql);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($got) = $err =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/;
	my $ok = is($status == 0 ? 'no error' : $got // "no SQLSTATE", $sqlstate, $name);

	diag("output: $out\nmessages: $err") if !$ok;
	return $ok;
}

1;
