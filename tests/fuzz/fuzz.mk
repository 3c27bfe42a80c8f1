# Builds the libFuzzer targets into the directory OUT, from the sources in TOP, with the config.h of
# the configured tree CONFIG. Used by tests/fuzz/run.
CC = clang
PACKAGES = libevent jansson libconfig libsystemd libxml-2.0 libsodium libzstd liblz4 zlib
FLAGS = -std=gnu11 -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Wno-unused-parameter -Werror \
    -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    -D_GNU_SOURCE -DSCRIPTS_DIR='"/nowhere"' -DHOOKS_DIR='"/nowhere"' -DSYSTEM_CONFIG='"/nowhere"' \
    -DNINJA_LIBVIRT_PROGRAM='"/nowhere"' -DNINJA_STREAM_PROGRAM='"/nowhere"' \
    -DNINJA_IMAGE_PROGRAM='"/nowhere"' -I$(TOP) -I$(CONFIG) \
    $(shell pkg-config --cflags $(PACKAGES))
LIBS = $(shell pkg-config --libs $(PACKAGES))

COMMON = $(wildcard $(TOP)/common/*.c)
AGENT = $(filter-out %/main.c,$(wildcard $(TOP)/guest-agent/*.c))
# The library, without what is only in a program.
HOST = $(filter-out $(TOP)/host/ctl/% $(TOP)/host/libvirt/% %/driver_libvirt_missing.c %/image_main.c, \
    $(wildcard $(TOP)/host/*/*.c)) $(TOP)/host/report/report_css.c

# Without what starts processes: the target has its own.
NINJAD = $(filter-out %/main.c %/service.c %/worker.c,$(wildcard $(TOP)/ninjad/*.c))

STREAM = $(addprefix $(TOP)/stream/,batch.c codec.c frame.c parser.c planes.c sorter.c store.c)

AGENT_TARGETS = agent_host agent_ranks rank_agent addresses
HOST_TARGETS = host_agent host_qmp cluster settings journal
NINJAD_TARGETS = client_api
STREAM_TARGETS = stream_source stream_wire
TARGETS = $(AGENT_TARGETS) $(HOST_TARGETS) $(NINJAD_TARGETS) $(STREAM_TARGETS)

all: $(addprefix $(OUT)/,$(TARGETS))

objects = $(patsubst $(TOP)/%.c,$(OUT)/%.o,$(1))
of_agent = $(call objects,$(COMMON) $(AGENT) $(TOP)/tests/fuzz/fuzz.c $(TOP)/tests/fuzz/agent_bench.c)
of_host = $(call objects,$(COMMON) $(HOST) $(TOP)/tests/fuzz/fuzz.c $(TOP)/tests/fuzz/scripted_peer.c \
    $(TOP)/tests/fuzz/hurry.c)
of_ninjad = $(call objects,$(COMMON) $(HOST) $(NINJAD) $(TOP)/tests/fuzz/fuzz.c $(TOP)/tests/fuzz/hurry.c)

$(addprefix $(OUT)/,$(AGENT_TARGETS)): $(OUT)/%: $(OUT)/tests/fuzz/%.o $(of_agent)
	@$(CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)

$(addprefix $(OUT)/,$(HOST_TARGETS)): $(OUT)/%: $(OUT)/tests/fuzz/%.o $(of_host)
	@$(CC) -fsanitize=fuzzer,address,undefined -Wl,--wrap=timer_start -o $@ $^ $(LIBS)

$(addprefix $(OUT)/,$(NINJAD_TARGETS)): $(OUT)/%: $(OUT)/tests/fuzz/%.o $(of_ninjad)
	@$(CC) -fsanitize=fuzzer,address,undefined -Wl,--wrap=timer_start -o $@ $^ $(LIBS)

of_stream = $(call objects,$(COMMON) $(STREAM) $(TOP)/host/base/memory.c $(TOP)/tests/fuzz/fuzz.c)

$(addprefix $(OUT)/,$(STREAM_TARGETS)): $(OUT)/%: $(OUT)/tests/fuzz/%.o $(of_stream)
	@$(CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)

$(OUT)/%.o: $(TOP)/%.c
	@mkdir -p $(@D)
	@$(CC) $(FLAGS) -fsanitize=fuzzer-no-link -MMD -c -o $@ $<

$(OUT)/host/report/report_css.o: $(TOP)/host/report/report.css $(TOP)/host/report/css_to_c
	@mkdir -p $(@D)
	@$(TOP)/host/report/css_to_c $< >$(@:.o=.c)
	@$(CC) $(FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $(@:.o=.c)

# What is compiled anew when a header changes.
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
.PHONY: all
