# RawConnection: PostgreSQL's protocol, message by message, for tests of what
# happens between Parse, Bind and Execute, which no driver lets one choose.
#
#   use RawConnection;
#   my $c = RawConnection->new($node, user => 'regress_purpose_app', dbname => 'postgres');
#   $c->query("SET purpose.current = 'billing'");      # simple protocol
#   $c->parse('s', 'SELECT id FROM customers');        # these only queue
#   $c->bind('p', 's');
#   $c->execute('p', 2);
#   is($c->sync, '1 2 suspended', '...');              # sends, and reads on to ReadyForQuery
#
# Answers are told in one line, in the order in which they came: the columns of
# each row (joined by commas), "suspended" for a portal with rows left, "done"
# with what was done for a statement that ended, the SQLSTATE of an error.
# Everything else (ParseComplete and the like, notices) is left out.
package RawConnection;

use strict;
use warnings;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;

# new(NODE, user => ..., dbname => ..., [options => '-cname=value ...'])
sub new
{
	my ($class, $node, %parameters) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM(), Peer => $path)
	  or die "could not connect to $path: $!";
	my $self = bless { socket => $socket, queue => '', parameters => {} }, $class;
	my $startup = pack('N', 3 << 16);

	$parameters{database} = delete $parameters{dbname} // 'postgres';
	$startup .= "$_\0$parameters{$_}\0" foreach sort keys %parameters;
	$startup .= "\0";
	$self->{queue} = pack('N', length($startup) + 4) . $startup;
	$self->_send;
	$self->_answers;
	return $self;
}

sub _send
{
	my ($self) = @_;
	my $queue = $self->{queue};

	$self->{queue} = '';
	while (length $queue)
	{
		my $n = syswrite($self->{socket}, $queue) // die "could not send: $!";

		substr($queue, 0, $n) = '';
	}
	return;
}

sub _read
{
	my ($self, $length) = @_;
	my $data = '';

	while (length($data) < $length)
	{
		local $SIG{ALRM} = sub { die "no answer from the server\n" };
		alarm $PostgreSQL::Test::Utils::timeout_default;
		my $n = sysread($self->{socket}, $data, $length - length($data), length($data));
		alarm 0;
		die "the server closed the connection\n" if !$n;
	}
	return $data;
}

# The answers up to ReadyForQuery, or up to as many rows, ends, suspensions and
# errors as are asked for.
sub _answers
{
	my ($self, $enough) = @_;
	my @answers;

	while (!defined $enough || @answers < $enough)
	{
		my ($type, $length) = unpack('a1 N', $self->_read(5));
		my $body = $self->_read($length - 4);

		last if $type eq 'Z';
		if ($type eq 'D')
		{
			my ($n, $rest) = unpack('n a*', $body);
			my @columns;

			while ($n-- > 0)
			{
				my $size;
				($size, $rest) = unpack('N a*', $rest);
				push @columns, $size == 0xFFFFFFFF ? 'NULL' : substr($rest, 0, $size, '');
			}
			push @answers, join(',', @columns);
		}
		elsif ($type eq 'V')
		{
			my ($size, $value) = unpack('N a*', $body);

			push @answers, $size == 0xFFFFFFFF ? 'NULL' : $value;
		}
		elsif ($type eq 'd')
		{
			chomp $body;
			push @answers, "copy:$body";
		}
		elsif ($type eq 's')
		{
			push @answers, 'suspended';
		}
		elsif ($type eq 'C')
		{
			push @answers, 'done ' . unpack('Z*', $body);
		}
		elsif ($type eq 'E')
		{
			my ($code) = $body =~ /(?:^|\0)C([0-9A-Z]{5})\0/;

			push @answers, $code;
		}
		elsif ($type eq 'S')
		{
			my ($name, $value) = unpack('Z* Z*', $body);

			$self->{parameters}{$name} = $value;
		}
		elsif ($type eq 'T')
		{
			$self->{columns} = unpack('n', $body);
		}
	}
	return join(' ', @answers);
}

sub _queue
{
	my ($self, $type, $body) = @_;

	$self->{queue} .= $type . pack('N', length($body) + 4) . $body;
	return $self;
}

# A statement by the simple protocol: sent at once, returns the answers.
sub query
{
	my ($self, $sql) = @_;

	$self->_queue('Q', "$sql\0")->_send;
	return $self->_answers;
}

# The extended protocol: these wait for sync() or flush().
sub parse { my ($self, $name, $sql) = @_; return $self->_queue('P', "$name\0$sql\0" . pack('n', 0)); }
sub describe { my ($self, $kind, $name) = @_; return $self->_queue('D', "$kind$name\0"); }
sub close { my ($self, $kind, $name) = @_; return $self->_queue('C', "$kind$name\0"); }
sub execute { my ($self, $portal, $rows) = @_; return $self->_queue('E', "$portal\0" . pack('N', $rows // 0)); }

sub bind
{
	my ($self, $portal, $statement, @values) = @_;

	return $self->_queue('B', "$portal\0$statement\0" . pack('n n', 0, scalar @values)
		  . join('', map { pack('N', length) . $_ } @values) . pack('n', 0));
}

# Parse, Bind and Execute of a statement and a portal without name.
sub statement { my ($self, $sql) = @_; return $self->parse('', $sql)->bind('', '')->execute(''); }

# Sends what waits, with Sync; returns the answers.
sub sync
{
	my ($self) = @_;

	$self->_queue('S', '')->_send;
	return $self->_answers;
}

# Sends what waits, with Flush, which ends no transaction; returns the next N
# answers.
sub flush
{
	my ($self, $n) = @_;

	$self->_queue('H', '')->_send;
	return $self->_answers($n);
}

# Calls a function by its OID, past any statement.
sub call_function
{
	my ($self, $oid, @values) = @_;

	$self->_queue('F', pack('N n n', $oid, 0, scalar @values)
		  . join('', map { pack('N', length) . $_ } @values) . pack('n', 0))->_send;
	return $self->_answers;
}

# What the server reported about a setting, and the number of columns that it
# described last.
sub parameter { my ($self, $name) = @_; return $self->{parameters}{$name}; }
sub columns { my ($self) = @_; return $self->{columns}; }

sub quit
{
	my ($self) = @_;

	$self->_queue('X', '')->_send;
	return $self->{socket}->close;
}

1;
