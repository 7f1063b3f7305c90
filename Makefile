# Holdfast: one file builds, tests and installs everything. `make help` lists the targets.

BUILD   ?= build
CC      ?= cc
PREFIX  ?= /usr/local
CYCLES  ?= 20
CRASHES ?= 100000
OPERATIONS ?= 1000000
DAYS    ?= 365
BOOKINGS ?= 1000000
SANITIZE ?=

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Werror
CFLAGS  ?= -O2 -g
# What every file is compiled and linked with, whatever CFLAGS and LDFLAGS a user gives.
COMPILE  = $(CC) -Iinclude -I. -D_GNU_SOURCE -std=c11 $(WARNINGS) -fno-omit-frame-pointer -pthread \
           $(SANITIZE) $(CPPFLAGS) $(CFLAGS)
LINK     = $(CC) -pthread $(SANITIZE) $(LDFLAGS)
LDLIBS   = -luring -lxxhash -lm
# The servers and tools allocate through jemalloc; sanitizers bring their own allocator.
ifeq ($(SANITIZE),)
LDLIBS  += -ljemalloc
endif

LIB_SRC      = $(wildcard engine/*.c wal/*.c net/*.c)
SERVER_SRC   = net/holdfastd.c net/command_line.c
LIB_SRC     := $(filter-out $(SERVER_SRC),$(LIB_SRC))
TEST_LIB_SRC = $(wildcard tests/lib/*.c)
UNIT_SRC     = $(wildcard tests/unit/*.c)
STRESS_SRC   = $(wildcard tests/stress/*.c)
FUZZ_SRC     = $(wildcard tests/fuzz/*.c)
# What the programs of tests/model and the unit tests share.
MODEL_SRC    = $(wildcard tests/model/*.c)
MODEL_SRC   := $(filter-out tests/model/driver.c tests/model/linearizability.c,$(MODEL_SRC))
SIM_SRC      = $(wildcard tests/sim/*.c)
# The disk of the simulation alone, for its unit tests.
SIM_DISK_SRC = $(addprefix tests/sim/,content.c disk.c outage.c)
# Of holdfast-wal, but for its main(): the unit tests are linked with them.
WAL_SRC      = $(addprefix tools/,acks.c audit.c audit_text.c intake.c files.c image_filter.c image_row.c \
               image_text.c json.c json_line.c log_copy.c lost.c moment.c new_directory.c new_file.c \
               new_log.c options.c past.c progress.c restoration.c row.c snapshots.c summary.c \
               tables.c values.c walk.c walk_text.c) $(wildcard tools/ledger*.c)
# Of holdfast, but for its main(): the unit tests are linked with them.
CLI_SRC      = $(addprefix tools/,batch_file.c batch_line.c command_table.c commands.c image_text.c \
               json.c options.c request.c session.c show.c show_json.c show_status.c \
               show_text.c values.c verb_batch.c verb_pages.c verb_server.c verb_watch.c)

# Of the load generator: what a load is made of, and what puts it on a server. The unit tests are linked
# with the first; what measures expiry has both.
WORK_SRC     = $(addprefix bench/,answer.c arrivals.c asker.c mix.c plan.c spread.c)
LOAD_SRC     = $(WORK_SRC) $(addprefix bench/,link.c load.c options.c stream.c)
BENCH_SRC    = $(LOAD_SRC) $(addprefix bench/,inprocess.c measurement.c report.c sink.c stock.c)
EXPIRY_SRC   = $(addprefix bench/,drive.c holds.c prober.c server_time.c sleeper.c watcher.c)

# Of what asks Redis, PostgreSQL and Tarantool. Only `make bench-peers` builds it: libpq is needed for
# nothing else. The protocols that are spoken here are tested by the unit tests.
PEER_SRC     = $(wildcard bench/peer/*.c) bench/options.c
PEER_PROTOCOL_SRC = $(addprefix bench/peer/,iproto.c msgpack.c resp.c)
# ... and the whole of it by `make test`, where libpq happens to be.
PEERS_IF_LIBPQ = $(if $(wildcard /usr/include/postgresql/libpq-fe.h),$(PEERS))

# The crash test proves the log with the ledger of holdfast-wal.
CRASH_SRC    = $(addprefix tests/crash/,aim.c archive.c basis.c checks.c crash.c crowd.c kept.c life.c \
                 load.c proof.c) \
               $(wildcard tools/ledger*.c)

LIB      = $(BUILD)/libholdfast.a
TEST_LIB = $(BUILD)/libtest.a
MODEL_LIB = $(BUILD)/libmodel.a
PROGRAMS = $(addprefix $(BUILD)/,holdfastd holdfast holdfast-wal holdfast-bench holdfast-expiry \
           holdfast-floor holdfast-recovery holdfast-demo)
PEERS    = $(BUILD)/holdfast-peers
STRESS   = $(patsubst tests/stress/%.c,$(BUILD)/stress/%,$(STRESS_SRC))
FUZZ     = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
MODEL    = $(BUILD)/model $(BUILD)/linearizability
RETENTION = $(BUILD)/retention $(BUILD)/serving
CRASH    = $(BUILD)/crash
SIM      = $(BUILD)/sim
RECOVERIES = $(BUILD)/recoveries
FLIP     = $(BUILD)/flip
UNIT     = $(BUILD)/unit
# holdfastd on a disk that is as slow as a test wants: the unit tests start it.
SLOW     = $(BUILD)/holdfastd-slow

comma    = ,
object   = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.PHONY: all programs run demo test stress crash flip sim mutants fuzz model retention expiry bench bench-recovery bench-peers asan tsan lint format install clean help setup
.DEFAULT_GOAL := all
.SECONDARY: # objects of tests are kept

all: setup ## build the programs (installing what is missing first)
	@$(MAKE) --no-print-directory programs

programs: $(PROGRAMS) $(LIB)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install the Debian packages that are missing
	@tools/setup build

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(COMPILE) -MMD -MP -c $< -o $@

$(LIB): $(call object,$(LIB_SRC))
	@rm -f $@
	@$(AR) rcs $@ $^

$(TEST_LIB): $(call object,$(TEST_LIB_SRC))
	@rm -f $@
	@$(AR) rcs $@ $^

$(MODEL_LIB): $(call object,$(MODEL_SRC))
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/holdfastd: $(call object,$(SERVER_SRC)) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/holdfast: $(call object,tools/holdfast.c $(CLI_SRC)) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ -ljansson $(LDLIBS) -o $@

$(BUILD)/holdfast-wal: $(call object,tools/holdfast-wal.c $(wildcard tools/wal_*.c) $(WAL_SRC)) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/holdfast-bench: $(call object,bench/holdfast-bench.c $(BENCH_SRC)) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/holdfast-floor: $(call object,bench/floor.c) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/holdfast-expiry: $(call object,bench/holdfast-expiry.c $(EXPIRY_SRC) $(LOAD_SRC)) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/holdfast-recovery: $(call object,$(addprefix bench/,holdfast-recovery.c made_log.c options.c)) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(PEERS): $(call object,$(PEER_SRC)) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ -lpq $(LDLIBS) -o $@

$(BUILD)/holdfast-demo: $(call object,tools/demo.c) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(UNIT): $(call object,$(UNIT_SRC) $(sort $(CLI_SRC) $(WAL_SRC)) $(WORK_SRC) $(SIM_DISK_SRC) $(PEER_PROTOCOL_SRC)) $(MODEL_LIB) $(TEST_LIB) $(LIB) | $(SLOW)
	@echo "  LINK $@"
	@$(LINK) $^ -lcriterion -ljansson $(LDLIBS) -o $@

$(SLOW): $(call object,$(SERVER_SRC) tests/slow/slow_disk.c) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ -Wl,--wrap=hf_io_posix,--wrap=hf_uring_queue_init $(LDLIBS) -o $@

$(CRASH): $(call object,$(CRASH_SRC)) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(RECOVERIES): $(call object,$(addprefix tests/crash/,kept.c recoveries.c)) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(FLIP): $(call object,$(wildcard tests/flip/*.c)) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

# Time, chance and the archive's command are simulated too (tests/sim/clock.h, archive.h). Segments
# may be small there, so that they are full often.
SIM_WRAP = $(addprefix -Wl$(comma)--wrap=,clock_gettime nanosleep poll getrandom hf_id_make \
           hf_command_start hf_command_poll hf_command_stop hf_read_buffer_map \
           hf_read_buffer_unmap)
SIM_SEGMENT = $(BUILD)/obj/sim/segment_header.o

$(SIM_SEGMENT): wal/segment_header.c
	@mkdir -p $(@D)
	@echo "  CC   $< (of the simulation)"
	@$(COMPILE) -DHF_SEGMENT_BYTES_MIN=32768 -MMD -MP -c $< -o $@

$(SIM): $(call object,$(SIM_SRC) $(wildcard tools/ledger*.c)) $(SIM_SEGMENT) $(MODEL_LIB) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $(SIM_WRAP) $^ $(LDLIBS) -o $@

$(BUILD)/model: $(call object,tests/model/driver.c) $(MODEL_LIB) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/retention: $(call object,$(addprefix tests/retention/,guests.c retention.c scene.c)) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/serving: $(call object,tests/retention/serving.c) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/linearizability: $(call object,tests/model/linearizability.c) $(MODEL_LIB) $(TEST_LIB) $(LIB)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/stress/%: $(BUILD)/obj/tests/stress/%.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

$(BUILD)/fuzz/fuzz_log: $(call object,tools/ledger_image.c)

$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(LINK) $^ $(LDLIBS) -o $@

run: all ## start the server in the foreground: data in ./data, 127.0.0.1:7411
	@exec $(BUILD)/holdfastd

demo: all ## the founding story on a real server: 500 places, 1000 people, two crashes
	@$(BUILD)/holdfast-demo --server-program $(BUILD)/holdfastd --wal-program $(BUILD)/holdfast-wal

bench: all ## our own figures in two minutes, beside those that were kept (KEEP=1: keep these)
	@tools/setup bench || true # without valgrind, instructions are left out
	@bench/run $(BUILD) $(if $(KEEP),--keep)

bench-recovery: all ## how long a crash lasts: Holdfast and others after BOOKINGS (BOOKINGS=1000000)
	@tools/setup peers
	@bench/recovery $(BUILD) $(BOOKINGS)

bench-peers: all ## Holdfast, Redis, Tarantool and PostgreSQL with the same bookings (PUBLISH=1: into docs)
	@tools/setup peers
	@$(MAKE) --no-print-directory $(PEERS)
	@bench/peers $(BUILD) $(if $(PUBLISH),--publish) $(PEERS_OPTIONS)

expiry: all ## how soon lapsed units can be had again, with a million holds, on a server of its own
	@bench/expiry $(BUILD)

test: ## install what is missing, build and run all tests
	@tools/setup test
	@$(MAKE) --no-print-directory programs $(UNIT) $(CRASH) $(RECOVERIES) $(FLIP) $(SIM) $(STRESS) $(FUZZ) \
	  $(MODEL) $(RETENTION) $(PEERS_IF_LIBPQ)
	@HOLDFAST_BUILD=$(BUILD) $(UNIT)

stress: ## the lock-free structures under 2 and 8 threads, longer than in `make test`
	@tools/setup build
	@$(MAKE) --no-print-directory $(STRESS)
	@tests/stress/run $(BUILD) $(STRESS)

crash: ## kill -9 the server CYCLES times under load and check everything after each (CYCLES=20)
	@tools/setup build
	@$(MAKE) --no-print-directory programs $(CRASH) $(RECOVERIES)
	@$(CRASH) --cycles $(CYCLES) --programs $(BUILD)
	@$(RECOVERIES) --programs $(BUILD)

sim: ## engine and log on a simulated disk that fails in every way: CRASHES of it (CRASHES=100000)
	@tools/setup build
	@$(MAKE) --no-print-directory $(SIM)
	@$(SIM) --crashes $(CRASHES) --coverage

mutants: ## take out what keeps data safe, one thing at a time: a test must find each
	@tools/setup test
	@tests/mutants/run $(BUILD)

flip: ## flip every byte of a small log, one at a time, and recover: none leads to another state unsaid
	@tools/setup build
	@$(MAKE) --no-print-directory programs $(FLIP)
	@$(FLIP) --every 1 --programs $(BUILD)

fuzz: ## random and mutated bytes into every decoder, longer than in `make test`
	@tools/setup build
	@$(MAKE) --no-print-directory programs $(FUZZ)
	@for fuzz in $(FUZZ); do HOLDFAST_BUILD=$(BUILD) $$fuzz --rounds 10000000 || exit 1; done

model: ## OPERATIONS against the reference model, and concurrent histories (OPERATIONS=1000000)
	@tools/setup build
	@$(MAKE) --no-print-directory $(MODEL)
	@$(BUILD)/model --operations $(OPERATIONS)
	@for threads in 2 4 8; do $(BUILD)/linearizability --threads $$threads --seconds 10 || exit 1; done
	@$(BUILD)/linearizability --threads 4 --seconds 30 --take-and-undo

retention: ## DAYS of simulated traffic, and a server under full load: memory stays flat (DAYS=365)
	@tools/setup build
	@$(MAKE) --no-print-directory programs $(RETENTION)
	@$(BUILD)/retention --days $(DAYS)
	@$(BUILD)/retention --days $(DAYS) --per-day 5000 --threads 2
	@$(BUILD)/serving --programs $(BUILD)

asan: ## all tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/setup test
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan CFLAGS="-O1 -g" \
	  SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all" \
	  LSAN_OPTIONS=suppressions=tests/leaks.supp:print_suppressions=0 test

tsan: ## stress tests, concurrent histories and a crashing server under ThreadSanitizer
	@tools/setup build
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan CFLAGS="-O1 -g" \
	  SANITIZE="-fsanitize=thread" stress model crash CYCLES=5 OPERATIONS=100000

lint: ## clang-format, clang-tidy, cppcheck, and a build with clang
	@tools/setup lint
	@tools/lint $(BUILD)

format: ## let clang-format lay out every source file
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all ## install programs, library and headers under PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/include/holdfast
	install $(BUILD)/holdfastd $(BUILD)/holdfast $(BUILD)/holdfast-wal $(BUILD)/holdfast-bench \
	  $(BUILD)/holdfast-expiry $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib
	install -m 644 include/holdfast/*.h $(DESTDIR)$(PREFIX)/include/holdfast

clean: ## remove what was built
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
