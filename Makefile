# Thin lines only: what a target does is in the program it starts.
#
#   make image     build/halcyon.img and the slot files    OVERLAY="dir …"  PROVISION_PUBKEY=file  REFRESH=1
#   make check     format, lints, unit, property and simulation tests
#   make test      everything, with the QEMU acceptance tests
#   make demo      two boxes and a client, a power cut, a summary    DEMO=naive shows the storm
#   make run       one factory-fresh box on this terminal
#   make bench     the benchmarks

CARGO ?= cargo
OUT ?= build

MKIMAGE_ARGS = --out $(OUT) $(addprefix --overlay ,$(OVERLAY)) \
	$(if $(PROVISION_PUBKEY),--provision-pubkey $(PROVISION_PUBKEY)) $(if $(REFRESH),--refresh)

PROGRAMS = -p halcyon-image -p halcyon-init -p halcyond -p halctl

.PHONY: image host-packages
image: host-packages
	$(CARGO) build --release --locked $(PROGRAMS)
	$(CARGO) run --quiet --release --locked -p halcyon-image -- $(MKIMAGE_ARGS)

host-packages:
	@image/host-packages
