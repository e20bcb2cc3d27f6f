# Thin lines only: what a target does is in the program it starts.
#
#   make image     build/halcyon.img, the slot files, install.cpio    OVERLAY="dir …"  PROVISION_PUBKEY=file  REFRESH=1
#   make image-reproducible   builds it once more and compares
#   make check     format, lints, unit, property and simulation tests
#   make test      everything, with the QEMU acceptance tests
#   make demo      two boxes and a client, a power cut, a summary    DEMO=naive  the storm, beside a naive set-up
#   make bench-storm   co-located boxes through every state that is known to bounce packets, as one table
#   make soak      hundreds of power cuts, a fourth of them right after "saved"; soak-power CUTS=1000  as many as you like,
#                  CUT=saved  all of them then
#   make run       one factory-fresh box with its wizard on this terminal

CARGO ?= cargo
OUT ?= build

MKIMAGE_ARGS = --out $(OUT) $(addprefix --overlay ,$(OVERLAY)) \
	$(if $(PROVISION_PUBKEY),--provision-pubkey $(PROVISION_PUBKEY)) $(if $(REFRESH),--refresh)

PROGRAMS = -p halcyon-image -p halcyon-init -p halcyond -p halctl

MKIMAGE = $(CARGO) run --quiet --release --locked -p halcyon-image --

.PHONY: image image-reproducible host-packages overlays
image: overlays host-packages
	$(CARGO) build --release --locked $(PROGRAMS)
	$(MKIMAGE) $(MKIMAGE_ARGS)

image-reproducible: image
	@image/reproducible $(OUT) $(MKIMAGE) $(addprefix --overlay ,$(OVERLAY)) \
		--provision-pubkey $(or $(PROVISION_PUBKEY),$(OUT)/keys/provision.pub)

# Before anything is built: a misspelt directory is told at once.
overlays:
	@for overlay in $(OVERLAY); do [ -d "$$overlay" ] || { \
		echo "OVERLAY: $$overlay is not a directory; name trees that are to be copied over the root" >&2; exit 1; }; done

host-packages:
	@image/host-packages

include qemu-tests/images.mk

.PHONY: check test soak soak-power demo bench-storm run
check: host-packages
	@CARGO="$(CARGO)" qemu-tests/everything fast

test: host-packages test-image
	@CARGO="$(CARGO)" HALCYON_BUILD=$(OUT) HALCYON_IMAGE=$(OUT)/test qemu-tests/everything

CUTS ?= $(if $(filter soak,$@),200,1000)
soak soak-power: host-packages test-image
	HALCYON_CUTS=$(CUTS) HALCYON_CUT=$(CUT) HALCYON_BUILD=$(OUT) HALCYON_IMAGE=$(OUT)/test $(CARGO) run --quiet --release --locked -p halcyon-qemu-tests --bin acceptance -- power::

# DEMO=naive shows the storm that a naive set-up has, beside; its boxes are asked by the tests' agent.
DEMO_IMAGE = $(if $(DEMO),test,demo)
demo: host-packages $(DEMO_IMAGE)-image
	DEMO=$(DEMO) HALCYON_BUILD=$(OUT) HALCYON_IMAGE=$(OUT)/$(DEMO_IMAGE) $(CARGO) run --quiet --release --locked -p halcyon-qemu-tests --bin demo

bench-storm: host-packages test-image
	HALCYON_BUILD=$(OUT) HALCYON_IMAGE=$(OUT)/test $(CARGO) run --quiet --release --locked -p halcyon-qemu-tests --bin storm

run: image
	@echo "one factory-fresh box; leave with Ctrl-A x"
	qemu-system-x86_64 -machine q35 -accel tcg -cpu max,-cx16,-la57 -m 512 -nographic \
		-drive file=$(OUT)/halcyon.img,format=raw,if=virtio,snapshot=on -nic user,model=virtio-net-pci
