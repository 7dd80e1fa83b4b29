# pg_purpose: built, installed and tested by PGXS.
#
#   make                     builds against the pg_config in PATH
#   make PG_CONFIG=...       against another PostgreSQL
#   make TEST_BUILD=1        with the test build's extras (never in production)
#   make install             as root
#   make installcheck        tests against a running server that preloads pg_purpose
#   make test                everything, in a throwaway cluster (tests/run)
#   make demo                the demonstration (demo/run)
#   make check-layers        includes go down the layers of src/LAYERS only
#   make check-format        src/ is formatted; make format formats it

# tests/run and demo/run choose a PostgreSQL themselves unless one is named.
ifneq ($(origin PG_CONFIG),undefined)
RUN_ENV = PG_CONFIG='$(PG_CONFIG)'
endif
PG_CONFIG ?= pg_config

EXTENSION = pg_purpose
MODULE_big = pg_purpose
PGFILEDESC = "pg_purpose - purpose limitation, consent and erasure for personal data"
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
DATA = $(sort $(wildcard sql/pg_purpose--*.sql))
# Programs for purpose.keyring = 'command:...'; see docs/key-providers.md.
SCRIPTS = share/pg_purpose-keyring-pkcs11

# sql/ holds the install scripts and the regression tests; pg_regress wants the
# latter there.  Each test finds the extension created, so that any of them
# can be run alone.
REGRESS = $(sort $(patsubst sql/%.sql,%,$(filter-out $(DATA),$(wildcard sql/*.sql))))
REGRESS_OPTS = --load-extension=pg_purpose
ISOLATION = $(sort $(patsubst specs/%.spec,%,$(wildcard specs/*.spec)))
ISOLATION_OPTS = --load-extension=pg_purpose
TAP_TESTS = 1
PROVE_TESTS = $(sort $(wildcard tests/*.pl))
PROVE_FLAGS = -I tests/lib

# WERROR= builds in spite of a warning, for a compiler newer than we know.
WERROR = -Werror

# Of -Wextra's warnings these are off, because PostgreSQL's headers do not keep
# them on 15, 17 or 18: inline functions leave parameters unused, macros compare
# signed with unsigned.  Both are usual in code written to its hooks, too.
PG_CFLAGS = -Wall -Wextra $(WERROR) -Wno-unused-parameter -Wno-sign-compare

# AES-GCM, HMAC and random numbers are OpenSSL's libcrypto.
SHLIB_LINK += -lcrypto

# A changed header rebuilds what includes it.  PGXS does that only where
# PostgreSQL itself was built with dependency tracking, which packages are not.
PG_CFLAGS += -MMD -MP

ifdef TEST_BUILD
PG_CFLAGS += -DPURPOSE_TEST_BUILD
endif

EXTRA_CLEAN = $(OBJS:.o=.d) src/.build-mode

# No LLVM bitcode: it would need the very clang that built PostgreSQL, and what
# is here gains nothing from being inlined into a query.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)

# Objects of one PostgreSQL, or of one build mode, are not those of another.
$(OBJS): src/.build-mode
src/.build-mode: FORCE
	@echo '$(pkglibdir) $(VERSION) $(PG_CFLAGS)' | cmp -s - $@ || \
		echo '$(pkglibdir) $(VERSION) $(PG_CFLAGS)' >$@
FORCE:

-include $(OBJS:.o=.d)
else
# "make test" and "make demo" work without a PostgreSQL to build against: they
# install one.
all install installcheck clean:
	@echo "error: $(PG_CONFIG) leads to no PGXS;" \
		"install the server's development package or set PG_CONFIG" >&2; exit 1
endif

.PHONY: test demo check-layers check-format format FORCE

test:
	$(RUN_ENV) tests/run

demo:
	$(RUN_ENV) demo/run

check-layers:
	tests/check_layers

check-format:
	PG_CONFIG='$(PG_CONFIG)' tests/check_format

format:
	PG_CONFIG='$(PG_CONFIG)' tests/check_format --fix
