# PurposeDocs: the SQL that documentation shows, to be run.
#
#   my @blocks = sql_blocks('docs/labels.md');
#   run_blocks($node, 'database', 'docs/labels.md', @blocks);
package PurposeDocs;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(sql_blocks run_blocks);

# sql_blocks(FILE): its ```sql blocks, as { line, sql, shown }.  shown is the
# ```text block that follows with nothing but empty lines between, else undef.
sub sql_blocks
{
	my ($file) = @_;
	my (@blocks, $fence, $adjacent);
	my $line = 0;

	open(my $fh, '<:raw', $file) or die "$file: $!";
	while (my $text = <$fh>)
	{
		$line++;
		if (defined $fence)
		{
			if ($text =~ /^```$/)
			{
				$adjacent = $fence eq 'sql';
				$fence = undef;
			}
			elsif ($fence eq 'sql')
			{
				$blocks[-1]{sql} .= $text;
			}
			elsif ($fence eq 'shown')
			{
				$blocks[-1]{shown} .= $text;
			}
		}
		elsif ($text =~ /^```(\w*)$/)
		{
			$fence = $1 eq 'text' && $adjacent ? 'shown' : $1;
			push @blocks, { line => $line, sql => '' } if $fence eq 'sql';
			$blocks[-1]{shown} = '' if $fence eq 'shown';
		}
		elsif ($text ne "\n")
		{
			$adjacent = 0;
		}
	}
	close($fh);
	return @blocks;
}

# run_blocks(NODE, DATABASE, NAME, BLOCK...): runs them in one session of psql
# and compares.  One assertion a block.
sub run_blocks
{
	my ($node, $dbname, $name, @blocks) = @_;
	my $script = join '', map { "$_->{sql}\\echo \@end of block\@\n" } @blocks;
	my $output = '';

	# Line by line, or results and errors would come out of order.
	IPC::Run::run([ 'stdbuf', '-oL', 'psql', '-X', '-d', $node->connstr($dbname) ],
		'<', \$script, '>&', \$output);

	my @printed = split /^\@end of block\@\n/m, $output, -1;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $block (@blocks)
	{
		my $printed = shift(@printed) // '(nothing: psql did not come here)';

		if (defined $block->{shown})
		{
			is($printed, $block->{shown}, "$name, line $block->{line}: prints what is shown");
		}
		else
		{
			unlike($printed, qr/^(ERROR|FATAL|WARNING|invalid|\\)|did not come here/m,
				"$name, line $block->{line}: runs");
		}
	}
	return;
}

1;
