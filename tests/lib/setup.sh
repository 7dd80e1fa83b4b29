# shellcheck shell=bash
#
# tests/lib/setup.sh: what tests/run and demo/run share.  Sourced, never run.
#
#   . "$(dirname "$0")/../tests/lib/setup.sh"
#   setup_begin                      a private environment, stdin closed
#   setup_packages postgresql-15 ... installs what is missing (root or sudo)
#   setup_user                       -> PURPOSE_USER, never root
#   setup_postgres                   -> PG_CONFIG, PG_MAJOR
#   setup_scratch                    -> SCRATCH, a folder of PURPOSE_USER's own
#   setup_build DIR [make words]     copy, build and install -> PG_BINDIR
#   cluster_start DIR [conf line]... -> PGHOST, PGPORT, PGUSER, PGDATABASE
#   cluster_stop DIR
#   setup_cleanup                    stops every cluster in SCRATCH, removes it
#   as_user CMD...                   runs CMD as PURPOSE_USER, with what
#                                    SETUP_ENVIRONMENT (NAME=VALUE...) adds
#
# Invariants:
# - The machine is changed by packages and by one system user, by nothing else.
#   The extension goes into a private copy of the PostgreSQL installation, as
#   PostgreSQL's own "make check" does it: no test build is left behind where a
#   real server could load it, and several runs may go on side by side.
# - Everything else lives in SCRATCH.  PostgreSQL and the build run as
#   PURPOSE_USER with an environment of their own, so that a caller's PATH,
#   locale or PG* variables change nothing.
# - A function that fails ends the caller through die(), having said why.

# A pipeline whose first part fails has failed.
set -o pipefail

SETUP_ENVIRONMENT=()
PURPOSE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Call first.  Nothing below may read from the terminal, and a PG* variable of
# the caller must not lead psql to another server.
setup_begin()
{
	local name

	exec </dev/null
	umask 022
	# A bare name is looked up in the caller's PATH, before that is replaced.
	[ -z "${PG_CONFIG:-}" ] || PG_CONFIG=$(command -v "$PG_CONFIG") || die "PG_CONFIG: no such program"
	for name in "${!PG@}"; do
		[ "$name" = PG_CONFIG ] || unset "$name"
	done
	export PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	export LANG=C.UTF-8
	unset LC_ALL LANGUAGE
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		die "this needs root, and there is no sudo: run it as root"
	fi
}

# 12, 13, ...; nothing in testing and unstable.
debian_release()
{
	(. /etc/os-release && printf '%s' "${VERSION_ID:-}")
}

# Debian's own PostgreSQL for the release that this is; PG_CONFIG overrides it.
default_pg_major()
{
	case $(debian_release) in
		12) echo 15 ;;
		13) echo 17 ;;
		*) echo 18 ;;
	esac
}

# setup_packages NAME...: installs those that are missing; with none missing
# apt is not touched, so a second run needs neither network nor root.
setup_packages()
{
	local name missing=() log dropin=

	for name in "$@"; do
		dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q ' installed$' ||
			missing+=("$name")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	say "installing Debian packages: ${missing[*]}"
	log=$(mktemp)

	# The server package would make and start a cluster "main" on first
	# installation.  A drop-in of our own prevents it; createcluster.conf itself
	# is a conffile and an administrator's.  Existing clusters are not touched.
	if [ ! -d /etc/postgresql-common/createcluster.d ] ||
		[ ! -e /etc/postgresql-common/createcluster.d/pg_purpose.conf ]; then
		dropin=/etc/postgresql-common/createcluster.d/pg_purpose.conf
		as_root mkdir -p "${dropin%/*}"
		echo 'create_main_cluster = false' | as_root tee "$dropin" >/dev/null
	fi

	if ! {
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
			-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install "${missing[@]}"
	} 2>&1 | tee "$log" | progress_dots; then
		[ -z "$dropin" ] || as_root rm -f "$dropin"
		tail -n 30 "$log" >&2
		rm -f "$log"
		die "the packages could not be installed"
	fi
	[ -z "$dropin" ] || as_root rm -f "$dropin"
	rm -f "$log"
}

# One dot for every 20 lines read: shows that something long is alive.
progress_dots()
{
	awk '{ if (++n % 20 == 0) { printf "."; fflush() } } END { if (n >= 20) print "" }'
}

# PURPOSE_USER: the caller; for root a system user that owns nothing else
# (PostgreSQL refuses to run as root).  "postgres" owns real clusters: not that.
setup_user()
{
	if [ "$(id -u)" -ne 0 ]; then
		PURPOSE_USER=$(id -un)
	else
		PURPOSE_USER=purpose_test
		id -u "$PURPOSE_USER" >/dev/null 2>&1 ||
			useradd --system --user-group --no-create-home --home-dir /nonexistent \
				--shell /usr/sbin/nologin "$PURPOSE_USER" ||
			die "the system user $PURPOSE_USER could not be created"
	fi
}

# PG_CONFIG and PG_MAJOR of the PostgreSQL to build against.
setup_postgres()
{
	: "${PG_CONFIG:=/usr/lib/postgresql/$(default_pg_major)/bin/pg_config}"
	[ -x "$PG_CONFIG" ] || die "there is no $PG_CONFIG: install the server's development package"
	PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	[ -e "$("$PG_CONFIG" --pgxs)" ] || die "$PG_CONFIG knows no PGXS: the server's development package is missing"
}

# SCRATCH: a new folder that only PURPOSE_USER (and root) may enter.  Short,
# because a socket's path may not exceed 107 bytes.
setup_scratch()
{
	SCRATCH=$(mktemp -d "${PURPOSE_TMPDIR:-/tmp}/purpose.XXXXXX") || die "no scratch folder"
	[ "$(id -u)" -ne 0 ] || chown "$PURPOSE_USER": "$SCRATCH"
	PG_BINDIR=
	as_user mkdir "$SCRATCH/tmp" "$SCRATCH/home"
}

# as_user CMD...: from SCRATCH, with an environment that has nothing of the
# caller's but what is listed here.
as_user()
{
	local clean=(
		env -i
		PATH="${PG_BINDIR:+$PG_BINDIR:}$PATH" LANG="$LANG" TERM="${TERM:-dumb}"
		HOME="$SCRATCH/home" TMPDIR="$SCRATCH/tmp" USER="$PURPOSE_USER" LOGNAME="$PURPOSE_USER"
		SHELL=/bin/sh
	)
	local name

	for name in CI PGHOST PGPORT PGUSER PGDATABASE PURPOSE_ROOT SCRATCH PG_BINDIR PG_MAJOR; do
		[ -z "${!name:-}" ] || clean+=("$name=${!name}")
	done
	clean+=("${SETUP_ENVIRONMENT[@]}")
	(
		cd "$SCRATCH" || exit 1
		# A server that starts here must not hold the caller's output open.
		exec 3>&-
		if [ "$(id -u)" -eq 0 ]; then
			exec setpriv --reuid "$PURPOSE_USER" --regid "$(id -g "$PURPOSE_USER")" --init-groups \
				"${clean[@]}" "$@"
		else
			exec "${clean[@]}" "$@"
		fi
	)
}

# setup_build DIR [make words, such as TEST_BUILD=1]: copies the work tree to
# DIR/src, builds it there and installs it into DIR/pg, a private copy of the
# PostgreSQL installation.  Sets PG_BINDIR to the programs of that copy, which
# find their libraries and extensions from where they lie themselves.
# Returns 1 if the build fails; what make said is in DIR/build.log.
setup_build()
{
	local dir=$1 bin lib share
	shift

	as_user mkdir -p "$dir/src"
	# As root, for a work tree that PURPOSE_USER may not read.  Nothing built:
	# objects of another PostgreSQL version would pass for up to date.
	tar -C "$PURPOSE_ROOT" -c --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.d' \
		--exclude='*.bc' --exclude='./tests/unit/*_test' --exclude='./tests/fuzz/*_fuzz' --exclude=./results --exclude=./output_iso --exclude=./tmp_check . |
		as_user tar -C "$dir/src" -x --no-same-owner || die "the work tree could not be copied"

	bin=$("$PG_CONFIG" --bindir) lib=$("$PG_CONFIG" --pkglibdir) share=$("$PG_CONFIG" --sharedir)
	as_user mkdir -p "$dir/pg$bin" "$dir/pg$lib" "$dir/pg$share"
	# Programs are copied, because they look up links to find where they are;
	# libraries and data are linked.  What an earlier installation of ours left
	# in the system must not stand in for what is built now.
	as_user cp -R "$bin/." "$dir/pg$bin/"
	as_user find "$lib" -mindepth 1 -maxdepth 1 -exec ln -s -t "$dir/pg$lib" {} +
	as_user cp -R -s "$share/." "$dir/pg$share/"
	as_user find "$dir/pg$lib" "$dir/pg$share/extension" -name 'pg_purpose*' -delete

	as_user make -C "$dir/src" -s -j "$(nproc)" PG_CONFIG="$PG_CONFIG" "$@" all \
		>"$dir/build.log" 2>&1 &&
		as_user make -C "$dir/src" -s PG_CONFIG="$PG_CONFIG" DESTDIR="$dir/pg" "$@" install \
			>>"$dir/build.log" 2>&1 || return 1
	PG_BINDIR=$dir/pg$bin
}

# cluster_start DIR [line of postgresql.conf]...: makes the cluster DIR/data
# on first use, with a keyring's place in DIR/keys, starts it, and leads libpq to it by PGHOST and its like.  The
# socket lies in DIR, which only PURPOSE_USER may enter: hence "trust".
# The server log is DIR/log.
cluster_start()
{
	local dir=$1
	shift

	as_user mkdir -p -m 700 "$dir" "$dir/keys"
	if ! as_user test -e "$dir/data/PG_VERSION"; then
		as_user initdb -D "$dir/data" -U postgres -A trust -N --encoding=UTF8 --locale=C.UTF-8 \
			>"$dir/initdb.log" 2>&1 || { tail "$dir/initdb.log" >&2; die "initdb failed"; }
		{
			echo "listen_addresses = ''"
			echo "unix_socket_directories = '$dir'"
			echo "shared_preload_libraries = 'pg_purpose'"
			echo "purpose.keyring = 'file:$dir/keys'"
			echo "fsync = off"
			printf '%s\n' "$@"
		} | as_user tee -a "$dir/data/postgresql.conf" >/dev/null
	fi
	as_user pg_ctl -D "$dir/data" -l "$dir/log" -w -s start ||
		{ tail -n 30 "$dir/log" >&2; die "PostgreSQL did not start"; }
	export PGHOST=$dir PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

cluster_stop()
{
	as_user pg_ctl -D "$1/data" -w -s -m fast stop
}

# For the EXIT trap.  Finds clusters by their postmaster.pid, because a test
# that was interrupted cannot have stopped its own.
setup_cleanup()
{
	local pidfile

	[ -n "${SCRATCH:-}" ] && [ -d "$SCRATCH" ] || return 0
	while IFS= read -r pidfile; do
		as_user pg_ctl -D "${pidfile%/*}" -w -s -m immediate stop >/dev/null 2>&1
	done < <(find "$SCRATCH" -name postmaster.pid 2>/dev/null)
	rm -rf -- "$SCRATCH"
}
