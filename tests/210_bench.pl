# bench/run does not rot: at tiny sizes every benchmark runs to its end and has
# figures for each row of the table that its file is named after, in the table,
# the CSV and the plot.  What bench/report makes of given measurements is what it
# should be, and docs/performance.md shows the results that are kept.  No time is
# judged here.
use strict;
use warnings;
use File::Basename;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::Bin/..";
my $out = PostgreSQL::Test::Utils::tempdir;

# The PostgreSQL that is tested; its sockets want a short path.
$ENV{PURPOSE_BINDIR} = $ENV{PG_BINDIR} // do { chomp(my $bin = `pg_config --bindir`); $bin };
$ENV{PURPOSE_TMPDIR} = PostgreSQL::Test::Utils::tempdir_short;

sub run
{
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run(\@_, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# --- The report ----------------------------------------------------------------

append_to_file("$out/environment", <<'TEXT');
PostgreSQL: 15
processor: any, 2 cores
sizes: 5000000 rows, 1000000 subjects, 3 rounds
load average at the start: 3.00 0.10 0.10
TEXT
append_to_file("$out/samples.csv", <<'CSV');
row,figure,unit,target,round,value
P10,low,ms,<= 2,1,3
P3,scan by int8: pg_purpose / plain,x,<= 1.3,1,1.5
P3,high,x,>= 7,1,6
P3,plain,ms,-,1,250.4
P10,low,ms,<= 2,2,1
P3,scan by int8: pg_purpose / plain,x,<= 1.3,2,1.1
P3,high,x,>= 7,2,8
P3,plain,ms,-,2,1
P3,scan by int8: pg_purpose / plain,x,<= 1.3,3,1.4
P3,high,x,>= 7,3,7
P3,plain,ms,-,3,0.05
CSV
my ($status, $stdout, $stderr) = run("$root/bench/report", $out);
is($status, 0, 'bench/report runs') or diag($stderr);
my $csv = slurp_file("$out/results.csv");
is($csv, <<'CSV', 'medians, extremes and verdicts, in the order of the rows');
# PostgreSQL: 15
# processor: any, 2 cores
# sizes: 5000000 rows, 1000000 subjects, 3 rounds
# load average at the start: 3.00 0.10 0.10
row,figure,unit,target,median,min,max,rounds,verdict
P3,scan by int8: pg_purpose / plain,x,<= 1.3,1.40,1.10,1.50,3,missed
P3,high,x,>= 7,7.00,6.00,8.00,3,met
P3,plain,ms,-,1.00,0.050,250,3,
P10,low,ms,<= 2,2.00,1.00,3.00,2,met
CSV
is($stdout, slurp_file("$out/results.md"), 'what is printed is what is written');
like($stdout, qr/2 of 3 targets are met/, 'targets are counted');
like($stdout, qr/^\| P3 \| high \| x \| >= 7 \| 7\.00 \| 6\.00 \| 8\.00 \| met \|$/m, 'a figure that meets its target');
like($stdout, qr/other work to do/, 'that the machine was busy is said');
unlike($stdout, qr/smaller/, 'and of the sizes nothing, which are those of the targets');
like($stdout, qr/\| \*\*missed\*\* \|$/m, 'one that does not');

append_to_file("$out/page.md", "# A page\n\n<!-- bench -->\nold\n<!-- end of bench -->\n\nMore.\n");
is((run("$root/bench/report", '--docs', "$out/page.md", $out))[0], 0, 'bench/report --docs runs');
is(slurp_file("$out/page.md"), "# A page\n\n<!-- bench -->\n$stdout<!-- end of bench -->\n\nMore.\n",
	'it puts the table into a page');

($status, $stdout, $stderr) = run("$root/bench/report", "$out/none");
isnt($status, 0, 'bench/report without measurements fails');

# --- The results that are kept ---------------------------------------------------

my $kept = "$root/bench/results";
my $copy = PostgreSQL::Test::Utils::tempdir;
append_to_file("$copy/$_", slurp_file("$kept/$_")) foreach qw(environment samples.csv);
is((run("$root/bench/report", $copy))[0], 0, 'bench/report runs on the results that are kept');
is(slurp_file("$copy/$_"), slurp_file("$kept/$_"), "bench/results/$_ is what bench/report makes of them")
  foreach qw(results.csv results.md results.svg);
my ($shown) = slurp_file("$root/docs/performance.md") =~ /<!-- bench -->\n(.*)<!-- end of bench -->/s;
is($shown, slurp_file("$kept/results.md"), 'docs/performance.md shows them');

# --- The benchmarks --------------------------------------------------------------

is((run("$root/bench/run", '--only', 'P3,P99'))[0], 1, 'an unknown row is refused');
is((run("$root/bench/run", '--rows', 'many'))[0], 1, 'so is a size that is no number');
($status, $stdout) = run("$root/bench/run", '--list');
is($status, 0, 'bench/run --list');
like($stdout, qr/^gdprbench +P13 +\S/m, 'it lists a benchmark with its row');

($status, $stdout, $stderr) = run("$root/bench/run", '--quick', '--out', "$out/quick");
is($status, 0, 'bench/run --quick runs to its end') or diag($stderr);
my @figures = map { [ split /,/ ] } grep { /^P/ } split /\n/, -e "$out/quick/results.csv" ? slurp_file("$out/quick/results.csv") : '';
my $svg = -e "$out/quick/results.svg" ? slurp_file("$out/quick/results.svg") : '';
foreach my $file (glob("$root/bench/cases/p*.sh"))
{
	my ($rows) = basename($file) =~ /^((?:p\d+_)+)/;

	foreach my $row (map { 'P' . ($_ + 0) } $rows =~ /\d+/g)
	{
		cmp_ok(scalar(grep { $_->[0] eq $row && $_->[8] =~ /^(met|missed)$/ } @figures), '>=', 1,
			"$row has figures with a target");
		like($stdout, qr/^\| $row \| /m, "$row is in the table");
		like($svg, qr/>$row  [^<]/, "$row is in the plot");
	}
}
my ($stale) = grep { $_->[1] =~ /^rows served after/ } @figures;
is($stale ? $stale->[4] : undef, '0', 'no row was served after a withdrawal');
my $open = () = $svg =~ /<(?:svg|text)\b/g;
my $closed = () = $svg =~ m{</(?:svg|text)>}g;
is($open, $closed, 'the plot closes what it opens');
is(join(' ', glob("$ENV{PURPOSE_TMPDIR}/purpose.*")), '', 'and nothing is left behind');

done_testing();
