# shellcheck shell=bash
#
# tests/lib/sanitize.sh: what tests/run --sanitize needs.  Sourced after setup.sh.
#
#   sanitize_packages KIND           -> the Debian packages that KIND needs
#   sanitize_postgres KIND           builds PostgreSQL or finds it built -> PG_CONFIG
#   sanitize_environment KIND        what the programs under test are to be told
#   sanitize_reports                 -> the files that hold findings, one a line
#
# KIND is one of
#   address   AddressSanitizer and UndefinedBehaviorSanitizer, compiled in
#   valgrind  the server runs under Valgrind's memcheck
#
# No packaged server will do: a library built with AddressSanitizer cannot be
# loaded into a program built without, and only a server that tells a checker of
# its memory contexts lets it see an overrun within one.  So PostgreSQL is built
# from Debian's source package, with assertions, once for each kind, and kept in
# SANITIZE_CACHE.  PGXS hands its compiler flags on to the extension.
#
# Invariants:
# - The machine is changed by packages and by SANITIZE_CACHE, by nothing else.
#   The source comes by apt's own verification, with lists in SCRATCH.
# - A build is used only if it was finished, and by this very recipe: the name of
#   its folder has a digest of the functions that make it and of the headers that
#   go into it.

SANITIZE_KINDS=(address valgrind)
SANITIZE_CACHE=${PURPOSE_SANITIZE_CACHE:-}
SANITIZE_SOURCE=${PURPOSE_PG_SOURCE:-}

sanitize_packages()
{
	local names=(gcc make libc6-dev dpkg-dev bzip2 bison flex perl pkg-config libreadline-dev zlib1g-dev
		libssl-dev libxml2-dev libicu-dev liblz4-dev)

	[ "$1" != valgrind ] || names+=(valgrind libc6-dbg)
	printf '%s\n' "${names[@]}"
}

# Sets PG_CONFIG to that of the PostgreSQL for KIND.  Needs SCRATCH.
sanitize_postgres()
{
	local kind=$1 major digest prefix

	major=$(default_pg_major)
	if [ -z "$SANITIZE_CACHE" ]; then
		if [ "$(id -u)" -eq 0 ]; then
			SANITIZE_CACHE=/var/cache/pg_purpose-tests
		else
			SANITIZE_CACHE=${HOME:?}/.cache/pg_purpose-tests
		fi
	fi
	mkdir -p "$SANITIZE_CACHE" || die "$SANITIZE_CACHE cannot be made"
	SANITIZE_CACHE=$(cd "$SANITIZE_CACHE" && pwd)
	as_user test -x "$SANITIZE_CACHE" || die "the user $PURPOSE_USER may not enter $SANITIZE_CACHE"

	digest=$({
		declare -f sanitize_build sanitize_wrap
		find "$PURPOSE_ROOT/tests/lib/sanitize" -name '*.h' -print0 | sort -z | xargs -0 cat
	} | sha256sum | cut -c 1-12)
	# With "postgres" in its name PostgreSQL adds no folder of that name below.
	prefix=$SANITIZE_CACHE/postgresql-$major-$kind-$digest
	# Another run may be building the same.
	exec 8>"$SANITIZE_CACHE/lock"
	flock 8
	if [ ! -e "$prefix/complete" ]; then
		sanitize_build "$kind" "$major" "$prefix"
	fi
	exec 8>&-
	PG_CONFIG=$prefix/bin/pg_config
	# It ends without freeing anything, as programs do.
	export ASAN_OPTIONS=detect_leaks=0
}

# sanitize_build KIND MAJOR PREFIX
sanitize_build()
{
	local kind=$1 major=$2 prefix=$3 build=$SCRATCH/postgresql log=$SCRATCH/postgresql.log
	local flags='-g -fno-omit-frame-pointer' cppflags="-I$3/include/sanitize"

	as_user mkdir "$build"
	sanitize_fetch "$major" "$build"

	rm -rf -- "$prefix"
	mkdir "$prefix" || die "$prefix cannot be made"
	mkdir -p "$prefix/include"
	cp -R "$PURPOSE_ROOT/tests/lib/sanitize/." "$prefix/include/sanitize"
	[ "$(id -u)" -ne 0 ] || chown -R "$PURPOSE_USER": "$prefix"
	case $kind in
		# Optimised as PostgreSQL's own continuous integration does it.
		address) flags="-Og $flags -fsanitize=address,undefined -fno-sanitize-recover=all" ;;
		valgrind) flags="-Og $flags" cppflags="" ;;
	esac

	say "building PostgreSQL for --sanitize $kind, some minutes"
	# PostgreSQL's own marks for Valgrind; for AddressSanitizer see
	# sanitize/valgrind/memcheck.h.  configure's little programs leak.
	as_user env ASAN_OPTIONS=detect_leaks=0 sh -e -c '
		cd "$1"
		./configure --prefix="$2" --enable-cassert --enable-debug --enable-tap-tests --with-openssl \
			--with-libxml --with-icu --with-lz4 CFLAGS="$3" CPPFLAGS="-DUSE_VALGRIND $4"
		make -s -j "$5"
		make -s -C contrib -j "$5"
		make -s install
		make -s -C contrib install
		cp src/tools/valgrind.supp "$2/share/"
		' sh "$build" "$prefix" "$flags" "$cppflags" "$(nproc)" >"$log" 2>&1 ||
		{ tail -n 40 "$log" >&2; die "PostgreSQL could not be built"; }
	[ "$kind" != valgrind ] || sanitize_wrap "$prefix/bin"
	# Nobody but who runs the tests may change what they run.
	[ "$(id -u)" -ne 0 ] || chown -R root: "$prefix"
	touch "$prefix/complete"
	rm -rf -- "$build"
}

# sanitize_fetch MAJOR DIR: PostgreSQL's source into DIR, as released, without
# Debian's patches, which lay out folders in Debian's way.
sanitize_fetch()
{
	local major=$1 dir=$2 apt=$SCRATCH/apt log=$SCRATCH/apt.log options file version tarball=

	if [ -n "$SANITIZE_SOURCE" ]; then
		tarball=$SANITIZE_SOURCE
	else
		say "fetching the source of postgresql-$major"
		as_user mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/parts" "$apt/source"
		options=(-q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/parts"
			-o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache")
		# The system's own mirrors, asked for sources.
		for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
			[ ! -s "$file" ] ||
				sed -n 's/^deb[[:space:]]/deb-src /p' "$file" | as_user tee "$apt/parts/${file##*/}.list" >/dev/null
		done
		for file in /etc/apt/sources.list.d/*.sources; do
			[ ! -s "$file" ] ||
				sed 's/^Types:.*/Types: deb-src/' "$file" | as_user tee "$apt/parts/${file##*/}" >/dev/null
		done
		as_user apt-get "${options[@]}" update >"$log" 2>&1 ||
			{ tail "$log" >&2; die "the list of source packages could not be fetched"; }
		# The newest; a mirror may lack the archive of a security update.
		while IFS= read -r version; do
			as_user sh -c 'cd "$1" && shift && exec apt-get "$@"' sh "$apt/source" "${options[@]}" \
				source --download-only --tar-only "postgresql-$major=$version" >"$log" 2>&1 || continue
			tarball=$(compgen -G "$apt/source/*.orig.tar.*" | head -n 1)
			break
		done < <(as_user apt-cache "${options[@]}" showsrc "postgresql-$major" |
			sed -n 's/^Version: //p' | sort -V -r)
		[ -n "$tarball" ] || { tail "$log" >&2; die "the source of postgresql-$major could not be fetched"; }
	fi
	# By the shell that opens it, for an archive that PURPOSE_USER may not read.
	as_user tar -C "$dir" -x -j --strip-components=1 --no-same-owner <"$tarball" ||
		die "$tarball could not be unpacked"
}

# sanitize_wrap BINDIR: has whoever starts a server there start it under
# Valgrind.  initdb's servers are PostgreSQL's own affair, and many.
sanitize_wrap()
{
	as_user mv "$1/postgres" "$1/postgres.checked"
	as_user tee "$1/postgres" >/dev/null <<'WRAPPER'
#!/bin/sh
# Made by tests/run --sanitize valgrind.
case " $* " in
	*' -V '* | *' --version '* | *' -C '* | *' --boot '* | *' --check '* | *' --single '*)
		exec "$0.checked" "$@" ;;
esac
exec valgrind "$0.checked" "$@"
WRAPPER
	# "pg_ctl restart" would start what the server says that it was.
	as_user mv "$1/pg_ctl" "$1/pg_ctl.real"
	as_user tee "$1/pg_ctl" >/dev/null <<'WRAPPER'
#!/bin/sh
# Made by tests/run --sanitize valgrind.
exec "$0.real" -p "${0%/*}/postgres" "$@"
WRAPPER
	as_user chmod 755 "$1/postgres" "$1/pg_ctl"
}

# What programs under test find in their environment.  Needs SCRATCH and the
# work tree's copy in SCRATCH/src, which PURPOSE_USER can read.
sanitize_environment()
{
	local kind=$1 reports=$SCRATCH/reports prefix

	as_user mkdir -p "$reports"
	prefix=$(dirname "$(dirname "$PG_CONFIG")")
	SETUP_ENVIRONMENT+=(PURPOSE_SANITIZE="$kind")
	case $kind in
		address)
			# As in PostgreSQL's own continuous integration: a backend that ends
			# leaves everything to the operating system, and the stack's depth is
			# told by addresses.
			SETUP_ENVIRONMENT+=(
				ASAN_OPTIONS="log_path=$reports/report:detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:print_stacktrace=1"
				UBSAN_OPTIONS="log_path=$reports/report:abort_on_error=1:print_stacktrace=1"
				PG_TEST_TIMEOUT_DEFAULT=600 PGCTLTIMEOUT=180 PGISOLATIONTIMEOUT=900)
			;;
		valgrind)
			SETUP_ENVIRONMENT+=(
				VALGRIND_OPTS="--quiet --log-file=$reports/report.%p --leak-check=no --track-origins=yes --num-callers=40 --gen-suppressions=all --error-markers=VALGRINDERROR-BEGIN,VALGRINDERROR-END --suppressions=$prefix/share/valgrind.supp --suppressions=$SCRATCH/src/tests/lib/sanitize/valgrind.supp"
				PG_TEST_TIMEOUT_DEFAULT=3600 PGCTLTIMEOUT=1800 PGISOLATIONTIMEOUT=3600)
			;;
	esac
}

# Valgrind makes a file for each process, and leaves it empty; a failed assertion
# is in the log of its server.
sanitize_reports()
{
	find "$SCRATCH/reports" -type f -size +0
	grep -rl --include='*log*' '^TRAP: ' "$SCRATCH" 2>/dev/null
}
